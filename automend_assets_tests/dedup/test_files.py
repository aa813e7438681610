"""From a Parquet file to two, whole or not at all."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from automend_assets.dedup.deduplicate import NotDeduplicable
from automend_assets.dedup.files import dedup_parquet
from automend_assets_tests.dedup import truth

TEXTS = ["one two three", "four", None, "one  two three", "four", "five six"]


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    path = tmp_path / "in.parquet"
    pl.DataFrame({"row": range(6), "text": TEXTS, "row_": [[number] for number in range(6)]}).write_parquet(
        path
    )
    return path


def test_kept_and_removed_are_files(parquet: Path, tmp_path: Path) -> None:
    out, removed = tmp_path / "new" / "kept.parquet", tmp_path / "removed.parquet"
    result = dedup_parquet(parquet, "text", 0.85, out, removed)
    assert pl.read_parquet(removed).rows() == [(3, 0, 1.0, "normalised"), (4, 1, 1.0, "exact")]
    assert pl.read_parquet(removed).rows() == [tuple(removal) for removal in truth.removals(TEXTS, 0.85)]
    assert pl.read_parquet(out).equals(pl.read_parquet(parquet)[[0, 1, 2, 5]])
    assert result.rows == 6
    assert result.removed_by_level == {"exact": 1, "normalised": 1, "near": 0}
    assert {path.name for path in tmp_path.rglob("*")} == {
        "in.parquet", "new", "kept.parquet", "removed.parquet",
    }  # fmt: skip


def test_the_same_bytes_twice(parquet: Path, tmp_path: Path) -> None:
    first, second = (
        [tmp_path / run / name for name in ("kept.parquet", "removed.parquet")] for run in ("first", "second")
    )
    dedup_parquet(parquet, "text", 0.85, *first)
    dedup_parquet(parquet, "text", 0.85, *second)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_file_without_rows(tmp_path: Path) -> None:
    empty = tmp_path / "empty.parquet"
    pl.DataFrame(schema={"text": pl.String}).write_parquet(empty)
    dedup_parquet(empty, "text", 0.85, tmp_path / "kept.parquet", tmp_path / "removed.parquet")
    assert pl.read_parquet(tmp_path / "kept.parquet").shape == (0, 1)
    assert pl.read_parquet(tmp_path / "removed.parquet").columns == ["removed", "kept", "similarity", "level"]


def test_what_cannot_be_read_or_written_is_named(parquet: Path, tmp_path: Path) -> None:
    out, removed = tmp_path / "kept.parquet", tmp_path / "removed.parquet"
    with pytest.raises(NotDeduplicable, match=r"absent\.parquet is no file"):
        dedup_parquet(tmp_path / "absent.parquet", "text", 0.85, out, removed)
    with pytest.raises(NotDeduplicable, match=r"must differ from each other and from"):
        dedup_parquet(parquet, "text", 0.85, parquet, removed)
    with pytest.raises(NotDeduplicable, match="No column 'body'"):
        dedup_parquet(parquet, "body", 0.85, out, removed)
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(parquet.read_bytes()[:-9])
    with pytest.raises(NotDeduplicable, match=r"damaged\.parquet cannot be read as Parquet"):
        dedup_parquet(damaged, "text", 0.85, out, removed)
    assert not out.exists()
    assert not removed.exists()
