"""What a release says about itself, on real files in a folder and in S3."""

from __future__ import annotations

import hashlib
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import polars as pl
import pytest

from automend_assets.contracts.bias import bias_report
from automend_assets.contracts.contract import (
    Anomaly,
    BiasSlice,
    Column,
    Contract,
    Expectation,
    SliceMetric,
)
from automend_assets.contracts.evaluation import evaluate
from automend_assets.storage.store import ArtifactMissing, Store
from automend_assets.versions.manifest import FileSource, HubSource, Manifest, SampleSource, Source
from automend_assets.versions.release import (
    CARD_FILE,
    Artifact,
    ArtifactDamaged,
    CardConfig,
    CardText,
    Reports,
    dataset_card,
    describe_artifacts,
    release_manifest,
    release_metrics,
)

TIER = pl.col("tier")
CONTRACT = Contract(
    dataset="toys",
    asset="processed_records",
    source_asset="raw_sample",
    title="Toys: a title with a colon",
    licence="Apache-2.0",
    source_url="https://huggingface.co/datasets/acme/toys",
    description="Conversations about toys.",
    columns=(
        Column("row_number", pl.Int64(), "Position in the source"),
        Column("tier", pl.String(), "simple | complex"),
    ),
    expectations=(
        Expectation("tier_exists", "ExpectColumnToExist", {"column": "tier"}, "The column tier exists"),
        Expectation(
            "tier_in_set",
            "ExpectColumnValuesToBeInSet",
            {"column": "tier", "value_set": ("simple",)},
            "tier is simple",
        ),
    ),
    anomalies=(
        Anomaly("simple_rate", (TIER == "simple").mean(), "below", 0.9, "Draw more", "Share of simple"),
    ),
    rates=(Anomaly("mean_row", pl.col("row_number").mean(), "above", 100, "Look", "Mean row number"),),
    slices=(BiasSlice("tier", TIER, ("simple", "complex"), "Tier"),),
    slice_metrics=(SliceMetric("mean_row", pl.col("row_number").mean(), "Mean row number"),),
    usable=TIER.is_not_null(),
)
FRAME = pl.DataFrame({"row_number": range(10), "tier": ["simple"] * 8 + ["complex"] * 2})
TEXT = CardText(
    origin=("acme/toys",),
    tasks=("text-generation",),
    languages=("en",),
    tags=("tool-use",),
    configs=(
        CardConfig("chatml", "chatml.jsonl", "one conversation"),
        CardConfig(
            "tool_messages",
            "tool_messages.jsonl",
            "one conversation with tools",
            features=({"name": "n", "dtype": "float64"}, {"name": "call", "dtype": "json"}),
        ),
    ),
    made=("Parsed.", "Checked."),
    limitations=("Toys only.",),
    loading='```python\nload_dataset("folder", "chatml")\n```',
)
FILES = ("processed_records.parquet", "chatml.jsonl", "tool_messages.jsonl", "bias_report.json")
HUB = HubSource(repo="acme/toys", revision="a" * 40)


def manifest(source: Source = HUB) -> Manifest:
    return Manifest(dataset="toys", source=source, rows=10, seed=42, shuffle_buffer=100)


@pytest.fixture(scope="module")
def reports() -> Reports:
    return Reports(
        quarantined={"processed_records": {"missing_chat": 3}, "chatml": {"truncated|call": 1}},
        checks=evaluate(CONTRACT, FRAME.lazy(), 10).as_json(),
        bias=bias_report(CONTRACT, FRAME.lazy(), seed=1),
    )


def fill(store: Store, *, version: str = "v0001") -> None:
    with store.write("toys", version, "processed_records.parquet") as file:
        FRAME.write_parquet(file)
    with store.write("toys", version, "chatml.jsonl") as file:
        file.write_bytes(b'{"messages":[],"tier":"simple"}\n{"messages":[{}],"tier":null}\n')
    with store.write("toys", version, "tool_messages.jsonl") as file:
        # No line feed at the end: still two lines.
        file.write_bytes(b'{"n":1,"call":{"a":1}}\n{"n":1.5,"call":{"b":2}}')
    with store.write("toys", version, "bias_report.json") as file:
        file.write_bytes(b"{}\n")


def test_artifacts_are_described_as_they_are(any_store: Store) -> None:
    fill(any_store)

    found = describe_artifacts(any_store, "toys", "v0001", FILES)

    assert [artifact.file for artifact in found] == list(FILES)
    for artifact in found:
        content = any_store.read_bytes("toys", "v0001", artifact.file)
        assert artifact.sha256 == hashlib.sha256(content).hexdigest()
        assert artifact.bytes == len(content)
    processed, chatml, tools, bias = found
    assert (processed.name, processed.rows) == ("processed_records", 10)
    assert processed.schema == {"row_number": "Int64", "tier": "String"}
    assert (chatml.rows, chatml.schema) == (2, {"messages": "array", "tier": "null or string"})
    assert (tools.rows, tools.schema) == (2, {"n": "integer or number", "call": "object"})
    assert (bias.rows, bias.schema) == (None, None)


def test_an_empty_file_of_json_lines_has_no_rows(store: Store) -> None:
    with store.write("toys", "v0001", "chatml.jsonl") as file:
        file.touch()

    (found,) = describe_artifacts(store, "toys", "v0001", ["chatml.jsonl"])

    assert (found.bytes, found.rows, found.schema) == (0, 0, {})
    assert found.sha256 == hashlib.sha256(b"").hexdigest()


def test_a_missing_artifact_is_named(store: Store) -> None:
    with pytest.raises(ArtifactMissing, match="toys/chatml of version v0001"):
        describe_artifacts(store, "toys", "v0001", ["chatml.jsonl"])


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b'{"a":', "unexpected end of data"),
        (b"[1]", "a JSON array"),
        (b"", "data is empty"),
        (b"\xff", "UTF-8"),
    ],
)
def test_a_line_that_is_no_record_is_found(store: Store, line: bytes, found: str) -> None:
    with store.write("toys", "v0001", "chatml.jsonl") as file:
        file.write_bytes(b'{"a":1}\n' + line + b"\n")

    with pytest.raises(ArtifactDamaged, match=r"Line 2 of .*chatml\.jsonl is not a JSON object") as raised:
        describe_artifacts(store, "toys", "v0001", ["chatml.jsonl"])
    assert found.lower() in str(raised.value).lower()


@contextmanager
def peak_memory() -> Iterator[list[int]]:
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_file(any_store: Store) -> None:
    line = orjson.dumps({"messages": ["x" * 10_000]}) + b"\n"
    with any_store.write("toys", "v0001", "chatml.jsonl") as file, file.open("wb") as out:
        out.writelines([line] * 8_000)

    with peak_memory() as peak:
        (found,) = describe_artifacts(any_store, "toys", "v0001", ["chatml.jsonl"])

    assert found.rows == 8_000
    assert found.bytes == 8_000 * len(line) > 80_000_000
    assert peak[0] < 30_000_000


def test_metrics_are_flat_numbers(store: Store, reports: Reports) -> None:
    fill(store)

    metrics = release_metrics(describe_artifacts(store, "toys", "v0001", FILES), reports)

    assert metrics == {
        "rows.processed_records": 10,
        "rows.chatml": 2,
        "rows.tool_messages": 2,
        "quarantined.chatml.truncated|call": 1,
        "quarantined.processed_records.missing_chat": 3,
        "checks.failed": 1,
        "checks.warned": 1,
        "watched.simple_rate": 0.8,
        "watched.mean_row": 4.5,
        "bias.tier.simple": 0.8,
        "bias.tier.complex": 0.2,
    }


def test_the_manifest_says_what_went_in_and_came_out(store: Store, reports: Reports) -> None:
    fill(store)
    artifacts = describe_artifacts(store, "toys", "v0001", FILES)

    first = release_manifest("v0001", manifest(), CONTRACT, artifacts, reports)
    again = release_manifest(
        "v0001", manifest(), CONTRACT, describe_artifacts(store, "toys", "v0001", FILES), reports
    )

    assert orjson.dumps(first) == orjson.dumps(again)
    assert (first["dataset"], first["version"], first["licence"]) == ("toys", "v0001", "Apache-2.0")
    assert first["manifest_sha256"] == manifest().sha256
    assert first["manifest"]["source"] == {"kind": "hub", "repo": "acme/toys", "revision": "a" * 40}
    assert [artifact["file"] for artifact in first["artifacts"]] == list(FILES)
    assert first["package"]["name"] == "automend-assets"


def card(store: Store, reports: Reports, source: Source = HUB) -> str:
    fill(store)
    artifacts = describe_artifacts(store, "toys", "v0001", FILES)
    return dataset_card("v0001", manifest(source), CONTRACT, TEXT, artifacts, reports)


def test_the_hub_reads_the_front_matter(store: Store, reports: Reports) -> None:
    from huggingface_hub import DatasetCard

    parsed = DatasetCard(card(store, reports), ignore_metadata_errors=False)

    assert parsed.data.pretty_name == "Toys: a title with a colon"
    assert parsed.data.license == "apache-2.0"
    assert parsed.data.task_categories == ["text-generation"]
    assert parsed.data.language == ["en"]
    assert parsed.data.size_categories == ["n<1K"]
    assert parsed.data.source_datasets == ["extended|acme/toys"]
    assert [config["config_name"] for config in parsed.data.to_dict()["configs"]] == [
        "chatml",
        "tool_messages",
    ]
    assert parsed.text.lstrip().startswith("# Toys: a title with a colon v0001")


@pytest.mark.parametrize(
    ("rows", "size"),
    [
        (999, "n<1K"),
        (1_000, "1K<n<10K"),
        (112_960, "100K<n<1M"),
        (5_000_000, "1M<n<10M"),
        (10**7, "10M<n<100M"),
    ],
)
def test_the_size_is_a_name_that_the_hub_knows(reports: Reports, rows: int, size: str) -> None:
    from huggingface_hub import DatasetCard

    artifacts = [
        Artifact(config.name, config.file, "0" * 64, 1, rows, {"messages": "array"})
        for config in TEXT.configs
    ]
    parsed = DatasetCard(dataset_card("v0001", manifest(), CONTRACT, TEXT, artifacts, reports))

    assert parsed.data.size_categories == [size]


def test_the_card_shows_counts_checks_and_bias(store: Store, reports: Reports) -> None:
    text = card(store, reports)

    assert "`acme/toys` on the Hugging Face Hub at revision `" + "a" * 40 in text
    assert "with seed 42" in text
    assert "| `processed_records` | 10 |" in text
    assert "| `processed_records` | missing_chat | 3 |" in text
    assert "| `chatml` | truncated\\|call | 1 |" in text
    assert "1 of 2 schema checks passed." in text
    assert "| tier_in_set |" in text
    assert "| simple_rate | 0.8 | below 0.9 | **warning**: Draw more |" in text
    assert "| mean_row | 4.5 | above 100 | passed |" in text
    assert "| tier | complex | 2 | 20.0% |" in text
    assert "| `tier` | String | simple \\| complex |" in text
    assert "- Toys only." in text
    for table in text.split("\n\n"):
        bars = {line.replace("\\|", "").count("|") for line in table.splitlines() if line.startswith("|")}
        assert len(bars) <= 1, table


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (SampleSource(sha256="b" * 64, bytes=7), "the sample bundled with the project, generated"),
        (FileSource(path="/home/me/private/rows.json", sha256="c" * 64, bytes=7), "the file `rows.json`"),
    ],
)
def test_the_card_tells_every_source(store: Store, reports: Reports, source: Source, words: str) -> None:
    text = card(store, reports, source)

    assert words in text
    assert "/home/me" not in text


def test_the_card_is_the_same_every_time(store: Store, reports: Reports) -> None:
    assert card(store, reports) == card(store, reports)


def test_a_configuration_without_its_file_is_refused(store: Store, reports: Reports) -> None:
    fill(store)
    artifacts = describe_artifacts(store, "toys", "v0001", ["chatml.jsonl"])

    with pytest.raises(ValueError, match=r"toys offers \['tool_messages.jsonl'\]"):
        dataset_card("v0001", manifest(), CONTRACT, TEXT, artifacts, reports)


def test_datasets_loads_the_folder_by_its_card(
    store: Store, reports: Reports, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    with store.write("toys", "v0001", CARD_FILE) as file:
        file.write_text(card(store, reports))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = str(store.path("toys", "v0001", CARD_FILE).parent)

    assert datasets.get_dataset_config_names(folder) == ["chatml", "tool_messages"]
    loaded = datasets.load_dataset(folder, "tool_messages", split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded["n"] == [1, 1.5]
    # Left to inference, the first call would have a "b" of null.
    assert list(loaded["call"]) == [{"a": 1}, {"b": 2}]
    default = datasets.load_dataset(folder, split="train", cache_dir=str(tmp_path / "cache"))
    assert default["tier"] == ["simple", None]
