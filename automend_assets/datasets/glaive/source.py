"""Where Glaive rows come from: the bundled sample, the Hub, a local file; and which of them a version takes.

What belongs here: naming a source once and for all when a version is cut (`resolve_source`), and reading a
version's rows from it through the seeded shuffle buffer into the raw frame (`read_source`). What does not:
finding the records in the bytes (`records.py`), what a chat means (`parse.py`).
"""

from __future__ import annotations

import hashlib
import io
import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from automend_assets.connectors.hub import HubFile, HubResource
from automend_assets.datasets.glaive.records import (
    MAX_ROW_BYTES,
    EmptySource,
    Record,
    SourceNotReadable,
    read_records,
)
from automend_assets.errors import PermanentError
from automend_assets.settings import project_root
from automend_assets.versions.manifest import FileSource, HubSource, Manifest, SampleSource, Source

if TYPE_CHECKING:
    from typing_extensions import Buffer

_T = TypeVar("_T")

UPSTREAM_REPO = "glaiveai/glaive-function-calling-v2"
SHUFFLE_BUFFER = 10_000
_DATA_SUFFIXES = ((".parquet",), (".jsonl", ".jsonl.gz", ".ndjson", ".ndjson.gz"), (".json", ".json.gz"))
_NOT_DATA = ("dataset_infos.json", "dataset_info.json", "config.json")
_READ_BYTES = 1 << 20
_ROW_GROUP_ROWS = 4_096
_ROW_GROUP_CHARS = 32 << 20
_PROGRESS_SECONDS = 2.0


class SourceMissing(PermanentError):
    """The file of a source is not there, or none was named."""


class SourceChanged(PermanentError):
    """The file of a source is not the one that the version was cut from."""


@dataclass(frozen=True)
class SampleCounts:
    """What was read of a source and what was taken.

    `bytes_read` counts bytes of the source as it is stored (compressed, if it is). `exhausted`: the end of
    the source was reached. `errors`: written rows per `source_error`.
    """

    rows_read: int
    rows_written: int
    bytes_read: int
    exhausted: bool
    errors: dict[str, int]


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
    """Pin down a source for a manifest: the hash of a file, the commit that a Hub revision (default `main`)
    is now.

    `kind` is sample, hub or file. A relative `path` counts from the working directory and is stored
    absolute. For the Hub a first byte is read too, so that a gated repository is refused when the version
    is cut, not later.
    """
    if kind == "hub":
        repo = repo or UPSTREAM_REPO
        commit = hub.resolve_revision(repo, revision or "main")
        with hub.open(repo, commit, _data_files(hub, repo, commit)[0]) as stream:
            stream.read(1)
        return HubSource(repo=repo, revision=commit)
    if kind == "sample":
        with _open(sample_path()) as file:
            found = _fingerprint(file)
        return SampleSource(sha256=found.sha256, bytes=found.bytes)
    if kind == "file":
        if path is None:
            raise SourceMissing("The source `file` needs a path: add `--path FILE`.")
        absolute = Path(path).expanduser().absolute()
        with _open(absolute) as file:
            found = _fingerprint(file)
        return FileSource(path=str(absolute), sha256=found.sha256, bytes=found.bytes)
    raise SourceMissing(f"There is no source {kind!r}: use sample, hub or file.")


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


def shuffled(rows: Iterator[_T], *, seed: int, buffer_rows: int) -> Iterator[_T]:
    """Yield `rows` in random order, each drawn from a buffer of the `buffer_rows` that come next.

    Not by `datasets.IterableDataset.shuffle`, whose order changes between releases (huggingface/datasets
    #8194): the same manifest would give other rows after an upgrade. Only `random.Random.random` is used
    here, whose sequence for a seed Python promises to keep.
    """
    draw = random.Random(seed).random  # noqa: S311
    buffer: list[_T] = []
    for row in rows:
        if len(buffer) < buffer_rows:
            buffer.append(row)
            continue
        place = int(draw() * buffer_rows)
        yield buffer[place]
        buffer[place] = row
    while buffer:
        place = int(draw() * len(buffer))
        buffer[place], buffer[-1] = buffer[-1], buffer[place]
        yield buffer.pop()


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
        for name, raw in _streams(self._source, self._hub):
            with io.BufferedReader(_Counted(raw, self), _READ_BYTES) as stream:
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

    def report(self) -> None:
        if self._on_progress:
            self._on_progress(self.rows_read, self.bytes_read)


class _Counted(io.RawIOBase):
    """Another raw stream, whose bytes are added up as they are read."""

    def __init__(self, raw: io.RawIOBase, reading: _Reading) -> None:
        self._raw = raw
        self._reading = reading

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        count: int = self._raw.readinto(buffer) or 0
        self._reading.bytes_read += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _streams(source: Source, hub: HubResource) -> Iterator[tuple[str, io.RawIOBase]]:
    """The files of a source in order, each with the name that errors call it."""
    if isinstance(source, HubSource):
        for file in _data_files(hub, source.repo, source.revision):
            yield f"{source.repo}/{file.path}", hub.open(source.repo, source.revision, file)
    else:
        path = sample_path() if isinstance(source, SampleSource) else Path(source.path)
        yield str(path), _open_unchanged(path, source)


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


def _open_unchanged(path: Path, source: SampleSource | FileSource) -> io.FileIO:
    """The file, opened; that it is the one of the manifest is checked through the same descriptor."""
    file = _open(path)
    try:
        if _fingerprint(file) != _Fingerprint(source.sha256, source.bytes):
            recut = f"automend cut glaive --source {source.kind}" + (
                f" --path {path}" * (source.kind == "file")
            )
            raise SourceChanged(
                f"{path} is not the file that this version was cut from (sha256 {source.sha256[:12]}..., "
                f"{source.bytes} bytes): put that file back, or cut a new version with `{recut}`."
            )
        file.seek(0)
    except BaseException:
        file.close()
        raise
    return file


def _open(path: Path) -> io.FileIO:
    try:
        return io.FileIO(path)
    except OSError as error:
        if path == sample_path():
            remedy = "restore it with `git checkout data/samples` in the project's folder"
        else:
            remedy = "put it there, or cut a version with another `--path`"
        raise SourceMissing(f"{path} cannot be opened ({error.strerror}): {remedy}.") from error


class _Fingerprint(NamedTuple):
    sha256: str
    bytes: int


def _fingerprint(file: io.FileIO) -> _Fingerprint:
    digest = hashlib.sha256()
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)
    return _Fingerprint(digest.hexdigest(), file.tell())


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
