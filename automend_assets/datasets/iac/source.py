"""Where manifests come from: the bundled sample, the Hub, a local file; and which of them a version takes.

What belongs here: naming a source once and for all when a version is cut (`resolve_source`), and reading a version's
rows from it through the seeded shuffle buffer into the raw frame (`read_source`). What does not: finding the records
in the bytes (`records.py`), which of them are kept (`process.py`).
"""

from __future__ import annotations

import io
import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
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
from automend_assets.datasets.iac.records import (
    MAX_ROW_BYTES,
    SOURCE_TEXT_CHARS,
    EmptySource,
    Record,
    SourceNotReadable,
    read_records,
)
from automend_assets.settings import project_root
from automend_assets.versions.manifest import Manifest, Source

UPSTREAM_REPO = "bigcode/the-stack-dedup"
_SHARDS = "data/yaml/"
_READ_BYTES = 1 << 20
_ROW_GROUP_ROWS = 2_048
_ROW_GROUP_CHARS = 32 << 20
_PROGRESS_SECONDS = 2.0


def sample_path() -> Path:
    """The bundled rows, which `sample.py` generated."""
    return project_root() / "data" / "samples" / "iac" / "data-00000-of-00001.parquet"


def resolve_source(
    kind: str,
    *,
    hub: HubResource,
    path: str | Path | None = None,
    repo: str | None = None,
    revision: str | None = None,
) -> Source:
    """Pin down a source for a manifest; see `connectors.sources.pin_source`."""
    return pin_source(kind, _origin(seed=0), hub=hub, path=path, repo=repo, revision=revision)


def read_source(
    manifest: Manifest,
    destination: Path,
    *,
    hub: HubResource,
    on_progress: Callable[[int, int], None] | None = None,
    max_row_bytes: int = MAX_ROW_BYTES,
) -> SampleCounts:
    """Write the raw frame of a version to the Parquet file `destination`, and count.

    Columns: row_number Int64 (how many rows were read before it), hexsha, ext, repo, path String, licenses
    List(String), alphanum_fraction Float64, content, source_error, source_text String; rows in the order of the
    shuffle buffer. The shards of a repository are read in an order that the seed decides, row group by row group,
    only the columns that are used; no more of them than the rows asked for need. A hexsha that was taken before is
    noted as an error, without its content. Memory holds the buffer, one row group of a shard and the hashes of what
    was taken. `on_progress` is called as (rows_read, bytes_read) every 2 seconds and at the end. The same manifest
    gives the same bytes.

    Raises SourceMissing, SourceChanged, SourceNotReadable, EmptySource and the errors of `connectors.hub`.
    """
    reading = _Reading(manifest, hub, max_row_bytes, on_progress)
    with closing(reading.rows()) as rows:
        drawn = shuffled(rows, seed=manifest.seed, buffer_rows=manifest.shuffle_buffer)
        written, errors = _write(_marked_duplicates(islice(drawn, manifest.rows)), destination)
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
        manifest: Manifest,
        hub: HubResource,
        max_row_bytes: int,
        on_progress: Callable[[int, int], None] | None,
    ) -> None:
        self._manifest = manifest
        self._hub = hub
        self._max_row_bytes = max_row_bytes
        self._on_progress = on_progress
        self.rows_read = 0
        self.bytes_read = 0
        self.exhausted = False

    def rows(self) -> Generator[tuple[int, Record], None, None]:
        next_report = time.monotonic() + _PROGRESS_SECONDS
        empty: EmptySource | None = None
        for name, raw in open_files(self._manifest.source, _origin(self._manifest.seed), self._hub):
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


def _origin(seed: int) -> Origin:
    def shards(hub: HubResource, repo: str, revision: str) -> list[HubFile]:
        files = [file for file in hub.list_files(repo, revision) if file.path.endswith(".parquet")]
        # Another repository in the same layout may hold nothing but YAML.
        chosen = [file for file in files if file.path.startswith(_SHARDS)] or files
        if not chosen:
            raise SourceNotReadable(
                f"{repo} has no Parquet file at {revision}: expected {_SHARDS}*.parquet. Name another repository."
            )
        # sorted by a draw and not `shuffle`, whose algorithm Python does not promise to keep
        draw = random.Random(seed).random  # noqa: S311
        return [file for _, _, file in sorted((draw(), file.path, file) for file in chosen)]

    return Origin("iac", UPSTREAM_REPO, sample_path(), shards)


def _marked_duplicates(rows: Iterator[tuple[int, Record]]) -> Iterator[tuple[int, Record]]:
    seen: set[str] = set()
    for number, record in rows:
        if record.hexsha is None or record.hexsha not in seen:
            if record.hexsha is not None:
                seen.add(record.hexsha)
            yield number, record
            continue
        shown = record.text if record.content is None else record.content[:SOURCE_TEXT_CHARS]
        yield number, record._replace(content=None, error="duplicate_hexsha", text=shown)


def _write(rows: Iterator[tuple[int, Record]], destination: Path) -> tuple[int, Counter[str]]:
    """Write the raw frame; when it cannot be finished, nothing of it stays behind."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = pa.large_string()
    schema = pa.schema(
        [
            ("row_number", pa.int64()),
            ("hexsha", text),
            ("ext", text),
            ("repo", text),
            ("path", text),
            ("licenses", pa.large_list(text)),
            ("alphanum_fraction", pa.float64()),
            ("content", text),
            ("source_error", text),
            ("source_text", text),
        ]
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
        chars += len(row[1].content or "")
        if len(group) == _ROW_GROUP_ROWS or chars >= _ROW_GROUP_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group
