"""Locators: find the values that belong to a match where no pattern can bound them.

Here: the lines of a private key, the values of a Kubernetes Secret. Each reads a bounded part of the document.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from automend_assets.privacy.allow import is_filler, is_reference, is_stand_in
from automend_assets.privacy.credentials import WORDY_PASSWORDS
from automend_assets.privacy.place import Place
from automend_assets.privacy.randomness import entropy

_PEM_END = re.compile(rb"-----END [A-Z0-9 ]{0,40}-----")
_PEM_BODY = re.compile(
    rb"(?:[A-Za-z0-9+/=]|[ \t\r\n\"',>+|*#-]|\\+[nrt]|Proc-Type: [\w,]*|DEK-Info: [\w,-]*|Version: .*)+"
)
_PEM_LINE = re.compile(rb"[A-Za-z0-9+/=]{16,}")
_MAX_PEM = 64 * 1024


def private_key_body(place: Place) -> Iterator[tuple[int, int]]:
    """From the first to the last character of the key between its BEGIN and END lines, or where it is cut off."""
    stop = min(len(place.text), place.end + _MAX_PEM)
    following = place.text.find(b"-----BEGIN", place.end, stop)
    window = place.text[place.end : stop if following < 0 else following]
    end = _PEM_END.search(window)
    if end is not None:
        body = window[: end.start()]
    else:
        found = _PEM_BODY.match(window)
        body = found.group() if found else b""
    lines = list(_PEM_LINE.finditer(body))
    lines = [
        line
        for line in lines
        if not is_stand_in(line.group().decode()) and entropy(line.group().decode()) > 2
    ]
    if not lines:
        return
    last = lines[-1].end()
    tail = re.match(
        rb"(?:[ \t\r\n\"',+>|*#-]|\\+[nr])*[A-Za-z0-9+/=]{1,15}(?=[^A-Za-z0-9+/=]|$)", body[last:]
    )
    if tail is not None and end is not None:
        last += tail.end()
    yield place.end + lines[0].start(), place.end + last


_SECRET_DATA = re.compile(rb"(?m)^([ \t]*)(data|stringData):[ \t]*(?:#.*)?\r?$")
_DATA_LINE = re.compile(rb"^([ \t]*)(?:- )?([\w.\"'/-]+):(?:[ \t]+(.*?))?[ \t]*\r?$")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{4,}={0,2}")
_MAX_DATA_LINES = 2_000
_MAX_MANIFEST = 256 * 1024


def secret_manifest_values(place: Place) -> Iterator[tuple[int, int]]:
    """The values under `data` and `stringData` of the YAML document that the line `kind: Secret` stands in."""
    text = place.text
    indent = place.start - (text.rfind(b"\n", 0, place.start) + 1)
    start, stop = max(0, place.start - _MAX_MANIFEST), min(len(text), place.end + _MAX_MANIFEST)
    # The nearest line that ends the mapping bounds it, so that many mappings are not read many times.
    for border in (b"\n" + b" " * indent + b"kind:", b"\n---"):
        start = max(start, text.rfind(border, start, place.start - indent - 1) + 1)
        following = text.find(border, place.end, stop)
        stop = stop if following < 0 else following
    for section in _SECRET_DATA.finditer(text, start, stop):
        between = text[min(section.end(), place.end) : max(section.start(), place.start)]
        if len(section.group(1)) == indent and _same_mapping(between, indent):
            yield from _mapping_values(text, section.end() + 1, stop, indent, section.group(2) == b"data")


def _same_mapping(lines: bytes, indent: int) -> bool:
    """Whether no line in `lines` leaves the mapping whose keys stand at `indent`."""
    for line in lines.split(b"\n")[1:-1]:
        stripped = line.lstrip(b" \t")
        if stripped and not stripped.startswith((b"#", b"{{")) and len(line) - len(stripped) < indent:
            return False
    return True


def _mapping_values(
    text: bytes, position: int, stop: int, indent: int, encoded: bool
) -> Iterator[tuple[int, int]]:
    block: tuple[int, int] | None = None
    block_indent = -1
    for _ in range(_MAX_DATA_LINES):
        if position >= stop:
            break
        end = text.find(b"\n", position, stop)
        end = stop if end < 0 else end
        line = text[position:end]
        stripped = line.strip()
        depth = len(line) - len(line.lstrip(b" \t"))
        if stripped and depth <= indent:
            break
        if block_indent >= 0 and (not stripped or depth > block_indent):
            if stripped:
                first = position + depth
                block = (block[0] if block else first, first + len(stripped))
        else:
            if block is not None and _is_secret_value(text[block[0] : block[1]], encoded):
                yield block
            block, block_indent = None, -1
            entry = _DATA_LINE.match(line)
            if entry is not None:
                value = entry.group(3) or b""
                if value[:1] in b"|>" and value:
                    block_indent = depth
                else:
                    offset = position + entry.start(3)
                    if value[:1] in (b'"', b"'") and value[-1:] == value[:1]:
                        offset, value = offset + 1, value[1:-1]
                    else:
                        value = re.sub(rb"[ \t]+#.*$", b"", value)
                    if value and _is_secret_value(value, encoded):
                        yield offset, offset + len(value)
        position = end + 1
    if block is not None and _is_secret_value(text[block[0] : block[1]], encoded):
        yield block


def _is_secret_value(value: bytes, encoded: bool) -> bool:
    """Base64 of more than a placeholder under `data`; any literal under `stringData`."""
    text = value.decode("latin-1")
    if is_reference(text) or is_stand_in(text):
        return False
    if encoded:
        compact = re.sub(rb"\s", b"", value)
        if not _BASE64.fullmatch(compact) or not compact.strip(b"="):
            return False
        try:
            inner = base64.b64decode(compact + b"=" * (-len(compact) % 4)).decode("utf-8", "replace").strip()
        except (ValueError, binascii.Error):
            return False
        return not is_reference(inner)
    return len(text) >= 4 and not is_filler(text) and text.lower() not in WORDY_PASSWORDS
