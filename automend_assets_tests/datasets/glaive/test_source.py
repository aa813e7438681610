"""Pinning a source, and reading a version's rows from it: all three kinds, the sampling, what goes wrong."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from automend_assets.connectors.hub import (
    HubGated,
    HubResource,
    HubRevisionMissing,
    HubTokenMissing,
    HubUnreachable,
)
from automend_assets.connectors.sources import SampleCounts, SourceChanged, SourceMissing, shuffled
from automend_assets.datasets.glaive.source import read_source, resolve_source
from automend_assets.pipeline import reading
from automend_assets.pipeline.records import EmptySource, SourceNotReadable
from automend_assets.settings import project_root
from automend_assets.versions.manifest import FileSource, HubSource, Manifest, Source
from automend_assets_tests.servers.hub import LoopbackHub, dead_endpoint

REALDATA_HUB = project_root().parent / "shared" / "realdata" / "hub"
GLAIVE = "glaiveai/glaive-function-calling-v2"
REAL_FILE = REALDATA_HUB / "datasets" / GLAIVE / "glaive-function-calling-v2.json"
NO_HUB = HubResource(endpoint="http://127.0.0.1:9", attempts=1)
RAW_SCHEMA = {
    "row_number": pl.Int64,
    "system": pl.String,
    "chat": pl.String,
    "source_error": pl.String,
    "source_text": pl.String,
}


@pytest.fixture(scope="module")
def real_rows() -> list[dict[str, str]]:
    assert REAL_FILE.exists(), f"{REAL_FILE} is missing: it holds the real rows that this test reads"
    rows: list[dict[str, str]] = json.loads(REAL_FILE.read_bytes())
    return rows


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the token of whoever runs the tests out of them."""
    from huggingface_hub import constants

    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))


@pytest.fixture
def server(real_rows: list[dict[str, str]]) -> Iterator[LoopbackHub]:
    with LoopbackHub(REALDATA_HUB) as server:
        yield server


@pytest.fixture
def hub(server: LoopbackHub) -> HubResource:
    return HubResource(endpoint=server.url, attempts=3, backoff_seconds=0.01, timeout_seconds=5)


def manifest(of: Source, rows: int | None = None, seed: int = 42, buffer: int = 1_000) -> Manifest:
    return Manifest(dataset="glaive", source=of, rows=rows, seed=seed, shuffle_buffer=buffer)


def read(
    path: Path, of: Source, hub: HubResource = NO_HUB, **asked: Any
) -> tuple[pl.DataFrame, SampleCounts, bytes]:
    counts = read_source(manifest(of, **asked), path / "raw.parquet", hub=hub)
    frame = pl.read_parquet(path / "raw.parquet")
    assert dict(frame.schema) == RAW_SCHEMA
    return frame, counts, (path / "raw.parquet").read_bytes()


def write_rows(path: Path, rows: list[Any]) -> Source:
    path.write_text(json.dumps(rows))
    return resolve_source("file", path=path, hub=NO_HUB)


def numbered(count: int, width: int = 0) -> list[dict[str, str]]:
    return [{"system": "S", "chat": f"{i:>{width}}"} for i in range(count)]


# --- the Hub ---


def test_the_whole_real_sample_comes_through_the_hub_each_row_once(
    hub: HubResource, real_rows: list[dict[str, str]], tmp_path: Path
) -> None:
    pinned = resolve_source("hub", hub=hub)
    assert isinstance(pinned, HubSource)
    assert pinned.repo == GLAIVE
    frame, counts, _ = read(tmp_path, pinned, hub)
    assert counts == SampleCounts(870, 870, REAL_FILE.stat().st_size, exhausted=True, errors={})
    assert frame["row_number"].to_list() != list(range(870))
    assert frame.sort("row_number").select("row_number", "system", "chat").rows() == [
        (number, row["system"], row["chat"]) for number, row in enumerate(real_rows)
    ]
    assert frame["source_error"].null_count() == frame["source_text"].null_count() == 870


def test_the_same_manifest_gives_the_same_bytes_and_another_seed_other_rows(
    hub: HubResource, tmp_path: Path
) -> None:
    pinned = resolve_source("hub", hub=hub)
    asked = {"rows": 100, "buffer": 300}
    frame, counts, content = read(tmp_path, pinned, hub, **asked)
    assert (counts.rows_written, counts.rows_read, counts.exhausted) == (100, 400, False)
    assert frame["row_number"].n_unique() == 100
    assert frame["row_number"].max() > 300  # type: ignore[operator]
    assert read(tmp_path, pinned, hub, **asked)[2] == content
    assert set(read(tmp_path, pinned, hub, seed=43, **asked)[0]["row_number"]) != set(frame["row_number"])


def test_a_bad_connection_gives_the_same_bytes(hub: HubResource, server: LoopbackHub, tmp_path: Path) -> None:
    pinned = resolve_source("hub", hub=hub)
    clean = read(tmp_path, pinned, hub)
    server.fail("/resolve/", truncate=300_000, times=2)
    server.fail("/resolve/", status=503, times=1)
    server.fail("/resolve/", truncate=1, times=2)
    server.fail("/tree/", status=500)
    assert read(tmp_path, pinned, hub)[1:] == clean[1:]


def test_a_sample_does_not_fetch_the_whole_file(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    rows = json.dumps(numbered(40_000, width=1_000)).encode()
    server.add_files("datasets", "acme/big", {"big.json": rows})
    frame, counts, _ = read(
        tmp_path, resolve_source("hub", repo="acme/big", hub=hub), hub, rows=500, buffer=1_000
    )
    assert len(frame) == 500
    assert counts.bytes_read < 0.1 * len(rows)


def test_the_version_stays_at_its_commit_when_the_branch_moves(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    commit = server.add_files("datasets", "acme/moving", {"rows.json": json.dumps(numbered(5)).encode()})
    pinned = resolve_source("hub", repo="acme/moving", hub=hub)
    assert pinned == HubSource(repo="acme/moving", revision=commit)
    server.add_files("datasets", "acme/moving", {"rows.json": b"[]"})
    assert read(tmp_path, pinned, hub)[1].rows_written == 5
    assert resolve_source("hub", repo="acme/moving", revision=commit[:12], hub=hub) == pinned
    server.rewrite_history("datasets", "acme/moving")
    with pytest.raises(HubRevisionMissing, match=commit):
        read_source(manifest(pinned), tmp_path / "gone.parquet", hub=hub)
    assert not (tmp_path / "gone.parquet").exists()


def test_what_may_not_be_read_is_refused_when_the_version_is_cut(server: LoopbackHub) -> None:
    server.restrict("datasets", GLAIVE, gated=True, allowed={"alice"})
    with pytest.raises(HubTokenMissing, match="set HF_TOKEN"):
        resolve_source("hub", hub=HubResource(endpoint=server.url))
    with pytest.raises(HubGated, match="accept its terms"):
        resolve_source("hub", hub=HubResource(endpoint=server.url, token="hf_ro"))
    assert isinstance(resolve_source("hub", hub=HubResource(endpoint=server.url, token="hf_rw")), HubSource)


def test_a_hub_that_dies_leaves_no_half_written_file(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    pinned = resolve_source("hub", hub=hub)
    server.fail("/resolve/", truncate=1_500_000)
    server.fail("/resolve/", status=503, times=99)
    with pytest.raises(HubUnreachable):
        read_source(manifest(pinned, buffer=10), tmp_path / "raw.parquet", hub=hub)
    assert list(tmp_path.iterdir()) == []


def test_no_network_says_so() -> None:
    with dead_endpoint() as endpoint, pytest.raises(HubUnreachable, match="check the network"):
        resolve_source("hub", hub=HubResource(endpoint=endpoint, attempts=2, backoff_seconds=0.01))


def parquet(rows: list[dict[str, str]], path: Path) -> bytes:
    pl.DataFrame(rows).write_parquet(path, row_group_size=50)
    return path.read_bytes()


def test_parquet_shards_are_preferred_and_read_one_after_the_other(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    rows = numbered(300, width=500)
    server.add_files(
        "datasets",
        "acme/shards",
        {
            "data/train-1.parquet": parquet(rows[200:], tmp_path / "1"),
            "data/train-0.parquet": parquet(rows[:200], tmp_path / "0"),
            "old.json": b"[]",
            "README.md": b"# Rows",
        },
    )
    server.fail("/_cdn/", truncate=2_000, times=4)
    frame, counts, _ = read(tmp_path, resolve_source("hub", repo="acme/shards", hub=hub), hub)
    assert frame.sort("row_number")["chat"].to_list() == [row["chat"] for row in rows]
    assert counts.exhausted


def test_hub_errors_come_out_of_a_parquet_file_as_they_are(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    server.add_files("datasets", "acme/p", {"p.parquet": parquet(numbered(9), tmp_path / "p")})
    pinned = resolve_source("hub", repo="acme/p", hub=hub)
    server.fail("/_cdn/", status=503, times=99)
    with pytest.raises(HubUnreachable, match="HTTP 503"):
        read_source(manifest(pinned), tmp_path / "raw.parquet", hub=hub)


def test_an_empty_file_beside_others_is_no_error(
    server: LoopbackHub, hub: HubResource, tmp_path: Path
) -> None:
    server.add_files(
        "datasets",
        "acme/lines",
        {"a.jsonl": b"", "b.jsonl.gz": gzip.compress(b'{"chat": "x"}\n{"chat": "y"}')},
    )
    frame, _, _ = read(tmp_path, resolve_source("hub", repo="acme/lines", hub=hub), hub)
    assert sorted(frame["chat"]) == ["x", "y"]


def test_a_repository_without_data_files_says_what_it_has(server: LoopbackHub, hub: HubResource) -> None:
    server.add_files("datasets", "acme/none", {"README.md": b"#", "rows.csv": b"a,b"})
    with pytest.raises(SourceNotReadable, match=r"expected one of \.parquet.*found README\.md, rows\.csv"):
        resolve_source("hub", repo="acme/none", hub=hub)


# --- files and the bundled sample ---


def test_a_file_is_told_by_its_content_and_not_by_its_name(
    real_rows: list[dict[str, str]], tmp_path: Path
) -> None:
    lines = "\n".join(json.dumps(row) for row in real_rows).encode()
    array = REAL_FILE.read_bytes()
    forms = [array, lines, gzip.compress(array), gzip.compress(lines), parquet(real_rows, tmp_path / "p")]
    written = []
    for form in forms:
        (tmp_path / "rows.txt").write_bytes(form)
        written.append(read(tmp_path, resolve_source("file", path=tmp_path / "rows.txt", hub=NO_HUB))[2])
    assert len(set(written)) == 1


def test_a_relative_path_is_stored_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_rows(tmp_path / "rows.json", numbered(1))
    monkeypatch.chdir(tmp_path)
    pinned = resolve_source("file", path="rows.json", hub=NO_HUB)
    assert isinstance(pinned, FileSource)
    assert pinned.path == str(tmp_path / "rows.json")


@pytest.mark.parametrize("change", [b'[{"chat": "1"}]', b'[{"chat": "0"}] '])
def test_a_file_that_changed_since_the_cut_is_refused(change: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_bytes(b'[{"chat": "0"}]')
    pinned = resolve_source("file", path=tmp_path / "rows.json", hub=NO_HUB)
    (tmp_path / "rows.json").write_bytes(change)
    with pytest.raises(
        SourceChanged, match=r"cut a new version with `automend cut glaive --source file --path /"
    ):
        read(tmp_path, pinned)


def test_a_file_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing, match=r"gone\.json cannot be opened .No such file"):
        resolve_source("file", path=tmp_path / "gone.json", hub=NO_HUB)
    pinned = write_rows(tmp_path / "rows.json", numbered(1))
    (tmp_path / "rows.json").unlink()
    with pytest.raises(SourceMissing, match=r"put it there"):
        read(tmp_path, pinned)
    with pytest.raises(SourceMissing, match=r"Is a directory"):
        resolve_source("file", path=tmp_path, hub=NO_HUB)


def test_a_kind_or_path_that_is_missing_is_named() -> None:
    with pytest.raises(SourceMissing, match="use sample, hub or file"):
        resolve_source("s3", hub=NO_HUB)
    with pytest.raises(SourceMissing, match="add `--path FILE`"):
        resolve_source("file", hub=NO_HUB)


def test_the_bundled_sample_is_pinned_by_its_hash_and_needs_no_network(tmp_path: Path) -> None:
    pinned = resolve_source("sample", hub=NO_HUB)
    frame, counts, _ = read(tmp_path, pinned, rows=5_000, buffer=10_000)
    assert len(frame) == counts.rows_written == 5_000
    assert counts.errors == {}


def test_bad_rows_are_counted_and_none_is_lost(tmp_path: Path) -> None:
    rows = [*numbered(5), {"system": "S"}, {"chat": 7}, 9, {"chat": "x", "system": 1}, {}]
    frame, counts, _ = read(tmp_path, write_rows(tmp_path / "rows.json", rows))
    assert counts.rows_read == counts.rows_written == len(frame) == 10
    assert counts.errors == {
        "chat_not_string": 1,
        "missing_chat": 2,
        "not_an_object": 1,
        "system_not_string": 1,
    }
    assert frame.filter(pl.col("row_number") == 7).row(0)[3:] == ("not_an_object", "9")


@pytest.mark.parametrize(("content", "error"), [(b"[]", EmptySource), (b"a,b\n1,2", SourceNotReadable)])
def test_nothing_is_written_of_a_source_that_cannot_be_read(
    content: bytes, error: type[Exception], tmp_path: Path
) -> None:
    (tmp_path / "rows.json").write_bytes(content)
    pinned = resolve_source("file", path=tmp_path / "rows.json", hub=NO_HUB)
    with pytest.raises(error, match=str(tmp_path / "rows.json")):
        read(tmp_path, pinned)
    assert not (tmp_path / "raw.parquet").exists()


def test_damage_behind_the_sample_is_no_error_and_within_it_leaves_nothing(tmp_path: Path) -> None:
    text = json.dumps(numbered(20_000, width=500))[:-100]
    (tmp_path / "rows.json").write_text(text)
    pinned = resolve_source("file", path=tmp_path / "rows.json", hub=NO_HUB)
    assert read(tmp_path, pinned, rows=100, buffer=100)[1].rows_written == 100
    with pytest.raises(SourceNotReadable, match=f"past byte {len(text)}"):
        read_source(manifest(pinned), tmp_path / "all.parquet", hub=NO_HUB)
    assert not (tmp_path / "all.parquet").exists()


def test_progress_goes_up_and_ends_at_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PROGRESS_SECONDS", 0.0)
    pinned = write_rows(tmp_path / "rows.json", numbered(5_000, width=1_000))
    seen: list[tuple[int, int]] = []
    counts = read_source(
        manifest(pinned), tmp_path / "raw.parquet", hub=NO_HUB, on_progress=lambda *at: seen.append(at)
    )
    assert seen == sorted(seen)
    assert len(set(seen)) > 100
    assert (
        seen[-1] == (counts.rows_read, counts.bytes_read) == (5_000, (tmp_path / "rows.json").stat().st_size)
    )


# --- sampling ---


def test_the_shuffle_is_the_same_for_ever() -> None:
    """Versions that exist were drawn like this: a change here changes what they are rebuilt to."""
    assert list(shuffled(iter(range(12)), seed=42, buffer_rows=5)) == [3, 0, 1, 7, 5, 9, 4, 6, 8, 11, 2, 10]


@pytest.mark.parametrize(
    ("count", "buffer"), [(0, 5), (3, 5), (5, 5), (1_000, 1), (1_000, 50), (1_000, 5_000)]
)
def test_a_shuffle_loses_nothing_and_looks_no_further_than_its_buffer(count: int, buffer: int) -> None:
    rows = list(shuffled(iter(range(count)), seed=7, buffer_rows=buffer))
    assert sorted(rows) == list(range(count))
    assert all(row <= place + buffer for place, row in enumerate(rows))
    assert (rows == list(range(count))) == (buffer == 1 or count < 2)


def test_every_row_of_the_buffer_has_the_same_chance() -> None:
    firsts = [next(shuffled(iter(range(100)), seed=seed, buffer_rows=10)) for seed in range(4_000)]
    assert all(300 < firsts.count(row) < 500 for row in range(10))


def test_memory_is_that_of_the_buffer_and_not_of_the_source(tmp_path: Path) -> None:
    """In processes of their own: a source five times as long does not need more memory."""
    script = (
        "import sys, pathlib\n"
        "from automend_assets.connectors.hub import HubResource\n"
        "from automend_assets.datasets.glaive.source import read_source, resolve_source\n"
        "from automend_assets.versions.manifest import Manifest\n"
        "source = resolve_source('file', path=sys.argv[1], hub=HubResource())\n"
        "manifest = Manifest(dataset='glaive', source=source, rows=None, seed=1, shuffle_buffer=2000)\n"
        "read_source(manifest, pathlib.Path(sys.argv[1] + '.parquet'), hub=HubResource())\n"
        # Not ru_maxrss, which a child takes over from the process that started it.
        "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])"
    )
    peaks_mib = []
    # The shorter one fills the buffer and a row group too, which is what memory may hold.
    for count in (12_000, 60_000):
        path = tmp_path / f"{count}.json"
        with path.open("w") as file:
            file.write("[\n")
            for number in range(count):
                chat = f"USER: {number} " + '\\n\\"x'.join(str(number * 7919 % 9973) for _ in range(200))
                file.write(("" if number == 0 else ",\n") + f'{{"system": "S", "chat": "{chat}"}}')
            file.write("\n]\n")
        done = subprocess.run(
            [sys.executable, "-c", script, path], capture_output=True, text=True, check=True, env=os.environ
        )
        peaks_mib.append(int(done.stdout) // 1024)
    assert path.stat().st_size > 90_000_000
    assert peaks_mib[1] < peaks_mib[0] + 40
    assert peaks_mib[1] < 300


def test_asking_for_more_rows_than_there_are_gives_all(tmp_path: Path) -> None:
    pinned = write_rows(tmp_path / "rows.json", numbered(7))
    counts = read(tmp_path, pinned, rows=5_000)[1]
    assert (counts.rows_read, counts.rows_written, counts.exhausted) == (7, 7, True)
