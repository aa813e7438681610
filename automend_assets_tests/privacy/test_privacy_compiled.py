"""Compiled databases: kept, loaded with the same findings, and built again whenever they cannot be trusted."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from automend_assets.privacy import compiled
from automend_assets.privacy.examples import expand
from automend_assets.privacy.rules import RULES
from automend_assets.privacy.scanner import Scanner

# Some, so that they are compiled quickly.
SOME = RULES[:40]
TEXTS = pl.Series([expand(text) for rule in SOME for text in (*rule.examples, *rule.counter_examples)])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that databases are kept in."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "automend"


@pytest.fixture(scope="session")
def findings() -> pl.DataFrame:
    """What is in the texts, by the other engine."""
    return Scanner(SOME, engine="re2").scan(TEXTS)


@pytest.fixture
def kept(cache: Path, findings: pl.DataFrame) -> Path:
    """The file that a first scanner has left."""
    assert Scanner(SOME, engine="hyperscan").scan(TEXTS).equals(findings)
    (file,) = cache.iterdir()
    return file


@pytest.fixture
def compilings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each compiling."""
    done: list[int] = []
    really = compiled._compile

    def counted(patterns: Sequence[str]) -> Any:
        done.append(1)
        return really(patterns)

    monkeypatch.setattr(compiled, "_compile", counted)
    return done


def test_a_second_scanner_finds_the_same_without_compiling(
    kept: Path, findings: pl.DataFrame, compilings: list[int]
) -> None:
    assert Scanner(SOME, engine="hyperscan").scan(TEXTS).equals(findings)
    assert compilings == []
    assert oct(kept.stat().st_mode & 0o777) == "0o600"


def test_all_rules_are_loaded_in_no_time(cache: Path) -> None:
    Scanner(engine="hyperscan")

    started = time.process_time()
    Scanner(engine="hyperscan")

    # Compiling them takes more than a second.
    assert time.process_time() - started < 0.4


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _no_database(file: Path) -> None:
    # What hyperscan itself has to refuse.
    body = b"no database at all"
    file.write_bytes(hashlib.sha256(file.name.encode() + body).digest() + body)


def _anybodys(file: Path) -> None:
    file.chmod(0o666)


def _link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to(file.with_name("elsewhere"))


def _of_others(file: Path) -> None:
    other = file.with_name("hyperscan-0.db")
    other.write_bytes(file.read_bytes())
    # The right bytes under another key.
    content = other.read_bytes()
    file.write_bytes(hashlib.sha256(other.name.encode() + content[32:]).digest() + content[32:])


@pytest.mark.parametrize(
    "spoil",
    [_truncated, _flipped, _empty, _no_database, _anybodys, _link, _of_others],
    ids=lambda f: f.__name__,
)
def test_what_cannot_be_trusted_is_compiled_again(
    kept: Path, findings: pl.DataFrame, compilings: list[int], spoil: Callable[[Path], None]
) -> None:
    spoil(kept)

    again = Scanner(SOME, engine="hyperscan")

    assert compilings == [1]
    assert again.scan(TEXTS).equals(findings)
    assert not kept.is_symlink()
    Scanner(SOME, engine="hyperscan")
    assert compilings == [1]


def test_a_file_of_another_user_is_not_loaded(
    kept: Path, compilings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)

    Scanner(SOME, engine="hyperscan")

    assert compilings == [1]


def test_a_folder_that_others_may_write_to_is_not_used(cache: Path, compilings: list[int]) -> None:
    cache.mkdir()
    cache.chmod(0o777)

    Scanner(SOME, engine="hyperscan")

    assert compilings == [1]
    assert list(cache.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compilings: list[int]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    assert Scanner(SOME, engine="hyperscan").engine == "hyperscan"
    assert compilings == [1]


def test_what_older_rules_have_left_goes(cache: Path) -> None:
    cache.mkdir(mode=0o700)
    for age in range(6):
        old = cache / f"hyperscan-{age}.db"
        old.touch()
        os.utime(old, (age, age))

    Scanner(SOME, engine="hyperscan")

    left = {file.name for file in cache.iterdir()}
    assert len(left) == 4
    assert {"hyperscan-5.db", "hyperscan-4.db", "hyperscan-3.db"} <= left


def test_other_rules_have_another_database(kept: Path) -> None:
    Scanner(SOME[:-1], engine="hyperscan")

    assert len(list(kept.parent.iterdir())) == 2
