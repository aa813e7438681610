"""Every row ends where the truth says: manifests complete and redacted, the others refused for their reason, none
lost."""

from __future__ import annotations

import base64
import gc
import json
import tracemalloc
from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from automend_assets.connectors.hub import HubResource
from automend_assets.contracts.evaluation import evaluate
from automend_assets.datasets.iac import sample
from automend_assets.datasets.iac.chatml import TOOLS, tool_message_lines, training_record_lines, validate
from automend_assets.datasets.iac.contract import CONTRACT
from automend_assets.datasets.iac.documents import Limits
from automend_assets.datasets.iac.options import IacOptions
from automend_assets.datasets.iac.process import MANIFESTS_SCHEMA, REASONS, process
from automend_assets.datasets.iac.reports import analysis, analysis_plot, diagnostic, diagnostic_plot
from automend_assets.datasets.iac.source import read_source, resolve_source
from automend_assets.storage.quarantine import QUARANTINE_SCHEMA, reconcile_rows
from automend_assets.versions.manifest import Manifest

ROWS = 600
SEED = 11
NO_HUB = HubResource(endpoint="http://127.0.0.1:9", attempts=1)
DUPLICATES = {"duplicate_hexsha", "duplicate_exact", "duplicate_normalised", "duplicate_near"}


class Done:
    """A generated source, processed: the files with their truth, and what became of them."""

    def __init__(self, folder: Path) -> None:
        self.files = list(sample.generate(ROWS, SEED))
        sample.write_parquet(folder / "shard.parquet", ROWS, SEED)
        source = resolve_source("file", path=folder / "shard.parquet", hub=NO_HUB)
        manifest = Manifest(dataset="iac", source=source, rows=None, seed=42, shuffle_buffer=100)
        read_source(manifest, folder / "raw.parquet", hub=NO_HUB)
        self.raw = pl.scan_parquet(folder / "raw.parquet")
        self.folder = folder
        self.counts = process(
            self.raw,
            folder / "manifests.parquet",
            folder / "quarantine.parquet",
            options=IacOptions(),
            seed=42,
            workers=1,
        )
        self.manifests = pl.read_parquet(folder / "manifests.parquet")
        self.quarantine = pl.read_parquet(folder / "quarantine.parquet")


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    return Done(tmp_path_factory.mktemp("processed"))


def test_every_row_is_a_manifest_or_refused_for_the_reason_that_is_true_of_it(done: Done) -> None:
    reasons = dict(done.quarantine.select("row_number", "reason").iter_rows())
    kept = set(done.manifests["row_number"])
    assert kept.isdisjoint(reasons)
    assert kept | reasons.keys() == set(range(ROWS))
    wrong = Counter()
    for number, file in enumerate(done.files):
        found, true = reasons.get(number), file.truth.reason
        # Which of two that are alike is refused, the shuffled order decides.
        same = [other for other in done.files if other.content == file.content]
        alike = true in ("duplicate_hexsha", "near_duplicate") or found in DUPLICATES or len(same) > 1
        if not alike and found != true:
            wrong[true, found] += 1
    assert not wrong
    assert len(kept) > 200


def test_the_counts_are_those_of_the_files_and_every_reason_is_declared(done: Done) -> None:
    assert done.counts.rows_in == ROWS
    assert done.counts.manifests == len(done.manifests)
    assert done.counts.quarantined == dict(Counter(sorted(done.quarantine["reason"])))
    assert set(done.counts.quarantined) <= set(REASONS)
    account = reconcile_rows(done.raw, done.manifests.lazy(), done.quarantine.lazy())
    assert account.ok, account.explain()


def test_the_frames_have_their_schemas(done: Done) -> None:
    assert done.manifests.schema == MANIFESTS_SCHEMA == CONTRACT.schema
    assert done.quarantine.schema == QUARANTINE_SCHEMA
    assert set(done.quarantine["stage"]) == {"manifests"}


def test_nothing_that_was_planted_is_left_anywhere(done: Done) -> None:
    artifacts = {
        "manifests": done.manifests.write_json(),
        "quarantine": done.quarantine.write_json(),
        "reports": json.dumps(
            diagnostic(done.raw, done.manifests.lazy(), done.quarantine.lazy(), IacOptions())
        ),
    }
    planted = 0
    for file in done.files:
        for kind, value in file.truth.planted:
            planted += 1
            lines = value.splitlines()[1:-1] if kind == "private_key" else [value]
            forms = [*lines, *(base64.b64encode(line.encode()).decode() for line in lines)]
            for name, text in artifacts.items():
                assert not [form for form in forms if form in text], (name, kind, file.path)
    assert planted > 100


def test_manifests_without_anything_planted_are_not_touched(done: Done) -> None:
    kept = {row["row_number"]: row for row in done.manifests.iter_rows(named=True)}
    for number, row in kept.items():
        truth = done.files[number].truth
        assert row["num_redactions"] == len(truth.planted), done.files[number].path
        if not truth.planted:
            content = done.files[number].content.removeprefix("\ufeff").replace("\r\n", "\n")
            assert row["content"] == content


def test_types_and_documents_are_the_true_ones(done: Done) -> None:
    for row in done.manifests.iter_rows(named=True):
        truth = done.files[row["row_number"]].truth
        if truth.reason is None:
            assert row["iac_type"] == truth.iac_type
            assert row["num_documents"] == truth.documents
        assert row["kubernetes_check"] in ("valid", "unknown"), row["kubernetes_errors"]


@pytest.mark.parametrize(("workers", "batch_rows"), [(1, 64), (2, 100)])
def test_the_files_are_the_same_whatever_the_workers(
    done: Done, tmp_path: Path, workers: int, batch_rows: int
) -> None:
    process(
        done.raw,
        tmp_path / "manifests.parquet",
        tmp_path / "quarantine.parquet",
        options=IacOptions(),
        seed=42,
        workers=workers,
        batch_rows=batch_rows,
    )
    for name in ("manifests.parquet", "quarantine.parquet"):
        assert (tmp_path / name).read_bytes() == (done.folder / name).read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["manifests.parquet", "quarantine.parquet"]


def test_a_source_without_a_single_manifest_gives_empty_frames(tmp_path: Path, done: Done) -> None:
    counts = process(
        done.raw.filter(pl.col("content").str.contains("openapi")),
        tmp_path / "manifests.parquet",
        tmp_path / "quarantine.parquet",
        options=IacOptions(),
        seed=42,
        workers=1,
    )
    assert counts.manifests == 0
    assert pl.read_parquet(tmp_path / "manifests.parquet").schema == MANIFESTS_SCHEMA
    assert pl.read_parquet(tmp_path / "quarantine.parquet")["reason"].unique().to_list() == ["not_kubernetes"]


def test_the_contract_holds_and_each_of_its_checks_can_fail(done: Done) -> None:
    evaluation = evaluate(CONTRACT, done.manifests.lazy(), ROWS)
    assert evaluation.passed
    assert len(evaluation.schema) == 6
    assert len(evaluation.anomalies) == 4
    assert all(result.passed for result in (*evaluation.anomalies, *evaluation.rates))
    for name in (
        "has_record_keys",
        "roles_in_order",
        "content_is_json",
        "tool_is_apply_manifest",
        "manifest_parses",
    ):
        broken = done.manifests.with_columns(pl.lit(False).alias(name))
        found = evaluate(CONTRACT, broken.lazy(), ROWS)
        assert [result.name for result in found.schema if not result.passed] == [name]
        assert {result.name for result in found.anomalies if not result.passed} == {
            "pass_rate",
            "most_frequent_violation",
        }
    leaking = done.manifests.with_columns(
        num_findings=pl.when(pl.col("row_number") == pl.col("row_number").min()).then(1).otherwise(0)
    )
    found = evaluate(CONTRACT, leaking.lazy(), ROWS)
    assert [result.name for result in found.schema if not result.passed] == ["nothing_left_to_redact"]
    assert [result.name for result in found.anomalies if not result.passed] == ["findings_left"]
    few = evaluate(CONTRACT, done.manifests.head(3).lazy(), 10_000)
    assert [result.name for result in few.anomalies if not result.passed] == ["low_row_count"]
    bad = done.manifests.with_columns(kubernetes_check=pl.lit("invalid"))
    assert not evaluate(CONTRACT, bad.lazy(), ROWS).rates[0].passed


@pytest.mark.parametrize(
    ("messages", "fails"),
    [
        ('[{"role":"user"},{"role":"assistant","content":"x"}]', "has_record_keys"),
        ('{"role":"user"}', "has_record_keys"),
        ('[{"role":"assistant","content":"{}"},{"role":"user","content":"x"}]', "roles_in_order"),
        ('[{"role":"user","content":"x"},{"role":"assistant","content":"no json"}]', "content_is_json"),
        ('[{"role":"user","content":"x"},{"role":"assistant","content":"{}"}]', "tool_is_apply_manifest"),
        (
            '[{"role":"user","content":"x"},{"role":"assistant","content":"{\\"tool\\":\\"apply_manifest\\",'
            '\\"params\\":{\\"manifest_content\\":\\"a: [\\"}}"}]',
            "manifest_parses",
        ),
    ],
)
def test_each_check_of_a_record_sees_its_defect(messages: str, fails: str) -> None:
    checked = validate(pl.DataFrame({"messages": [messages], "content": ["a: 1"]}), Limits())
    assert checked.row(0, named=True)[fails] is False


def test_both_forms_hold_the_same_manifests(done: Done) -> None:
    weights = done.manifests.lazy().select("row_number", sampling_weight=pl.lit(1.0))
    records = [
        json.loads(line) for line in training_record_lines(done.manifests.lazy(), weights).collect()["line"]
    ]
    forms = [json.loads(line) for line in tool_message_lines(done.manifests.lazy()).collect()["line"]]
    for row, record, form in zip(done.manifests.iter_rows(named=True), records, forms, strict=True):
        assert list(record) == [
            *("messages", "hexsha", "repo", "path", "size", "licenses", "iac_type", "prompt_type"),
            "sampling_weight",
        ]
        user, assistant = record["messages"]
        call = {"tool": "apply_manifest", "params": {"manifest_content": row["content"]}}
        assert json.loads(assistant["content"]) == call
        assert user == form["messages"][0] == {"role": "user", "content": row["prompt"]}
        (made,) = form["messages"][1]["tool_calls"]
        assert made["function"] == {
            "name": "apply_manifest",
            "arguments": {"manifest_content": row["content"]},
        }
        assert form["tools"] == TOOLS
        assert record["hexsha"] == done.files[row["row_number"]].hexsha
        assert record["licenses"] == list(done.files[row["row_number"]].licenses)


def test_the_reports_account_for_every_row_and_draw_alike(done: Done) -> None:
    options = IacOptions()
    told = diagnostic(done.raw, done.manifests.lazy(), done.quarantine.lazy(), options)
    assert told["filters"][0]["rows_in"] == ROWS
    assert told["filters"][-1]["rows_left"] == told["manifests"] == len(done.manifests)
    assert told["exposure"]["findings_before"] == done.manifests["num_redactions"].sum() > 0
    assert told["exposure"]["findings_after"] == 0
    found = analysis(done.manifests.lazy(), options)
    assert sum(found["sizes"]["buckets"].values()) == sum(found["licences"].values()) == len(done.manifests)
    assert found["keywords"]["gpu"]["gpu"]["manifests"] > 0
    assert analysis_plot(found) == analysis_plot(found)
    assert diagnostic_plot(told).startswith(b"\x89PNG")


def test_reports_on_nothing_are_reports(done: Done) -> None:
    nothing = done.manifests.head(0).lazy()
    found = analysis(nothing, IacOptions())
    assert found["manifests"] == 0
    assert analysis_plot(found).startswith(b"\x89PNG")
    told = diagnostic(done.raw, nothing, done.quarantine.lazy(), IacOptions())
    assert diagnostic_plot(told).startswith(b"\x89PNG")


def test_a_file_of_fifty_megabytes_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "huge.jsonl"
    with path.open("w") as file:
        for size in (60, 50 << 20):
            file.write(json.dumps({"content": "a: " + "x" * size, "ext": "yaml", "hexsha": f"{size}"}) + "\n")
    source = resolve_source("file", path=path, hub=NO_HUB)
    manifest = Manifest(dataset="iac", source=source, rows=None, seed=42, shuffle_buffer=100)
    gc.collect()
    tracemalloc.start()
    counts = read_source(manifest, tmp_path / "raw.parquet", hub=NO_HUB)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts.errors == {"too_large": 1}
    assert peak < 60 << 20
