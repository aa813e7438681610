"""What the sources of all datasets have in common: pinning one, opening its files unchanged, the shuffle buffer.

What belongs here: the bundled sample, a repository of the Hub or a local file as a `versions.manifest.Source` and
back as byte streams; the seeded order in which rows are drawn. What does not: what is in the files (each dataset's
`source.py`).
"""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from automend_assets.connectors.hub import HubFile, HubResource
from automend_assets.errors import PermanentError
from automend_assets.versions.manifest import FileSource, HubSource, LogSource, SampleSource, Source

if TYPE_CHECKING:
    from typing_extensions import Buffer

_T = TypeVar("_T")
_READ_BYTES = 1 << 20


class SourceMissing(PermanentError):
    """The file of a source is not there, or none was named."""


class SourceChanged(PermanentError):
    """The file of a source is not the one that the version was cut from."""


@dataclass(frozen=True)
class Origin:
    """Where a dataset's rows come from by default.

    `repo` is its repository on the Hub, `sample` the bundled file. `data_files` lists the files of a repository (its
    second argument) at a commit that hold rows, in the order in which they are read.
    """

    dataset: str
    repo: str
    sample: Path
    data_files: Callable[[HubResource, str, str], list[HubFile]]


@dataclass(frozen=True)
class SampleCounts:
    """What was read of a source and what was taken.

    `bytes_read` counts bytes of the source as it is stored (compressed, if it is), with what a reader read ahead, which
    differs from run to run and so is left out when counts are compared. `exhausted`: the end of the source was
    reached. `errors`: written rows per `source_error`.
    """

    rows_read: int
    rows_written: int
    bytes_read: int = field(compare=False)
    exhausted: bool
    errors: dict[str, int]


def pin_source(
    kind: str,
    origin: Origin,
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
        repo = repo or origin.repo
        commit = hub.resolve_revision(repo, revision or "main")
        with hub.open(repo, commit, origin.data_files(hub, repo, commit)[0]) as stream:
            stream.read(1)
        return HubSource(repo=repo, revision=commit)
    if kind == "sample":
        with _open(origin.sample, origin) as file:
            found = _fingerprint(file)
        return SampleSource(sha256=found.sha256, bytes=found.bytes)
    if kind == "file":
        if path is None:
            raise SourceMissing("The source `file` needs a path: add `--path FILE`.")
        absolute = Path(path).expanduser().absolute()
        with _open(absolute, origin) as file:
            found = _fingerprint(file)
        return FileSource(path=str(absolute), sha256=found.sha256, bytes=found.bytes)
    raise SourceMissing(f"There is no source {kind!r}: use sample, hub or file.")


def open_files(source: Source, origin: Origin, hub: HubResource) -> Iterator[tuple[str, io.RawIOBase]]:
    """The files of a source in order, each with the name that errors call it. The taker closes them."""
    if isinstance(source, HubSource):
        for file in origin.data_files(hub, source.repo, source.revision):
            yield f"{source.repo}/{file.path}", hub.open(source.repo, source.revision, file)
    elif isinstance(source, LogSource):
        raise SourceMissing(
            f"{origin.dataset} is read from files, and this version is a range of the table {source.table}: cut "
            f"one with `automend cut {origin.dataset} --source sample`."
        )
    else:
        path = origin.sample if isinstance(source, SampleSource) else Path(source.path)
        yield str(path), _open_unchanged(path, source, origin)


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


class CountedStream(io.RawIOBase):
    """Another raw stream, whose bytes are told to `on_bytes` as they are read."""

    def __init__(self, raw: io.RawIOBase, on_bytes: Callable[[int], None]) -> None:
        self._raw = raw
        self._on_bytes = on_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._raw.tell()

    def readinto(self, buffer: Buffer) -> int:
        count: int = self._raw.readinto(buffer) or 0
        self._on_bytes(count)
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._raw.seek(offset, whence)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _open_unchanged(path: Path, source: SampleSource | FileSource, origin: Origin) -> io.FileIO:
    """The file, opened; that it is the one of the manifest is checked through the same descriptor."""
    file = _open(path, origin)
    try:
        if _fingerprint(file) != _Fingerprint(source.sha256, source.bytes):
            recut = f"automend cut {origin.dataset} --source {source.kind}" + (
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


def _open(path: Path, origin: Origin) -> io.FileIO:
    try:
        return io.FileIO(path)
    except OSError as error:
        if path == origin.sample:
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
