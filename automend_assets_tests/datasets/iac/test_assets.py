"""The whole graph of the manifests: from the bundled sample and from a Hub on loopback, twice the same, leaking
nothing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from automend_assets.datasets.iac import sample
from automend_assets_tests.servers.hub import LoopbackHub
from automend_assets_tests.workplace import REALDATA, Told, Workplace

FILES = {
    "raw_sample.parquet",
    "manifests.parquet",
    "quarantine.parquet",
    "training_records.jsonl",
    "tool_messages.jsonl",
    "balanced_records.jsonl",
    "balanced_tool_messages.jsonl",
    "analysis.json",
    "diagnostic.json",
    "bias_report.json",
    "run_summary.json",
    "release.json",
    "README.md",
    "manifest.json",
}


class Built:
    """A version of iac, materialised, and what was said meanwhile."""

    def __init__(self, workplace: Workplace, *options: str) -> None:
        told = workplace.automend("cut", "iac", *options)
        assert told.code == 0, told.err
        self.version = told.out.strip()
        self.workplace = workplace
        self.told: Told = workplace.automend("materialize", "iac", self.version)
        assert self.told.code == 0, self.told.err

    def bytes(self, name: str) -> bytes:
        return self.workplace.store.read_bytes("iac", self.version, name)

    def json(self, name: str) -> dict:
        return json.loads(self.bytes(name))

    def lines(self, name: str) -> list[dict]:
        return [json.loads(line) for line in self.bytes(name).splitlines()]

    def frame(self, name: str) -> pl.DataFrame:
        return self.workplace.store.scan_parquet("iac", self.version, name).collect()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return Built(Workplace(tmp_path_factory.mktemp("built")), "--rows", "500")


@pytest.fixture(scope="module")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub(REALDATA / "hub") as running:
        yield running


def test_every_asset_is_made_and_every_check_passes(built: Built) -> None:
    assert {name for name in FILES if built.workplace.store.exists("iac", built.version, name)} == FILES
    checks = built.json("run_summary.json")["checks"]
    assert len(checks["schema"]) == 6
    assert len(checks["anomalies"]) == 4
    assert all(check["passed"] for kind in ("schema", "anomalies", "rates") for check in checks[kind])
    rows = built.json("run_summary.json")["rows"]
    assert rows["raw_sample"] == rows["manifests"] + rows["quarantine"] == 500
    assert rows["training_records"] == rows["tool_messages"] == rows["manifests"]
    assert rows["balanced_records"] == rows["balanced_tool_messages"]


def test_the_balanced_file_is_the_one_released_and_keeps_to_the_cap(built: Built) -> None:
    released = {artifact["file"] for artifact in built.json("release.json")["artifacts"]}
    assert {"balanced_records.jsonl", "balanced_tool_messages.jsonl"} <= released
    assert not released & {"raw_sample.parquet", "training_records.jsonl", "tool_messages.jsonl"}
    records = built.lines("balanced_records.jsonl")
    types = Counter(record["iac_type"] for record in records)
    assert max(types.values()) <= 0.4 * len(records)
    weights = [record["sampling_weight"] for record in records]
    assert sum(weights) / len(weights) == pytest.approx(1, abs=0.01)
    assert len(set(weights)) > 5
    calls = [
        record["messages"][1]["tool_calls"][0]["function"]
        for record in built.lines("balanced_tool_messages.jsonl")
    ]
    contents = [json.loads(record["messages"][1]["content"])["params"] for record in records]
    assert [call["arguments"] for call in calls] == contents


def test_nothing_that_was_planted_leaves_the_raw_files(built: Built) -> None:
    """Not in an artifact, nor in what was printed, nor in Dagster's logs and metadata."""
    numbers = built.frame("raw_sample.parquet")["row_number"].to_list()
    files = list(sample.generate(2_000))
    planted = {
        line
        for number in numbers
        for kind, value in files[number].truth.planted
        for line in (value.splitlines()[1:-1] if kind == "private_key" else [value])
    }
    assert len(planted) > 50
    texts = {
        name: built.bytes(name).decode(errors="replace")
        for name in FILES - {"raw_sample.parquet", "manifests.parquet", "quarantine.parquet"}
    }
    for name in ("manifests.parquet", "quarantine.parquet"):
        texts[name] = built.frame(name).write_json()
    texts["printed"] = built.told.out + built.told.err
    for file in built.workplace.home.rglob("*"):
        if file.is_file():
            texts[file.name] = file.read_bytes().decode(errors="replace")
    for name, text in texts.items():
        assert not [secret for secret in planted if secret in text], name


def test_the_same_version_elsewhere_is_the_same_bytes(built: Built, tmp_path: Path) -> None:
    again = Built(Workplace(tmp_path, AUTOMEND_WORKERS="2"), "--rows", "500")
    for name in sorted(FILES):
        assert again.bytes(name) == built.bytes(name), name


def test_a_release_loads_with_the_hubs_tools(built: Built, tmp_path: Path) -> None:
    from datasets import load_dataset

    folder = Path(built.workplace.store.root) / "iac" / built.version
    rows = load_dataset(str(folder), "balanced_tool_messages", split="train", cache_dir=str(tmp_path))
    assert len(rows) == len(built.lines("balanced_tool_messages.jsonl"))
    call = rows[0]["messages"][1]["tool_calls"][0]["function"]
    assert list(call["arguments"]) == ["manifest_content"]
    records = load_dataset(str(folder), split="train", cache_dir=str(tmp_path))
    assert records[0]["messages"][0]["role"] == "user"


def test_real_files_go_through_the_whole_graph(hub: LoopbackHub, tmp_path: Path) -> None:
    workplace = Workplace(tmp_path, **hub.environment(tmp_path / "hf_home"), AUTOMEND_WORKERS="2")
    built = Built(workplace, "--source", "hub", "--rows", "all")
    summary = built.json("run_summary.json")
    assert summary["rows"]["raw_sample"] == 7_600
    assert all(check["passed"] for check in summary["checks"]["schema"])
    assert built.json("diagnostic.json")["exposure"]["findings_after"] == 0
    records = built.lines("balanced_records.jsonl")
    types = Counter(record["iac_type"] for record in records)
    assert max(types.values()) <= 0.4 * len(records)
    assert built.json("manifest.json")["source"]["repo"] == "bigcode/the-stack-dedup"
