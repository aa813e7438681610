"""Comments and formatting go, all else stays: shown by pairs, and on real Python by Python's own tokeniser."""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automend_assets.dedup.normalise import normalised, normalised_digests

REALDATA = Path(__file__).resolve().parents[3] / "shared" / "realdata"

SAME = [
    (None, " a\tb \r\n c\n", "a b c"),
    ("yaml", "a: 1\r\nb:   2\r\n", "a: 1\nb: 2"),
    ("python", "x = 1  # one\n\n\ny = 2\n", "x=1\ny = 2"),
    ("python", 's = "# no comment"  # one', 's = "# no comment"'),
    ("python", "s = '''a\n# stays\n'''\n# goes\n", "s = '''a\n# stays\n'''"),
    ("python", 's = "\\"#"  # goes', 's = "\\"#"'),
    ("java", "int  x = 1; // one\n/* two\n * lines */ int y;", "int x=1;int y;"),
    ("java", 'String s = "/* no */"; /**/', 'String s="/* no */";'),
    ("java", 'var s = """\n "quoted" // stays\n """; // goes', 'var s = """\n "quoted" // stays\n """;'),
    ("java", "char c = '\"'; // goes", "char c = '\"';"),
    ("cpp", "#include <a>  // one\nint n = 1'000'000; // it's", "#include <a>\nint n = 1'000'000;"),
    ("cpp", 'auto s = R"x(// stays ")x"; // goes', 'auto s = R"x(// stays ")x";'),
    ("cpp", "int a; // one \\\n still the comment\nint b;", "int a;\nint b;"),
    ("cpp", "int/**/a;", "int a;"),
    ("javascript", "let r = /[/'\"]\\/\\//g; // goes", "let r = /[/'\"]\\/\\//g;"),
    ("javascript", "let t = `// ${stays}\n`; // goes", "let t = `// ${stays}\n`;"),
    ("javascript", "let q = a / b; // goes / too", "let q = a / b;"),
]

DIFFERENT = [
    (None, "a b", "ab"),
    (None, "+ +", "++"),
    ("yaml", "a: 1 # one", "a: 1"),
    ("python", "x = 1", "x = 2"),
    ("python", "s = '# one'", "s = '# two'"),
    ("python", "return x", "returnx"),
    ("python", "# one", "# two"),
    ("python", "# one", ""),
    ("java", 'f("//a");', 'f("//b");'),
    ("cpp", 'R"(// a)"', 'R"(// b)"'),
    ("javascript", "x = /\\/\\/a/;", "x = /\\/\\/b/;"),
    ("javascript", "`//a`", "`//b`"),
]


@pytest.mark.parametrize(("language", "one", "other"), SAME)
def test_same_form(language: str | None, one: str, other: str) -> None:
    first, second = normalised(pl.Series([one, other]), language)
    assert first == second
    assert len(set(normalised_digests(pl.Series([one, other]), language))) == 1


@pytest.mark.parametrize(("language", "one", "other"), DIFFERENT)
def test_different_form(language: str | None, one: str, other: str) -> None:
    first, second = normalised(pl.Series([one, other]), language)
    assert first != second


@settings(deadline=None)
@given(texts=st.lists(st.text(st.sampled_from("ab. \t\n\r\x0b\x0c\x00é\xa0"), max_size=12), max_size=5))
def test_prose_is_split_and_joined(texts: list[str]) -> None:
    expected = [b" ".join(text.encode().split()) for text in texts]
    assert normalised(pl.Series(texts, dtype=pl.String)) == expected


@pytest.mark.parametrize("language", ["python", "java", "cpp", "javascript"])
def test_a_form_is_its_own_form_but_for_what_only_looks_like_a_comment(language: str) -> None:
    sample = pl.read_parquet(REALDATA / "code" / language / "files.parquet", n_rows=100)["content"]
    once = [form.decode() for form in normalised(sample, language)]
    assert all(len(form) <= len(text.encode()) for form, text in zip(once, sample, strict=True))
    if language in ("java", "javascript"):  # elsewhere a line end has a meaning that a form no longer shows
        assert [form.decode() for form in normalised(pl.Series(once), language)] == once


def test_real_python_loses_its_comments_and_nothing_else() -> None:
    sample = pl.read_parquet(REALDATA / "code" / "python" / "files.parquet", n_rows=400)["content"]
    compared = 0
    for text, form in zip(sample, normalised(sample, "python"), strict=True):
        try:
            tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
        except (tokenize.TokenError, SyntaxError):
            continue
        code = "".join(token.string for token in tokens if token.type != tokenize.COMMENT)
        if code.strip():
            assert _dense(form.decode()) == _dense(code)
            compared += 1
    assert compared > 350


def _dense(code: str) -> str:
    """Without white space, and without the backslashes before line ends, which are no tokens."""
    return re.sub(r"[ \t\n\r\f\v\\]", "", code)
