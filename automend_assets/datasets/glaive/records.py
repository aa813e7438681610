"""Bytes of a Glaive source to raw rows: JSON array, JSON lines, Parquet, each told by its content.

What belongs here: finding the records in a byte stream in bounded memory, and saying with a code why a
record is no row. What does not: where the bytes come from and which rows are taken (`source.py`), what a
chat means (`parse.py`).

Records are cut out by a scan for quotes and brackets, and each is then parsed by itself. A streaming JSON
parser (ijson) is no help here: measured with its yajl2_c backend, one invalid byte ends the whole array, a
lone surrogate is silently replaced by "?", and a 100 MB row is built before anyone can refuse it.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import orjson

from automend_assets.pipeline.records import EmptySource, SourceNotReadable, as_bytes, is_text

if TYPE_CHECKING:
    pass

CHUNK_BYTES = 1 << 20
MAX_ROW_BYTES = 4 << 20
"""A record over this is quarantined as `too_large`; upstream's longest is under 20 KB."""
MAX_DEPTH = 500
SOURCE_TEXT_CHARS = 1_000
_SOURCE_TEXT_BYTES = 4 * SOURCE_TEXT_CHARS
_PROBE_RECORDS = 100
_EXPECTED = (
    "expected a JSON array of objects, or one JSON object per line (UTF-8, either may be gzipped), "
    "or Parquet, with text fields `system` and `chat`"
)
_BLANK = b" \t\r\n"
_UTF8_BOM = b"\xef\xbb\xbf"


class Record(NamedTuple):
    """One record of a source; with an `error` (one of `ERROR_CODES`), `text` is how it begins."""

    system: str | None
    chat: str | None
    error: str | None = None
    text: str | None = None


ERROR_CODES = (
    "not_json",
    "not_an_object",
    "invalid_utf8",
    "too_large",
    "too_deep",
    "missing_chat",
    "chat_not_string",
    "system_not_string",
)


def read_records(
    stream: io.BufferedReader[Any], name: str, *, max_row_bytes: int = MAX_ROW_BYTES
) -> Iterator[Record]:
    """Yield every record of `stream` in order; `name` is what errors call it.

    Raises EmptySource when there is none and SourceNotReadable when the stream is no JSON and no Parquet,
    when its first 100 records are all unreadable, or when damage makes the rest unreadable (with the byte
    offset).
    """
    if stream.peek(4)[:4] == b"PAR1":
        records = _parquet_records(stream, name, max_row_bytes)
    else:
        records = _json_records(stream, name, max_row_bytes)
    return _refuse_if_nothing_reads(records, name)


def _refuse_if_nothing_reads(records: Iterator[Record], name: str) -> Iterator[Record]:
    probed: list[Record] = []
    for record in records:
        probed.append(record)
        if record.error not in ("not_json", "invalid_utf8"):
            break
        if len(probed) == _PROBE_RECORDS:
            break
    if not probed:
        raise EmptySource(f"{name} holds no record: {_EXPECTED}.")
    if probed[-1].error in ("not_json", "invalid_utf8"):
        raise SourceNotReadable(
            f"{name} is not JSON: none of its first {len(probed)} record(s) can be read; the first "
            f"(line 1, byte 0) begins {(probed[0].text or '')[:40]!r}; {_EXPECTED}."
        )
    yield from chain(probed, records)


# --- JSON ---


def _json_records(stream: io.BufferedReader[Any], name: str, max_row_bytes: int) -> Iterator[Record]:
    chunks = _chunks(stream, name)
    offset, first = 0, b""
    for chunk in chunks:
        if offset == 0 and chunk[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise SourceNotReadable(f"{name} is UTF-16 text at byte 0: save it as UTF-8; {_EXPECTED}.")
        start = len(_UTF8_BOM) if offset == 0 and chunk.startswith(_UTF8_BOM) else 0
        first = chunk[start:].lstrip(_BLANK)
        offset += len(chunk)
        if first:
            break
    if not first:
        return
    if first.startswith(b"["):
        pieces = _split_array(chain([first[1:]], chunks), offset - len(first) + 1, max_row_bytes, name)
    else:
        pieces = _split_lines(chain([first], chunks), max_row_bytes)
    for piece, whole in pieces:
        yield _parse(piece) if whole else Record(None, None, "too_large", _shown(piece))


def _chunks(stream: io.BufferedReader[Any], name: str) -> Iterator[bytes]:
    if stream.peek(2)[:2] != b"\x1f\x8b":
        yield from iter(lambda: stream.read(CHUNK_BYTES), b"")
        return
    with gzip.GzipFile(fileobj=stream) as unzipped:
        try:
            yield from iter(lambda: unzipped.read(CHUNK_BYTES), b"")
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceNotReadable(
                f"{name} is damaged gzip near byte {stream.tell()} ({error}): download or compress it again."
            ) from error


def _split_lines(chunks: Iterator[bytes], max_row_bytes: int) -> Iterator[tuple[bytes, bool]]:
    """Yield (line, True), or (its beginning, False) when over the limit. Blank lines are no records."""
    head, oversized = b"", False
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        if ended:
            yield from _line(head if oversized else head + ended[0], oversized, max_row_bytes)
            for line in ended[1:]:
                yield from _line(line, False, max_row_bytes)
            head, oversized = b"", False
        if not oversized:
            head += rest
            if len(head) > max_row_bytes:
                head, oversized = head[:_SOURCE_TEXT_BYTES], True
    yield from _line(head, oversized, max_row_bytes)


def _line(line: bytes, oversized: bool, max_row_bytes: int) -> Iterator[tuple[bytes, bool]]:
    if oversized or len(line) > max_row_bytes:
        yield line[:_SOURCE_TEXT_BYTES], False
    elif stripped := line.strip(_BLANK):
        yield stripped, True


_STRING_REST = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_BETWEEN_ELEMENTS = re.compile(rb'[",\[\]{}]')
_INSIDE_ELEMENT = re.compile(rb'["\[\]{}]')
_QUOTE, _COMMA, _END_ARRAY, _END_OBJECT = b'",]}'
_CLOSER = {ord("["): _END_ARRAY, ord("{"): _END_OBJECT}


class _Element:
    """The element that is being read, kept whole up to the limit and only its beginning after that."""

    def __init__(self, max_row_bytes: int) -> None:
        self._limit = max_row_bytes
        self._kept = bytearray()
        self._oversized = False

    def extend(self, piece: bytes) -> None:
        if self._oversized:
            return
        self._kept += piece
        if len(self._kept) > self._limit:
            del self._kept[_SOURCE_TEXT_BYTES:]
            self._oversized = True

    def take(self) -> tuple[bytes, bool]:
        taken, whole = bytes(self._kept).strip(_BLANK), not self._oversized
        self._kept.clear()
        self._oversized = False
        return taken, whole


def _split_array(
    chunks: Iterator[bytes], offset: int, max_row_bytes: int, name: str
) -> Iterator[tuple[bytes, bool]]:
    """Yield (element, True), or (its beginning, False) when over the limit, of an array past its `[`.

    An element is what stands between two commas of the outermost array, so a damaged one is handed on by
    itself as long as its quotes and brackets match. `offset` is the byte at which `chunks` begin.
    """
    element = _Element(max_row_bytes)
    element_offset = offset
    awaited = bytearray()  # closing brackets of the element, innermost last: no recursion, whatever the depth
    in_string = after_backslash = several = False
    for chunk in chunks:
        start = 0
        position = 1 if after_backslash else 0
        after_backslash = False
        while position < len(chunk):
            if in_string:
                body = _STRING_REST.match(chunk, position)
                position = body.end() if body else position
                if position == len(chunk):
                    break
                in_string = chunk[position] != _QUOTE
                after_backslash = in_string  # the only other stop is a backslash that ends the chunk
                position += 1
                continue
            found = (_INSIDE_ELEMENT if awaited else _BETWEEN_ELEMENTS).search(chunk, position)
            if found is None:
                break
            byte, position = chunk[found.start()], found.end()
            if byte == _QUOTE:
                in_string = True
            elif byte in _CLOSER:
                awaited.append(_CLOSER[byte])
            elif awaited:
                if awaited.pop() != byte:
                    _unreadable(name, offset + found.start(), f"an unexpected {chr(byte)!r}", element_offset)
            elif byte == _COMMA:
                element.extend(chunk[start : found.start()])
                yield element.take()
                start, several, element_offset = position, True, offset + position
            elif byte == _END_ARRAY:
                element.extend(chunk[start : found.start()])
                last, whole = element.take()
                if last or several:
                    yield last, whole
                _refuse_anything_more(chain([chunk[position:]], chunks), offset + position, name)
                return
        element.extend(chunk[start:])
        offset += len(chunk)
    _unreadable(name, offset, "the end of the file, the array is not closed", element_offset)


def _refuse_anything_more(chunks: Iterator[bytes], offset: int, name: str) -> None:
    for chunk in chunks:
        if more := chunk.lstrip(_BLANK):
            raise SourceNotReadable(
                f"{name} goes on after its JSON array, at byte {offset + len(chunk) - len(more)}: "
                f"{_EXPECTED}."
            )
        offset += len(chunk)


def _unreadable(name: str, offset: int, what: str, element_offset: int) -> NoReturn:
    raise SourceNotReadable(
        f"{name} cannot be read past byte {offset}: {what} (in or after the element that begins at byte "
        f"{element_offset}). Repair that element, or fetch the file again."
    )


def _parse(record: bytes) -> Record:
    try:
        value = orjson.loads(record)
    except orjson.JSONDecodeError:
        error, value = _why_refused(record)
        if error:
            return Record(None, None, error, _shown(record))
    if not isinstance(value, dict):
        return Record(None, None, "not_an_object", _shown(record))
    system, chat = value.get("system"), value.get("chat")
    error = None
    if chat is None:
        error = "missing_chat"
    elif not isinstance(chat, str):
        error, chat = "chat_not_string", None
    if system is not None and not isinstance(system, str):
        error, system = error or "system_not_string", None
    return Record(system, chat, error, _shown(record) if error else None)


def _why_refused(record: bytes) -> tuple[str | None, Any]:
    """The code for a record that orjson refuses, or the value when it is JSON all the same (1e999)."""
    try:
        text = record.decode()
    except UnicodeDecodeError:
        return "invalid_utf8", None
    # Asked before the standard parser is, whose own limit depends on how deep the caller's stack already is.
    if _is_too_deep(record):
        return "too_deep", None
    try:
        value = json.loads(text, parse_int=str, parse_float=str, parse_constant=_refuse_constant)
    except ValueError:
        return "not_json", None
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # a lone surrogate such as \ud800 has no UTF-8 form
        return "invalid_utf8", None
    return None, value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_too_deep(record: bytes) -> bool:
    depth = position = 0
    while depth <= MAX_DEPTH and (found := _INSIDE_ELEMENT.search(record, position)):
        byte, position = record[found.start()], found.end()
        if byte == _QUOTE:
            body = _STRING_REST.match(record, position)
            position = body.end() + 1 if body else position
        elif byte in _CLOSER:
            depth += 1
        else:
            depth -= 1
    return depth > MAX_DEPTH


def _shown(record: bytes) -> str:
    return record[:_SOURCE_TEXT_BYTES].decode(errors="replace")[:SOURCE_TEXT_CHARS]


# --- Parquet ---


def _parquet_records(stream: io.BufferedReader[Any], name: str, max_row_bytes: int) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(stream)
        columns = [c for c in ("system", "chat") if c in file.schema_arrow.names]
        if "chat" not in columns:
            raise SourceNotReadable(
                f"{name} is Parquet without a column `chat` (it has {', '.join(file.schema_arrow.names)}); "
                f"{_EXPECTED}."
            )
        for column in columns:
            if not is_text(file.schema_arrow.field(column).type):
                found = file.schema_arrow.field(column).type
                raise SourceNotReadable(f"{name} is Parquet whose column `{column}` is {found}; {_EXPECTED}.")
        for batch in file.iter_batches(batch_size=1_000, columns=columns, use_threads=False):
            values = [
                as_bytes(batch.column(c)) if c in columns else [None] * len(batch) for c in ("system", "chat")
            ]
            for system, chat in zip(*values, strict=True):
                yield _from_parquet(system, chat, max_row_bytes)
    except pa.ArrowInvalid as error:
        raise SourceNotReadable(f"{name} is damaged Parquet ({error}): fetch the file again.") from error


def _from_parquet(system: bytes | None, chat: bytes | None, max_row_bytes: int) -> Record:
    shown = chat or system or b""
    if len(system or b"") + len(chat or b"") > max_row_bytes:
        return Record(None, None, "too_large", _shown(shown))
    try:
        prompt = None if system is None else system.decode()
        talk = None if chat is None else chat.decode()
    except UnicodeDecodeError:
        return Record(None, None, "invalid_utf8", _shown(shown))
    return Record(prompt, talk) if talk is not None else Record(prompt, None, "missing_chat", _shown(shown))
