"""Where Glaive rows come from: the bundled sample, the Hub, a local file; and which of them a version takes.

What belongs here: naming a source once and for all when a version is cut (`resolve_source`), and reading a
version's rows from it through the seeded shuffle buffer into the raw frame (`read_source`). What does not:
finding the records in the bytes (`records.py`), what a chat means (`parse.py`).
"""

from __future__ import annotations

import io
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import chain, islice
from pathlib import Path

from automend_assets.connectors.hub import HubFile, HubResource
from automend_assets.connectors.sources import (
    CountedStream,
    Origin,
    SampleCounts,
    open_files,
    pin_source,
    shuffled,
)
from automend_assets.datasets.glaive.records import (
    MAX_ROW_BYTES,
    EmptySource,
    Record,
    SourceNotReadable,
    read_records,
)
from automend_assets.settings import project_root
from automend_assets.versions.manifest import Manifest, Source

UPSTREAM_REPO = "glaiveai/glaive-function-calling-v2"
SHUFFLE_BUFFER = 10_000
_DATA_SUFFIXES = ((".parquet",), (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"), (".json", ".json.gz"))
_NOT_DATA = ("dataset_infos.json", "dataset_info.json", "config.json")
_READ_BYTES = 1 << 20
_ROW_GROUP_ROWS = 4_096
_ROW_GROUP_CHARS = 32 << 20
_PROGRESS_SECONDS = 2.0


def sample_path() -> Path:
    """The bundled rows, which `sample.py` generated."""
    return project_root() / "data" / "samples" / "glaive" / "glaive-function-calling-v2.json.gz"


def resolve_source(
    kind: str,
    *,
    hub: HubResource,
    path: str | Path | None = None,
    repo: str | None = None,
    revision: str | None = None,
) -> Source:
    """Pin down a source for a manifest; see `connectors.sources.pin_source`."""
    return pin_source(kind, _origin(), hub=hub, path=path, repo=repo, revision=revision)


def read_source(
    manifest: Manifest,
    destination: Path,
    *,
    hub: HubResource,
    on_progress: Callable[[int, int], None] | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
) -> SampleCounts:
    """Write the raw frame of a version to the Parquet file `destination`, and count.

    Columns: row_number Int64 (position in the source), system, chat, source_error, source_text (String, null
    allowed); rows in the order of the shuffle buffer. Memory holds that buffer and one row group, and no
    more of the source is read than the rows asked for need. `on_progress(rows_read, bytes_read)` is called
    every 2 seconds and at the end. The same manifest gives the same bytes.

    Raises SourceMissing, SourceChanged, SourceNotReadable, EmptySource and the errors of `connectors.hub`.
    """
    reading = _Reading(manifest.source, hub, max_row_bytes, on_progress)
    with closing(reading.rows()) as rows:
        taken = islice(shuffled(rows, seed=manifest.seed, buffer_rows=manifest.shuffle_buffer), manifest.rows)
        written, errors = _write(taken, destination)
    reading.report()
    return SampleCounts(
        rows_read=reading.rows_read,
        rows_written=written,
        bytes_read=reading.bytes_read,
        exhausted=reading.exhausted,
        errors=dict(sorted(errors.items())),
    )


class _Reading:
    """The records of a source with their numbers, and how far the reading has come."""

    def __init__(
        self,
        source: Source,
        hub: HubResource,
        max_row_bytes: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._source = source
        self._hub = hub
        self._max_row_bytes = max_row_bytes
        self._on_progress = on_progress
        self.rows_read = 0
        self.bytes_read = 0
        self.exhausted = False

    def rows(self) -> Generator[tuple[int, Record], None, None]:
        next_report = time.monotonic() + _PROGRESS_SECONDS
        empty: EmptySource | None = None
        for name, raw in open_files(self._source, _origin(), self._hub):
            with io.BufferedReader(CountedStream(raw, self._count), _READ_BYTES) as stream:
                try:
                    for record in read_records(stream, name, max_row_bytes=self._max_row_bytes):
                        self.rows_read += 1
                        yield self.rows_read - 1, record
                        if time.monotonic() >= next_report:
                            self.report()
                            next_report = time.monotonic() + _PROGRESS_SECONDS
                except EmptySource as error:  # an empty file beside others is fine
                    empty = error
        if empty and not self.rows_read:
            raise empty
        self.exhausted = True

    def _count(self, size: int) -> None:
        self.bytes_read += size

    def report(self) -> None:
        if self._on_progress:
            self._on_progress(self.rows_read, self.bytes_read)


def _origin() -> Origin:
    return Origin("glaive", UPSTREAM_REPO, sample_path(), _data_files)


def _data_files(hub: HubResource, repo: str, revision: str) -> list[HubFile]:
    """The files of a repository that hold rows: all of the first kind in `_DATA_SUFFIXES` that it has any
    of."""
    files = [file for file in hub.list_files(repo, revision) if Path(file.path).name not in _NOT_DATA]
    for suffixes in _DATA_SUFFIXES:
        if chosen := [file for file in files if file.path.endswith(suffixes)]:
            return chosen
    raise SourceNotReadable(
        f"{repo} has no data file at {revision}: expected one of {', '.join(chain(*_DATA_SUFFIXES))}, "
        f"found {', '.join(file.path for file in files[:10]) or 'nothing'}. Name another repository."
    )


def _write(rows: Iterator[tuple[int, Record]], destination: Path) -> tuple[int, Counter[str]]:
    """Write the raw frame; when it cannot be finished, nothing of it stays behind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [("row_number", pa.int64())]
        + [(name, pa.large_string()) for name in ("system", "chat", "source_error", "source_text")]
    )
    written, errors = 0, Counter[str]()
    try:
        with pq.ParquetWriter(destination, schema, compression="zstd") as writer:
            for group in _row_groups(rows):
                numbers, records = zip(*group, strict=True)
                columns = [numbers, *zip(*records, strict=True)]
                writer.write_table(
                    pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)
                )
                written += len(group)
                errors.update(record.error for record in records if record.error)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise
    return written, errors


def _row_groups(rows: Iterator[tuple[int, Record]]) -> Iterator[list[tuple[int, Record]]]:
    group: list[tuple[int, Record]] = []
    chars = 0
    for row in rows:
        group.append(row)
        chars += len(row[1].system or "") + len(row[1].chat or "")
        if len(group) == _ROW_GROUP_ROWS or chars >= _ROW_GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group
