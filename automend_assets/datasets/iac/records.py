"""Bytes of a source of files to rows in the layout of the-stack-dedup: Parquet or JSON lines, told by their content.

What belongs here: finding the records in a byte stream in bounded memory, reading only the columns that are used, and
saying with a code why a record is no row. What does not: where the bytes come from and which rows are taken
(`source.py`), what is in a file (`filters.py` and on).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from automend_assets.pipeline.records import EmptySource, SourceNotReadable, as_bytes, is_text

if TYPE_CHECKING:
    import pyarrow as pa

MAX_ROW_BYTES = 4 << 20
"""A longer content is quarantined as `too_large` without being kept; upstream's longest is 1 MB."""
SOURCE_TEXT_CHARS = 1_000
ERROR_CODES = (
    "not_json",
    "not_an_object",
    "invalid_utf8",
    "too_large",
    "missing_content",
    "content_not_string",
    "duplicate_hexsha",
)
"""`duplicate_hexsha`: the same file was drawn before; `source.py` sets it."""

_COLUMNS = {
    "hexsha": "hexsha",
    "ext": "ext",
    "repo": "max_stars_repo_name",
    "path": "max_stars_repo_path",
    "licenses": "max_stars_repo_licenses",
    "alphanum_fraction": "alphanum_fraction",
    "content": "content",
}
_EXPECTED = (
    "expected Parquet, or one JSON object per line (UTF-8, may be gzipped), with a text field `content` and the other "
    f"columns of the-stack-dedup: {', '.join(_COLUMNS.values())}"
)
_BATCH_ROWS = 500
_PROBE_RECORDS = 100
_LINE_SHOWN_BYTES = 4 * SOURCE_TEXT_CHARS


class Record(NamedTuple):
    """One file of a source; with an `error` (one of `ERROR_CODES`), `text` is how it begins and `content` is null.

    `hexsha` is Git's name of the content and `alphanum_fraction` the share of letters and digits among its
    characters, both computed where the source has none.
    """

    hexsha: str | None = None
    ext: str | None = None
    repo: str | None = None
    path: str | None = None
    licenses: list[str] | None = None
    alphanum_fraction: float | None = None
    content: str | None = None
    error: str | None = None
    text: str | None = None


def read_records(
    stream: io.BufferedReader[Any], name: str, *, max_row_bytes: int = MAX_ROW_BYTES
) -> Iterator[Record]:
    """Yield every record of `stream` in order; `name` is what errors call it.

    Raises EmptySource when there is none, and SourceNotReadable when the stream is neither Parquet nor JSON lines,
    when its first 100 records are all unreadable, or when damage makes the rest unreadable.
    """
    if stream.peek(4)[:4] == b"PAR1":
        return _refuse_if_nothing_reads(_parquet_records(stream, name, max_row_bytes), name)
    return _refuse_if_nothing_reads(_json_records(stream, name, max_row_bytes), name)


def _refuse_if_nothing_reads(records: Iterator[Record], name: str) -> Iterator[Record]:
    probed: list[Record] = []
    for record in records:
        probed.append(record)
        if record.error not in ("not_json", "invalid_utf8") or len(probed) == _PROBE_RECORDS:
            break
    if not probed:
        raise EmptySource(f"{name} holds no record: {_EXPECTED}.")
    if probed[-1].error == "not_json":
        raise SourceNotReadable(
            f"{name} is neither Parquet nor JSON lines: none of its first {len(probed)} line(s) can be "
            f"read; {_EXPECTED}."
        )
    yield from chain(probed, records)


def git_blob_name(content: bytes) -> str:
    """The 40-hex name that Git gives a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


# --- JSON lines ---


def _json_records(stream: io.BufferedReader[Any], name: str, max_row_bytes: int) -> Iterator[Record]:
    # Escapes make a line longer than the content it holds.
    limit = 2 * max_row_bytes + 65_536
    lines = _lines(stream, name, limit)
    for line, whole in lines:
        if not whole:
            yield Record(error="too_large", text=_shown(line))
        elif line.strip():
            yield _from_json(line, max_row_bytes)


def _lines(stream: io.BufferedReader[Any], name: str, limit: int) -> Iterator[tuple[bytes, bool]]:
    """Yield (line, True), or (its beginning, False) when over the limit."""
    zipped = stream.peek(2)[:2] == b"\x1f\x8b"
    source: Any = gzip.GzipFile(fileobj=stream) if zipped else stream
    try:
        first = True
        while line := source.readline(limit):
            if first:
                line, first = line.removeprefix(b"\xef\xbb\xbf"), False
            if len(line) < limit or line.endswith(b"\n"):
                yield line, True
                continue
            while (rest := source.readline(limit)) and not rest.endswith(b"\n"):
                pass
            yield line[:_LINE_SHOWN_BYTES], False
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise SourceNotReadable(
            f"{name} is damaged gzip near byte {stream.tell()} ({error}): download or compress it again."
        ) from error


def _from_json(line: bytes, max_row_bytes: int) -> Record:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:
            line.decode()
        except UnicodeDecodeError:
            return Record(error="invalid_utf8", text=_shown(line))
        return Record(error="not_json", text=_shown(line))
    if not isinstance(value, dict):
        return Record(error="not_an_object", text=_shown(line))
    fields = {ours: value.get(theirs) for ours, theirs in _COLUMNS.items()}
    content = fields["content"]
    if not isinstance(content, str):
        error = "missing_content" if content is None else "content_not_string"
        return _record(fields, None, max_row_bytes)._replace(error=error, text=_shown(line))
    return _record(fields, content.encode(), max_row_bytes)


# --- Parquet ---


def _parquet_records(stream: io.BufferedReader[Any], name: str, max_row_bytes: int) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        present = {ours: theirs for ours, theirs in _COLUMNS.items() if theirs in file.schema_arrow.names}
        if "content" not in present:
            raise SourceNotReadable(
                f"{name} is Parquet without a column `content` (it has {', '.join(file.schema_arrow.names)}); "
                f"{_EXPECTED}."
            )
        if not is_text(file.schema_arrow.field("content").type):
            found = file.schema_arrow.field("content").type
            raise SourceNotReadable(f"{name} is Parquet whose column `content` is {found}; {_EXPECTED}.")
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(
                batch_size=_BATCH_ROWS, row_groups=[group], columns=list(present.values()), use_threads=False
            ):
                contents = as_bytes(batch.column("content"))
                others = {
                    ours: _values(batch.column(theirs))
                    for ours, theirs in present.items()
                    if ours != "content"
                }
                for index, content in enumerate(contents):
                    fields = {ours: values[index] for ours, values in others.items()}
                    record = _record(fields, content, max_row_bytes)
                    yield record if content is not None else record._replace(error="missing_content")
    except pa.ArrowInvalid as error:
        raise SourceNotReadable(f"{name} is damaged Parquet ({error}): fetch the file again.") from error


def _values(column: pa.Array) -> list[Any]:
    if is_text(column.type):
        return [None if value is None else value.decode(errors="replace") for value in as_bytes(column)]
    values: list[Any] = column.to_pylist()
    return values


# --- both ---


def _record(fields: dict[str, Any], content: bytes | None, max_row_bytes: int) -> Record:
    path = _text(fields.get("path"))
    licenses = fields.get("licenses")
    if isinstance(licenses, str):
        licenses = [licenses]
    share = fields.get("alphanum_fraction")
    known = Record(
        hexsha=_text(fields.get("hexsha")) or (None if content is None else git_blob_name(content)),
        ext=_text(fields.get("ext")) or (PurePosixPath(path).suffix.removeprefix(".") if path else None),
        repo=_text(fields.get("repo")),
        path=path,
        licenses=[name for name in licenses if isinstance(name, str)] if isinstance(licenses, list) else None,
        alphanum_fraction=float(share) if isinstance(share, int | float) else None,
    )
    if content is None:
        return known
    if len(content) > max_row_bytes:
        return known._replace(error="too_large", text=_shown(content))
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return known._replace(error="invalid_utf8", text=_shown(content))
    if known.alphanum_fraction is None and text:
        known = known._replace(alphanum_fraction=sum(map(str.isalnum, text)) / len(text))
    return known._replace(content=text)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _shown(content: bytes) -> str:
    return content[: 4 * SOURCE_TEXT_CHARS].decode(errors="replace")[:SOURCE_TEXT_CHARS]
