"""`automend scan`, `redact` and `dedup`: the engines on files, without Dagster."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from automend_assets.cli import app

MAIL = "jane.roe" + "@" + "corp-mail.org"
TEXTS = ["contact: " + MAIL, "nothing here", None, f"twice {MAIL} and {MAIL}"]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    file = tmp_path / "texts.parquet"
    pl.DataFrame({"n": range(len(TEXTS)), "content": TEXTS}).write_parquet(file)
    return file


def automend(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_scan_writes_places_and_never_values(parquet: Path, tmp_path: Path) -> None:
    out = tmp_path / "findings.jsonl"
    done = automend("scan", "--parquet", parquet, "--column", "content", "--out", out)

    assert done.exit_code == 0, done.output
    findings = [json.loads(line) for line in out.read_text().splitlines()]
    assert [list(finding) for finding in findings] == [
        ["row", "start", "end", "rule", "kind", "confidence"]
    ] * 3
    places = [(finding["row"], finding["start"], finding["end"]) for finding in findings]
    assert [(TEXTS[row] or "")[start:end] for row, start, end in places] == [MAIL] * 3
    assert [row for row, _, _ in places] == [0, 3, 3]
    assert MAIL not in out.read_text() + done.output
    assert "3 found in 2 of 4 documents" in done.stderr


def test_a_redacted_copy_has_nothing_to_find_and_everything_else(parquet: Path, tmp_path: Path) -> None:
    copy, out = tmp_path / "copy.parquet", tmp_path / "findings.jsonl"
    assert automend("redact", "--parquet", parquet, "--column", "content", "--out", copy).exit_code == 0
    assert automend("scan", "--parquet", copy, "--column", "content", "--out", out).exit_code == 0

    assert out.read_text() == ""
    assert pl.read_parquet(copy)["content"].to_list() == [
        "contact: <EMAIL_1>",
        "nothing here",
        None,
        "twice <EMAIL_1> and <EMAIL_1>",
    ]
    assert pl.read_parquet(copy)["n"].to_list() == [0, 1, 2, 3]


def test_files_and_folders_are_scanned_and_redacted(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text(f"mail {MAIL}\r\n", newline="")
    (folder / "b.bin").write_bytes(b"\xff\xfe\x00")
    out, copies = tmp_path / "findings.jsonl", tmp_path / "copies"

    scanned = automend("scan", folder, "--out", out)
    redacted = automend("redact", folder, "--out", copies, "--style", "stand_in")

    assert scanned.exit_code == redacted.exit_code == 0
    (finding,) = map(json.loads, out.read_text().splitlines())
    assert finding["path"] == str(folder / "sub" / "a.txt")
    assert "b.bin" in scanned.stderr
    assert "not_utf8" in scanned.stderr
    (copy,) = (path for path in copies.rglob("*") if path.is_file())
    text = copy.read_bytes().decode()
    assert MAIL not in text
    assert text.startswith("mail ")
    assert text.endswith("\r\n")


def test_dedup_keeps_one_and_names_the_rest(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(60)]
    texts = [" ".join(words), " ".join(reversed(words)), " ".join(words), " ".join([*words, "more"])]
    source, kept, removed = (tmp_path / name for name in ("in.parquet", "kept.parquet", "removed.parquet"))
    pl.DataFrame({"content": texts}).write_parquet(source)

    done = automend(
        "dedup",
        "--parquet",
        source,
        "--column",
        "content",
        "--threshold",
        "0.85",
        "--out",
        kept,
        "--removed",
        removed,
    )

    assert done.exit_code == 0, done.output
    assert pl.read_parquet(kept)["content"].to_list() == texts[:2]
    rows = pl.read_parquet(removed).select("removed", "kept", "level").rows()
    assert rows == [(2, 0, "exact"), (3, 0, "near")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "--out", "OUT"], "name text files and folders, or --parquet FILE"),
        (["scan", "--parquet", "TEXTS", "--out", "OUT"], "--column NAME"),
        (["scan", "--parquet", "TEXTS", "--column", "no", "--out", "OUT"], "has no column 'no'"),
        (["scan", "nowhere", "--out", "OUT"], "nowhere"),
        (["dedup", "--parquet", "TEXTS", "--column", "n", "--out", "OUT", "--removed", "REMOVED"], "'n'"),
    ],
)
def test_what_cannot_be_read_is_named(
    parquet: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    names = {"TEXTS": parquet, "OUT": tmp_path / "out", "REMOVED": tmp_path / "removed"}
    done = automend(*(names.get(argument, argument) for argument in arguments))

    assert done.exit_code != 0
    assert message in " ".join(done.output.replace("│", " ").split())
    assert "Traceback" not in done.output
    assert not (tmp_path / "out").exists()
