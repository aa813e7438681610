"""Scanning and redacting of Parquet columns, files and folders, as streams.

Here: what `automend scan` and `automend redact` do, without Dagster and in memory that does not grow with the input.
Not here: the command line itself (`automend_assets.cli`).
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from automend_assets.errors import PermanentError
from automend_assets.privacy.replacement import Style, redact
from automend_assets.privacy.report import PrivacyReport
from automend_assets.privacy.scanner import Scanner

_BATCH_ROWS = 2_048
_BATCH_BYTES = 64 << 20
_SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", ".dvc", ".venv", "node_modules", "__pycache__"})


class UnreadableInput(PermanentError):
    """A path, file or column that is to be scanned is not there or not of the kind that is needed."""


@dataclass
class ScanSummary:
    """What a scan or a redaction read. `skipped`: files that are no UTF-8 text, with the reason."""

    report: PrivacyReport = field(default_factory=PrivacyReport)
    skipped: dict[str, str] = field(default_factory=dict)


def scan_parquet(source: Path, column: str, out: Path, *, scanner: Scanner | None = None) -> ScanSummary:
    """Write a JSON line `{row, start, end, rule, kind, confidence}` to `out` for each finding in a Parquet column.

    `row` is zero-based over the file; places are characters. Raises UnreadableInput.
    """
    scanner = scanner or Scanner()
    summary = ScanSummary()
    with _whole_file(out) as lines:
        row = 0
        for batch in _batches(source, column):
            texts = _text_column(batch, column, source)
            findings = scanner.scan(texts)
            summary.report.add(texts, findings)
            _write_lines(lines, findings.with_columns(pl.col("row") + row))
            row += len(texts)
    return summary


def redact_parquet(
    source: Path, column: str, out: Path, *, style: Style = "placeholder", scanner: Scanner | None = None
) -> ScanSummary:
    """Write a copy of a Parquet file to `out` whose `column` holds replacements; all other columns are as they were.

    Raises UnreadableInput.
    """
    scanner = scanner or Scanner()
    summary = ScanSummary()
    with _whole_path(out) as temporary:
        schema = _schema(source, column)
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for batch in _batches(source, None):
                texts = _text_column(batch, column, source)
                replaced, findings = redact(texts, scanner, style)
                summary.report.add(texts, findings)
                index = batch.schema.get_field_index(column)
                values = replaced.to_arrow().cast(schema.field(index).type)
                writer.write_table(
                    pa.table(batch).set_column(index, schema.field(index), values).cast(schema)
                )
    return summary


def scan_paths(paths: Iterable[Path], out: Path, *, scanner: Scanner | None = None) -> ScanSummary:
    """Write a JSON line `{path, row, start, end, rule, kind, confidence}` to `out` for each finding in text files.

    A folder stands for all files below it, in the order of their names. `row` is 0: a file is one document. Files that
    are no UTF-8 text are skipped and listed in the summary. Raises UnreadableInput.
    """
    scanner = scanner or Scanner()
    summary = ScanSummary()
    target = out.resolve()
    with _whole_file(out) as lines:
        for group in _file_batches(paths, summary, target):
            texts = pl.Series("text", [text for _, _, text in group], dtype=pl.String)
            findings = scanner.scan(texts)
            summary.report.add(texts, findings)
            names = pl.Series("path", [str(path) for path, _, _ in group], dtype=pl.String)
            with_paths = findings.select(
                names.gather(findings["row"]).alias("path"),
                pl.lit(0, pl.Int64).alias("row"),
                pl.exclude("row"),
            )
            _write_lines(lines, with_paths)
    return summary


def redact_paths(
    paths: Iterable[Path], out: Path, *, style: Style = "placeholder", scanner: Scanner | None = None
) -> ScanSummary:
    """Write copies of text files, with replacements, below the folder `out`; line ends and other bytes are kept.

    A file keeps its name; below a given folder, its path relative to that folder. Files that are no UTF-8 text are
    **not** copied, since nobody looked into them; the summary lists them. Raises UnreadableInput.
    """
    scanner = scanner or Scanner()
    summary = ScanSummary()
    out.mkdir(parents=True, exist_ok=True)
    for group in _file_batches(paths, summary, out.resolve()):
        texts = pl.Series("text", [text for _, _, text in group], dtype=pl.String)
        replaced, findings = redact(texts, scanner, style)
        summary.report.add(texts, findings)
        for (_, relative, _), text in zip(group, replaced, strict=True):
            target = out / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            with _whole_file(target) as copy:
                copy.write(text.encode("utf-8"))
    return summary


# --- reading --------------------------------------------------------------------------------------


def _schema(source: Path, column: str) -> pa.Schema:
    if not source.is_file():
        raise UnreadableInput(f"There is no file {source}. Give the path of a Parquet file.")
    try:
        schema = pq.read_schema(source)
    except (pa.ArrowInvalid, OSError) as problem:
        raise UnreadableInput(
            f"{source} is not a Parquet file. Scan plain files by giving their paths."
        ) from problem
    if column not in schema.names:
        raise UnreadableInput(f"{source} has no column {column!r}. Its columns: {', '.join(schema.names)}.")
    kind = schema.field(column).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        raise UnreadableInput(
            f"Column {column!r} of {source} holds {kind}, not strings. Name a column of strings."
        )
    return schema


def _batches(source: Path, column: str | None) -> Iterator[pa.RecordBatch]:
    """Batches of bounded size: of the one column, or of all where `column` is None."""
    if column is not None:
        _schema(source, column)
    with pq.ParquetFile(source) as file:
        for batch in file.iter_batches(_BATCH_ROWS, columns=None if column is None else [column]):
            start = 0
            while start < len(batch):
                rows = len(batch) - start
                while rows > 1 and batch.slice(start, rows).nbytes > _BATCH_BYTES:
                    rows //= 2
                yield batch.slice(start, rows)
                start += rows


def _text_column(batch: pa.RecordBatch, column: str, source: Path) -> pl.Series:
    texts = pl.from_arrow(batch.column(column).cast(pa.large_string()))
    assert isinstance(texts, pl.Series)  # noqa: S101
    return texts


def _file_batches(
    paths: Iterable[Path], summary: ScanSummary, target: Path
) -> Iterator[list[tuple[Path, Path, str]]]:
    """Path, path relative to what was given, and text of the files, in batches of bounded size."""
    group: list[tuple[Path, Path, str]] = []
    size = 0
    for path, relative in _files(paths, target):
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            summary.skipped[str(path)] = "not_utf8"
            continue
        except OSError as problem:
            summary.skipped[str(path)] = f"unreadable: {problem.strerror}"
            continue
        group.append((path, relative, text))
        size += len(text)
        if size > _BATCH_BYTES or len(group) >= _BATCH_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _files(paths: Iterable[Path], target: Path) -> Iterator[tuple[Path, Path]]:
    for path in paths:
        if path.is_dir():
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(
                    name
                    for name in folders
                    if name not in _SKIPPED_FOLDERS and (Path(folder) / name).resolve() != target
                )
                for name in sorted(names):
                    found = Path(folder) / name
                    if found.is_file() and not found.is_symlink() and found.resolve() != target:
                        yield found, found.relative_to(path)
        elif path.is_file():
            yield path, Path(path.name)
        else:
            raise UnreadableInput(f"There is no file or folder {path}. Give paths that exist.")


# --- writing --------------------------------------------------------------------------------------


def _write_lines(lines: IO[bytes], findings: pl.DataFrame) -> None:
    for finding in findings.iter_rows(named=True):
        lines.write(orjson.dumps(finding) + b"\n")


@contextmanager
def _whole_path(out: Path) -> Iterator[Path]:
    """A temporary path beside `out` that takes its place when all went well, and vanishes otherwise."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=".automend-"))
    try:
        temporary = folder / out.name
        yield temporary
        temporary.replace(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _whole_file(out: Path) -> Iterator[IO[bytes]]:
    with _whole_path(out) as temporary, temporary.open("wb") as file:
        yield file
