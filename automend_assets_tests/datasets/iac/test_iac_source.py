"""Where manifests come from: shards streamed from a Hub on loopback, local files, the bundled sample; what goes
wrong."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automend_assets.connectors.hub import HubGated, HubResource, HubTokenMissing
from automend_assets.connectors.sources import SourceChanged, SourceMissing
from automend_assets.datasets.iac import sample
from automend_assets.datasets.iac.records import git_blob_name
from automend_assets.datasets.iac.source import read_source, resolve_source, sample_path
from automend_assets.pipeline.records import EmptySource, SourceNotReadable
from automend_assets.versions.manifest import HubSource, Manifest, Source
from automend_assets_tests.servers.hub import LoopbackHub
from automend_assets_tests.workplace import REALDATA

REPO = "bigcode/the-stack-dedup"
NO_HUB = HubResource(endpoint="http://127.0.0.1:9", attempts=1)


@pytest.fixture
def server() -> Iterator[LoopbackHub]:
    assert (REALDATA / "hub").exists(), f"{REALDATA} is missing: it holds the real rows that this test reads"
    with LoopbackHub(REALDATA / "hub") as running:
        yield running


@pytest.fixture
def hub(server: LoopbackHub) -> HubResource:
    return HubResource(
        endpoint=server.url, token="hf_ro", attempts=3, backoff_seconds=0.01, timeout_seconds=10
    )


def cut(source: Source, rows: int | None = None, seed: int = 42, buffer: int = 1_000) -> Manifest:
    return Manifest(dataset="iac", source=source, rows=rows, seed=seed, shuffle_buffer=buffer)


def read(manifest: Manifest, folder: Path, hub: HubResource = NO_HUB) -> pl.DataFrame:
    read_source(manifest, folder / "raw.parquet", hub=hub)
    return pl.read_parquet(folder / "raw.parquet")


def read_lines(folder: Path, *lines: bytes) -> pl.DataFrame:
    (folder / "rows.jsonl").write_bytes(b"\n".join(lines))
    return read(cut(resolve_source("file", path=folder / "rows.jsonl", hub=NO_HUB)), folder).sort(
        "row_number"
    )


def test_all_shards_are_read_each_row_once(hub: HubResource, tmp_path: Path) -> None:
    source = resolve_source("hub", hub=hub)
    assert isinstance(source, HubSource)
    assert source.repo == REPO
    frame = read(cut(source), tmp_path, hub)
    assert sorted(frame["row_number"]) == list(range(7_600))
    whole = frame.filter(pl.col("source_error").is_null())
    assert whole["hexsha"].n_unique() == len(whole) == 7_343
    assert (frame["source_error"] == "duplicate_hexsha").sum() == 257
    for content, name in whole.select("content", "hexsha").head(500).iter_rows():
        assert git_blob_name(content.encode()) == name


def test_a_sample_reads_few_shards_and_only_the_columns_that_are_used(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    source = resolve_source("hub", hub=hub)
    before = len(server.requests)
    counts = read_source(cut(source, rows=300, buffer=100), tmp_path / "raw.parquet", hub=hub)
    opened = {request.path for request in server.requests[before:] if request.path.endswith(".parquet")}
    assert len(opened) == 1
    assert counts.rows_written == 300
    assert counts.rows_read <= 1_000
    assert not counts.exhausted
    total = sum(file.stat().st_size for file in (REALDATA / "hub/datasets" / REPO / "data/yaml").iterdir())
    assert counts.bytes_read < total / 2


def test_the_seed_decides_the_order_of_the_shards_and_of_the_rows(hub: HubResource, tmp_path: Path) -> None:
    source = resolve_source("hub", hub=hub)
    frames = [read(cut(source, 200, seed, 50), tmp_path, hub)["hexsha"].to_list() for seed in (1, 1, 2, 3, 4)]
    assert frames[0] == frames[1]
    assert len({tuple(frame) for frame in frames}) == 4
    # Not all of them begin with the same shard.
    assert len(set(frames[0]) | set(frames[2]) | set(frames[3]) | set(frames[4])) > 500


def test_the_same_manifest_gives_the_same_bytes(hub: HubResource, tmp_path: Path) -> None:
    manifest = cut(resolve_source("hub", hub=hub), 500)
    first = read_source(manifest, tmp_path / "1.parquet", hub=hub)
    assert first == read_source(manifest, tmp_path / "2.parquet", hub=hub)
    assert (tmp_path / "1.parquet").read_bytes() == (tmp_path / "2.parquet").read_bytes()


def test_a_connection_that_breaks_and_a_server_that_stumbles_lose_nothing(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    source = resolve_source("hub", hub=hub)
    whole = read(cut(source, 1_000), tmp_path, hub)
    server.fail(r"/_cdn/", truncate=5_000, times=2)
    server.fail(r"/_cdn/", status=503, times=1)
    assert read(cut(source, 1_000), tmp_path, hub).equals(whole)


def test_a_gated_repository_is_refused_when_the_version_is_cut(server: LoopbackHub, hub: HubResource) -> None:
    server.restrict("datasets", REPO, gated=True)
    with pytest.raises(HubGated, match="accept its terms"):
        resolve_source("hub", hub=hub)
    with pytest.raises(HubTokenMissing, match="HF_TOKEN"):
        resolve_source("hub", hub=HubResource(endpoint=server.url, attempts=1))


def test_json_lines_are_read_with_a_code_for_each_that_is_no_row(tmp_path: Path) -> None:
    row = {"content": "a: 1\n", "max_stars_repo_path": "x/y.yml", "max_stars_repo_licenses": ["MIT"]}
    frame = read_lines(
        tmp_path,
        b"\xef\xbb\xbf" + json.dumps(row).encode(),
        b"{not json",
        b"[1]",
        b'{"content": "\xff"}',
        b"{}",
        b'{"content": 5}',
        b"",
        json.dumps({"content": "x" * (5 << 20)}).encode(),
        json.dumps(row).encode(),
    )
    errors = [
        "not_json",
        "not_an_object",
        "invalid_utf8",
        "missing_content",
        "content_not_string",
        "too_large",
    ]
    # One of the first and the last, which are alike, is the repetition.
    assert sorted(frame["source_error"].drop_nulls()) == sorted([*errors, "duplicate_hexsha"])
    assert len(frame) == 8
    first = frame.filter(pl.col("source_error").is_null()).row(0, named=True)
    assert first["hexsha"] == git_blob_name(b"a: 1\n")
    assert (first["ext"], first["path"], first["licenses"]) == ("yml", "x/y.yml", ["MIT"])
    assert first["alphanum_fraction"] == pytest.approx(2 / 5)


def test_gzipped_json_lines_and_damaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    whole = gzip.compress(b"".join(b'{"content": "a: %d"}\n' % number for number in range(5_000)), mtime=0)
    path.write_bytes(whole)
    assert len(read(cut(resolve_source("file", path=path, hub=NO_HUB)), tmp_path)) == 5_000
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceNotReadable, match="damaged gzip"):
        read(cut(resolve_source("file", path=path, hub=NO_HUB)), tmp_path)
    assert not (tmp_path / "raw.parquet").exists()


def test_parquet_that_is_not_utf8_or_lacks_columns(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    content = pa.array([b"a: 1", b"\xff\xfe", None]).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"content": content}), path)
    frame = read(cut(resolve_source("file", path=path, hub=NO_HUB)), tmp_path).sort("row_number")
    assert frame["source_error"].to_list() == [None, "invalid_utf8", "missing_content"]
    pq.write_table(pa.table({"text": ["a"]}), path)
    with pytest.raises(SourceNotReadable, match="without a column `content`"):
        read(cut(resolve_source("file", path=path, hub=NO_HUB)), tmp_path)
    pq.write_table(pa.table({"content": [1]}), path)
    with pytest.raises(SourceNotReadable, match="is int64"):
        read(cut(resolve_source("file", path=path, hub=NO_HUB)), tmp_path)


@pytest.mark.parametrize(
    ("data", "error"),
    [(b"", EmptySource), (b"PAR1 and no more", SourceNotReadable), (b"a: 1\nb: 2\n", SourceNotReadable)],
)
def test_files_that_are_no_source(tmp_path: Path, data: bytes, error: type[Exception]) -> None:
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(error):
        read(cut(resolve_source("file", path=tmp_path / "file", hub=NO_HUB)), tmp_path)


def test_a_file_that_changed_or_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        resolve_source("file", path=tmp_path / "nothing", hub=NO_HUB)
    path = tmp_path / "rows.jsonl"
    path.write_text('{"content": "a: 1"}\n')
    source = resolve_source("file", path=path, hub=NO_HUB)
    path.write_text('{"content": "a: 2"}\n')
    with pytest.raises(SourceChanged, match="automend cut iac"):
        read(cut(source), tmp_path)


def test_the_bundled_sample_is_what_the_generator_makes(tmp_path: Path) -> None:
    sample.write_parquet(tmp_path / "again.parquet", 2_000)
    assert pl.read_parquet(tmp_path / "again.parquet").equals(pl.read_parquet(sample_path()))
    frame = read(cut(resolve_source("sample", hub=NO_HUB)), tmp_path)
    assert len(frame) == 2_000


def test_the_sample_has_upstreams_columns() -> None:
    real = pl.read_parquet_schema(next((REALDATA / "hub/datasets" / REPO / "data/yaml").glob("*.parquet")))
    assert pl.read_parquet_schema(sample_path()) == real
