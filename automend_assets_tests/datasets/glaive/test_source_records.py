"""Finding records in bytes: each form, each way a record can be no row, and damage that ends the reading."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automend_assets.datasets.glaive import records
from automend_assets.datasets.glaive.records import (
    ERROR_CODES,
    EmptySource,
    Record,
    SourceNotReadable,
    read_records,
)

GOOD = b'{"system": "S", "chat": "USER: hi"}'
ROW = Record("S", "USER: hi")


def read(content: bytes, **limits: int) -> list[Record]:
    return list(read_records(io.BufferedReader(io.BytesIO(content)), "rows.json", **limits))


def array(elements: Iterable[bytes]) -> bytes:
    return b"[\n " + b" ,\n ".join(elements) + b"\n]\n"


def lines(elements: Iterable[bytes]) -> bytes:
    return b"\n".join(elements) + b"\n"


FORMS = {"array": array, "lines": lines}
BAD = {
    b'{"system": "S", "chat" "USER: hi"}': "not_json",
    b'{"system": "S", "chat": NaN}': "not_json",
    b'{"system": "S", "chat": "raw \x00 NUL"}': "not_json",
    b'{"system": "S", "chat": "x"} trailing': "not_json",
    b"nonsense": "not_json",
    b'"text"': "not_an_object",
    b"12.5": "not_an_object",
    b"null": "not_an_object",
    b'["system", {"chat": "x"}]': "not_an_object",
    b'{"system": "S", "chat": "caf\xe9"}': "invalid_utf8",
    b'{"system": "S", "chat": "\\ud800"}': "invalid_utf8",
    b'{"system": "S", "chat": "x", "other": "\\udc00 alone"}': "invalid_utf8",
    b'{"chat": "x", "a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}": "too_deep",
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000: "too_deep",
    b'{"system": "S"}': "missing_chat",
    b'{"system": "S", "chat": null}': "missing_chat",
    b"{}": "missing_chat",
    b'{"system": "S", "chat": 5}': "chat_not_string",
    b'{"system": "S", "chat": ["USER: hi"]}': "chat_not_string",
    b'{"system": {"a": 1}, "chat": "USER: hi"}': "system_not_string",
    b'{"system": "S", "chat": "' + b"x" * 2_000_000 + b'"}': "too_large",
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("bad", "code"), BAD.items(), ids=itertools.count())
def test_a_bad_record_is_a_coded_row_and_its_neighbours_are_read(form: str, bad: bytes, code: str) -> None:
    before, found, after = read(FORMS[form]([GOOD, bad, GOOD]), max_row_bytes=1_500_000)
    assert (before, after) == (ROW, ROW)
    assert found.error == code
    assert found.text == bad.decode(errors="replace")[:1_000]


def test_every_code_has_a_case() -> None:
    assert set(BAD.values()) == set(ERROR_CODES)


@pytest.mark.parametrize("form", FORMS)
def test_the_readable_half_of_a_bad_record_is_kept(form: str) -> None:
    found = read(FORMS[form]([b'{"system": "S", "chat": 5}', b'{"system": 5, "chat": "C"}']))
    assert [(r.system, r.chat) for r in found] == [("S", None), (None, "C")]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "good",
    [
        b'{"chat": "x", "n": 1e999, "m": 123456789012345678901234567890}',
        b'{"chat": "a \\u0000 NUL, \\ud83d\\ude00, \\\\\\" , ] } ["}',
        '{"chat": "日本語 \u2028 \u0085 line"}'.encode(),
        b'{"chat": ""}',
        b'{"chat": "x", "deep": ' + b"[" * 400 + b"]" * 400 + b"}",
    ],
)
def test_odd_but_sound_records_are_rows(form: str, good: bytes) -> None:
    wanted = Record(None, json.loads(good)["chat"])
    assert read(FORMS[form]([GOOD, good])) == [ROW, wanted]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dressing", ["plain", "bom", "crlf", "blank", "no_last_newline"])
def test_bom_crlf_blank_lines_and_gzip_change_nothing(form: str, packed: bool, dressing: str) -> None:
    content = FORMS[form]([GOOD, GOOD, GOOD])
    content = {
        "plain": content,
        "bom": b"\xef\xbb\xbf" + content,
        "crlf": content.replace(b"\n", b"\r\n"),
        "blank": b"\n \t\r\n" + content.replace(b"\n", b"\n\n  \r\n") + b"\n\n",
        "no_last_newline": content.rstrip(),
    }[dressing]
    assert read(gzip.compress(content) if packed else content) == [ROW] * 3


@pytest.mark.parametrize(
    "content", [b"", b"\n \r\n", b"[]", b" [ \n ] ", b"\xef\xbb\xbf", gzip.compress(b"")]
)
def test_nothing_in_it_is_said_so(content: bytes) -> None:
    with pytest.raises(EmptySource, match=r"rows\.json holds no record: expected a JSON array"):
        read(content)


@pytest.mark.parametrize(
    "content",
    [
        b"system,chat\nS,USER: hi\n",
        b"<html><body>503</body></html>",
        b"[this is no JSON]",
        b'{\n  "system": "S",\n  "chat": "USER: hi"\n}\n',
        bytes(range(256)) * 50,
        b"PK\x03\x04" + b"\x00" * 100,
        b"text\n" * 500 + GOOD,
    ],
)
def test_not_json_names_the_place_and_what_is_expected(content: bytes) -> None:
    with pytest.raises(
        SourceNotReadable, match=r"rows\.json is not JSON.*line 1, byte 0.*expected a JSON array"
    ):
        read(content)


def test_utf_16_is_named() -> None:
    with pytest.raises(SourceNotReadable, match=r"UTF-16.*save it as UTF-8"):
        read(GOOD.decode().encode("utf-16"))


def test_one_bad_line_among_the_first_hundred_is_no_reason_to_refuse() -> None:
    found = read(lines([b"bad"] * 99 + [GOOD]))
    assert [r.error for r in found] == ["not_json"] * 99 + [None]


@pytest.mark.parametrize(
    ("damaged", "offset"),
    [
        (b"[" + GOOD + b', {"chat": "x"], ' + GOOD + b"]", 50),
        (b"[" + GOOD + b', {"chat": "never closed ' + GOOD, 96),
        (b"[" + GOOD + b",", 37),
        (b"[" + GOOD, 36),
        (b"[" + GOOD + b"] " + GOOD, 38),
        (b"[" + GOOD + b"]\n]", 38),
    ],
)
def test_damage_that_hides_the_rest_names_the_byte(damaged: bytes, offset: int) -> None:
    with pytest.raises(SourceNotReadable, match=rf"(past|at) byte {offset}\b"):
        read(damaged)


@pytest.mark.parametrize("cut", [10, 30, -1])
def test_damaged_gzip_is_said_so(cut: int) -> None:
    with pytest.raises(SourceNotReadable, match="damaged gzip near byte"):
        read(gzip.compress(lines([GOOD] * 50))[:cut])


def test_two_gzip_members_are_one_file() -> None:
    assert read(gzip.compress(lines([GOOD])) * 2) == [ROW] * 2


def test_a_stray_comma_is_a_bad_element_and_hides_nothing() -> None:
    assert [r.error for r in read(b"[" + GOOD + b",," + GOOD + b",]")] == [None, "not_json", None, "not_json"]


def test_an_unbalanced_brace_spoils_only_its_own_element() -> None:
    assert [r.error for r in read(array([GOOD, GOOD + b"}", GOOD]))] == [None, "not_json", None]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    elements=st.lists(
        st.fixed_dictionaries({"chat": texts, "other": values}) | values, min_size=1, max_size=6
    ),
    ascii_only=st.booleans(),
    indent=st.sampled_from([None, 1]),
    chunk=st.integers(1, 40),
)
def test_any_array_in_any_chunks_is_what_json_makes_of_it(
    elements: list[Any], ascii_only: bool, indent: int | None, chunk: int
) -> None:
    text = json.dumps(elements, ensure_ascii=ascii_only, indent=indent).encode()
    chunks = [text[i : i + chunk] for i in range(0, len(text), chunk)]
    body = itertools.chain([chunks[0][1:]], chunks[1:])
    pieces = list(records._split_array((c for c in body if c), 1, 1 << 20, "rows.json"))
    assert all(whole for _, whole in pieces)
    assert [json.loads(piece) for piece, _ in pieces] == elements
    one_per_line = b"\n".join(json.dumps(e, ensure_ascii=ascii_only).encode() for e in elements)
    split = records._split_lines(
        (one_per_line[i : i + chunk] for i in range(0, len(one_per_line), chunk)), 1 << 20
    )
    assert [json.loads(piece) for piece, _ in split] == elements


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"[", b"[{", b'{"chat": "', b"[" + GOOD]))
def test_any_bytes_give_records_or_a_clear_error(content: bytes, start: bytes) -> None:
    try:
        found = read(start + content)
    except (SourceNotReadable, EmptySource):
        return
    assert found
    assert all(r.error in (None, *ERROR_CODES) for r in found)


def write_parquet(path: Path, **columns: pa.Array) -> bytes:
    pq.write_table(pa.table(columns), path)
    return path.read_bytes()


@pytest.mark.parametrize("dtype", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_rows(tmp_path: Path, dtype: pa.DataType) -> None:
    chats = pa.array(["USER: hi", None, "é" * 3_000], pa.string()).cast(dtype)
    content = write_parquet(
        tmp_path / "a.bin", system=pa.array(["S", "S", None]), chat=chats, other=[1, 2, 3]
    )
    assert read(content, max_row_bytes=5_000) == [
        ROW,
        Record("S", None, "missing_chat", "S"),
        Record(None, None, "too_large", "é" * 1_000),
    ]


def test_parquet_with_invalid_utf8_in_one_row(tmp_path: Path) -> None:
    chats = pa.array([b"USER: hi", b"caf\xe9"], pa.binary()).view(pa.string())
    found = read(write_parquet(tmp_path / "a.parquet", chat=chats))
    assert found == [Record(None, "USER: hi"), Record(None, None, "invalid_utf8", "caf�")]


def test_parquet_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(SourceNotReadable, match="without a column `chat`"):
        read(write_parquet(path, text=pa.array(["a"])))
    with pytest.raises(SourceNotReadable, match="column `chat` is int64"):
        read(write_parquet(path, chat=pa.array([1])))
    with pytest.raises(SourceNotReadable, match="damaged Parquet"):
        read(write_parquet(path, chat=pa.array(["a"]))[:-20])
    with pytest.raises(EmptySource):
        read(write_parquet(path, chat=pa.array([], pa.string())))


@pytest.mark.parametrize("form", ["array", "lines"])
def test_a_100_mb_row_costs_no_memory(form: str, tmp_path: Path) -> None:
    """In a process of its own: its peak memory is that of the imports and a few chunks, not of the row."""
    path = tmp_path / "rows.json"
    with path.open("wb") as file:
        file.write((b"[" if form == "array" else b"") + GOOD + (b"," if form == "array" else b"\n"))
        file.write(b'{"system": "S", "chat": "')
        for _ in range(100):
            file.write(b'{\\"a\\n' * 166_667)
        file.write(b'"}' + (b"," if form == "array" else b"\n") + GOOD + (b"]" if form == "array" else b""))
    script = (
        "import sys, pathlib\n"
        "from automend_assets.datasets.glaive.records import read_records\n"
        # Not ru_maxrss, which a child takes over from the process that started it.
        "status = pathlib.Path('/proc/self/status')\n"
        "def peak(): return int(status.read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "found = list(read_records(open(sys.argv[1], 'rb'), 'rows'))\n"
        "assert [r.error for r in found] == [None, 'too_large', None], found\n"
        "assert len(found[1].text) == 1000\n"
        "print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 40 * 1024  # KiB
