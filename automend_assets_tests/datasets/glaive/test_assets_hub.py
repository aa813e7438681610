"""The whole graph on real conversations, which a Hub on loopback serves; and what is said when the Hub does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import pytest

from automend_assets.connectors import hub as connector
from automend_assets.pipeline import assets
from automend_assets_tests.datasets.glaive.rows import generated
from automend_assets_tests.servers.hub import LoopbackHub, dead_endpoint
from automend_assets_tests.workplace import FILES, REALDATA, Told, Workplace

REPO = "glaiveai/glaive-function-calling-v2"
REAL_ROWS = 870


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(REALDATA / "hub") as running:
        yield running


@pytest.fixture
def workplace(tmp_path: Path, hub: LoopbackHub) -> Workplace:
    return Workplace(tmp_path, **hub.environment(tmp_path / "hf_home"), AUTOMEND_WORKERS="2")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that are waited between attempts; nobody waits them."""
    waited: list[float] = []
    monkeypatch.setattr(connector, "time", SimpleNamespace(sleep=waited.append))
    monkeypatch.setattr(assets, "FIRST_WAIT_SECONDS", 0.0)
    return waited


def refused(told: Told) -> str:
    """The one message of a command that failed, with no traceback and nothing on stdout."""
    assert told.code == 1
    assert told.out == ""
    assert "Traceback" not in told.err
    (message,) = (line for line in told.err.splitlines() if line.startswith("error: "))
    return message


def test_real_conversations_go_through_the_whole_graph(workplace: Workplace) -> None:
    """5,000 rows are asked for by default, and a source that has fewer gives all it has."""
    assert workplace.build("--source", "hub") == "v0001"
    assert workplace.build("--source", "hub", "--rows", "all") == "v0002"
    for version, asked in (("v0001", 5_000), ("v0002", None)):
        manifest = workplace.json(version, "manifest.json")
        assert manifest["rows"] == asked
        assert manifest["source"]["repo"] == REPO
        artifacts = workplace.artifacts(version)
        assert artifacts.keys() == set(FILES)
        raw = workplace.frame(version, "raw_sample.parquet")["row_number"].to_list()
        assert sorted(raw) == list(range(REAL_ROWS))
        refused_rows = workplace.refused(version)
        processed = workplace.frame(version, "processed_records.parquet")["row_number"].to_list()
        unparsed = [row for row, stage, _ in refused_rows if stage == "processed_records"]
        unusable = [row for row, stage, _ in refused_rows if stage == "chatml"]
        assert sorted(processed + unparsed) == list(range(REAL_ROWS))
        for form in ("chatml.jsonl", "tool_messages.jsonl"):
            assert len(workplace.lines(version, form)) == len(processed) - len(unusable)
        checks = workplace.json(version, "run_summary.json")["checks"]
        assert all(check["passed"] for check in checks["schema"])
    # The same rows of the same commit: only what names the version and its size differs.
    first, second = workplace.artifacts("v0001"), workplace.artifacts("v0002")
    named = {"manifest.json", "run_summary.json", "release.json", "README.md"}
    assert {name for name in FILES if first[name] != second[name]} == named


def test_a_hub_that_is_down_is_one_message(tmp_path: Path, waits: list[float]) -> None:
    with dead_endpoint() as endpoint:
        workplace = Workplace(tmp_path, HF_ENDPOINT=endpoint)
        message = refused(workplace.automend("cut", "glaive", "--source", "hub"))
    assert f"The Hub at {endpoint} gave no usable answer in 5 attempt(s)" in message
    assert "HF_ENDPOINT" in message
    assert "--source sample" in message
    assert waits == [1, 2, 4, 8]
    assert workplace.ledger.keys("glaive") == []


def test_a_revision_that_is_not_there_is_one_message(workplace: Workplace) -> None:
    message = refused(workplace.automend("cut", "glaive", "--source", "hub", "--revision", "no-such-branch"))
    assert f"Revision no-such-branch of the dataset {REPO}" in message
    assert "does not exist" in message
    assert "--revision" in message


def test_a_gated_repository_without_a_token_is_one_message(workplace: Workplace, hub: LoopbackHub) -> None:
    hub.restrict("datasets", REPO, gated=True, allowed={"bob"})
    # In a process of its own, which has no login of the user's.
    message = refused(workplace.process("automend", "cut", "glaive", "--source", "hub"))
    assert f"Without a token the dataset {REPO}" in message
    assert "HF_TOKEN" in message
    workplace.environment["HF_TOKEN"] = "hf_ro"
    assert workplace.cut("--source", "hub") == "v0001"


def test_a_revision_that_is_gone_since_the_cut_is_one_message(workplace: Workplace, hub: LoopbackHub) -> None:
    version = workplace.cut("--source", "hub")
    revision = workplace.json(version, "manifest.json")["source"]["revision"]
    hub.rewrite_history("datasets", REPO)
    told = workplace.materialize(version)
    assert told.code == 1
    assert f"failed   glaive/raw_sample: Revision {revision} of the dataset {REPO}" in told.err
    assert "cut a new version" in told.err
    assert "again    " not in told.err, "what will not come back is not waited for"
    assert workplace.cut("--source", "hub") == "v0002"


def test_a_hub_that_comes_back_is_tried_again(
    workplace: Workplace, hub: LoopbackHub, waits: list[float]
) -> None:
    hub.add_files("datasets", "team/few", {"rows.json": orjson.dumps(generated(50))})
    version = workplace.cut("--source", "hub", "--repo", "team/few")
    hub.fail(r"/tree/", status=503, times=5)
    told = workplace.materialize(version)
    assert told.code == 0, told.err
    assert f"again    glaive/raw_sample in 0 s: The Hub at {hub.url} gave no usable answer" in told.err
    assert len(workplace.frame(version, "raw_sample.parquet")) == 50
