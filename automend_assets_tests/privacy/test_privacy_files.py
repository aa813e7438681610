"""Scanning and redacting of Parquet columns, files and folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automend_assets.privacy.files import (
    UnreadableInput,
    redact_parquet,
    redact_paths,
    scan_parquet,
    scan_paths,
)
from automend_assets.privacy.scanner import Scanner

ADDRESS = "jane.doe@web-mail.org"
PASSWORD = "hunter22"
TEXTS = [f"é <{ADDRESS}>", None, "nothing", f"DB_PASSWORD={PASSWORD}\n"]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """A Parquet file of three row groups: TEXTS again and again."""
    path = tmp_path / "in.parquet"
    table = pa.table({"id": range(3_000), "body": TEXTS * 750, "tags": [["a"], None, []] * 1_000})
    pq.write_table(table, path, row_group_size=1_000)
    return path


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_column_gives_a_line_for_each_finding_and_no_value(
    scanner: Scanner, parquet: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "findings.jsonl"

    summary = scan_parquet(parquet, "body", out, scanner=scanner)

    found = lines(out)
    assert len(found) == 1_500
    assert found[0] == {"row": 0, "start": 3, "end": 24, "rule": "email", "kind": "email", "confidence": 0.95}
    assert found[-1]["row"] == 2_999
    assert summary.report.as_dict()["findings"] == 1_500
    assert ADDRESS not in out.read_text()
    assert PASSWORD not in out.read_text()


def test_a_redacted_copy_differs_in_the_column_alone(scanner: Scanner, parquet: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"

    redact_parquet(parquet, "body", out, scanner=scanner)

    before, after = pq.read_table(parquet), pq.read_table(out)
    assert after.schema == before.schema
    assert after.drop_columns("body").equals(before.drop_columns("body"))
    assert after["body"].to_pylist()[:4] == ["é <<EMAIL_1>>", None, "nothing", "DB_PASSWORD=<PASSWORD_1>\n"]
    assert scanner.scan(after["body"]).is_empty()


def test_the_same_input_gives_the_same_bytes(scanner: Scanner, parquet: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        redact_parquet(parquet, "body", tmp_path / name, style="stand_in", scanner=scanner)
        scan_parquet(parquet, "body", tmp_path / f"{name}.jsonl", scanner=scanner)

    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "src"
    (folder / "deep").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "b.env").write_bytes(f"DB_PASSWORD={PASSWORD}\r\nX=1\r\n".encode())
    (folder / "deep" / "a.txt").write_text(f"write to {ADDRESS}")
    (folder / ".git" / "config").write_text(f"email = {ADDRESS}")
    (folder / "image.bin").write_bytes(b"\xff\xfe\x00" + ADDRESS.encode())
    return folder


def test_a_folder_is_scanned_in_the_order_of_its_names(
    scanner: Scanner, folder: Path, tmp_path: Path
) -> None:
    out = folder / "findings.jsonl"
    out.write_text(f"of an earlier run: {ADDRESS}")

    summary = scan_paths([folder], out, scanner=scanner)

    assert [(line["path"], line["rule"], line["row"]) for line in lines(out)] == [
        (str(folder / "b.env"), "bare-password", 0),
        (str(folder / "deep" / "a.txt"), "email", 0),
    ]
    assert summary.skipped == {str(folder / "image.bin"): "not_utf8"}


def test_redacted_files_keep_their_line_ends(scanner: Scanner, folder: Path, tmp_path: Path) -> None:
    summary = redact_paths([folder], tmp_path / "out", scanner=scanner)

    assert (tmp_path / "out" / "b.env").read_bytes() == b"DB_PASSWORD=<PASSWORD_1>\r\nX=1\r\n"
    assert (tmp_path / "out" / "deep" / "a.txt").read_text() == "write to <EMAIL_1>"
    # Nobody looked into what is no text: it is not copied.
    assert not (tmp_path / "out" / "image.bin").exists()
    assert list(summary.skipped.values()) == ["not_utf8"]


def test_what_cannot_be_read_is_named_with_what_to_do(
    scanner: Scanner, parquet: Path, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "x"
    with pytest.raises(UnreadableInput, match=r"no column 'text'.*id, body, tags"):
        scan_parquet(parquet, "text", out, scanner=scanner)
    with pytest.raises(UnreadableInput, match="holds int64, not strings"):
        redact_parquet(parquet, "id", out, scanner=scanner)
    with pytest.raises(UnreadableInput, match="not a Parquet file"):
        scan_parquet(folder / "b.env", "body", out, scanner=scanner)
    with pytest.raises(UnreadableInput, match="no file"):
        scan_parquet(tmp_path / "none", "body", out, scanner=scanner)
    with pytest.raises(UnreadableInput, match="no file or folder"):
        scan_paths([tmp_path / "none"], out, scanner=scanner)
    assert not out.exists()


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    # 240 MB of text in rows of 20 kB; the interpreter with polars and the rules takes about 200 MB.
    path = tmp_path / "big.parquet"
    row = f"{'word ' * 4_000}{ADDRESS}"
    schema = pa.schema({"body": pa.large_string()})
    with pq.ParquetWriter(path, schema) as writer:
        for _ in range(12):
            writer.write_table(pa.table({"body": [row] * 1_000}, schema=schema))
    code = (
        "import sys; from pathlib import Path\n"
        "from automend_assets.privacy.files import redact_parquet\n"
        "redact_parquet(Path(sys.argv[1]), 'body', Path(sys.argv[2]))\n"
        # Not ru_maxrss, which a child takes over from the process that started it.
        "print(int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) // 1024)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, path, tmp_path / "out.parquet"],
        capture_output=True,
        text=True,
        check=True,
    )

    assert int(run.stdout) < 700
    assert pl.scan_parquet(tmp_path / "out.parquet").select(pl.len()).collect().item() == 12_000
