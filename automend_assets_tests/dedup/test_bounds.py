"""Memory stays within its bound with the same answer, and hostile texts cost no more than their size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from automend_assets.dedup.deduplicate import deduplicate
from automend_assets.dedup.near import EXACT_DOCUMENTS
from automend_assets.dedup.spill import SpillingRows
from automend_assets_tests.dedup import truth

MIB = 1 << 20


def _corpus(documents: int, words: int) -> pl.DataFrame:
    """Texts of which every fifth is the one before with one word changed."""
    random = np.random.Generator(np.random.PCG64(3))
    texts: list[str] = []
    for number in range(documents):
        if number % 5 == 4:
            changed = texts[-1].split(" ")
            changed[words // 2] = "changed"
            texts.append(" ".join(changed))
        else:
            texts.append(" ".join(f"w{word}" for word in random.integers(0, 50_000, words).tolist()))
    return pl.DataFrame({"text": texts})


@pytest.mark.parametrize("exact_documents", [0, EXACT_DOCUMENTS])
def test_spilled_and_in_memory_give_the_same_rows(
    exact_documents: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    spilled = []
    seal = SpillingRows.seal

    def noting(rows: SpillingRows) -> None:
        seal(rows)
        spilled.append(rows.spilled)

    monkeypatch.setattr(SpillingRows, "seal", noting)
    frame = _corpus(500, 200).lazy()
    in_memory = deduplicate(frame, "text", exact_documents=exact_documents)
    assert spilled == [False, False]
    from_disk = deduplicate(
        frame, "text", exact_documents=exact_documents, memory_bytes=1 << 14, block_bytes=5_000, workers=1
    )
    assert spilled == [False, False, True, True]
    assert from_disk.removed.equals(in_memory.removed)
    assert in_memory.removed["removed"].to_list() == list(range(4, 500, 5))


_READ = "removed = sum(0 for _ in frame.select('text').collect_batches(chunk_size=256, maintain_order=True))"
_DEDUPLICATE = "removed = len(deduplicate(frame, 'text', memory_bytes=int(sys.argv[2]), workers=1).removed)"
_PROGRAM = """
import sys
from pathlib import Path
import polars as pl
from automend_assets.dedup.deduplicate import deduplicate
frame = pl.scan_parquet(sys.argv[1])
{work}
print(removed, int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) >> 10)
"""


def _peak(work: str, parquet: Path, memory_bytes: int = 0) -> tuple[int, int]:
    """Rows removed and the peak resident set, in MiB, of a process of its own.

    From VmHWM: what `getrusage` tells begins with the size of the process that forked.
    """
    run = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(work=work), str(parquet), str(memory_bytes)],
        capture_output=True,
        text=True,
        check=True,
        env={"POLARS_MAX_THREADS": "1", "PATH": ""},
    )
    removed, peak = run.stdout.split()
    return int(removed), int(peak)


def test_peak_memory_follows_the_parameter_not_the_data(tmp_path: Path) -> None:
    parquet = tmp_path / "texts.parquet"
    _corpus(25_000, 1_000).write_parquet(parquet, row_group_size=250)  # 150 MiB of text, 190 MiB of sets
    _, reading = _peak(_READ, parquet)
    removed, bounded = _peak(_DEDUPLICATE, parquet, 16 * MIB)
    also_removed, free = _peak(_DEDUPLICATE, parquet, 1 << 30)
    assert removed == also_removed == 5_000
    # Beside the parameter: what numpy, polars and the allocator hold, the same for any amount of text.
    assert bounded < reading + 16 + 160
    assert free > bounded + 190


def test_a_document_of_50_megabytes_beside_small_ones() -> None:
    line = "kind: Deployment, number {}, of a document that has no end\n"
    huge = "".join(line.format(number) for number in range(50_000_000 // len(line)))
    frame = pl.LazyFrame({"text": ["small", huge, "a b c d e f", f"{huge} and more", huge, "a  b c d e f"]})
    result = deduplicate(frame, "text", memory_bytes=64 * MIB, workers=1)
    assert result.removed.select("removed", "kept", "level").rows() == [
        (3, 1, "near"),
        (4, 1, "exact"),
        (5, 2, "normalised"),
    ]
    assert 0.999 < result.removed["similarity"][0] < 1


def test_texts_that_are_nothing_but_one_thing() -> None:
    million = 1_000_000
    texts = [
        "word " * million,
        "word " * (million + 1),
        "x" * 10 * million,
        "x" * 10 * million + "y",
        "{" * million,
        "[" * million,
        "\x00" * million,
        "\n" * million,
        "",
        "数" * million,
        "数 " * million,
        "'" * 10_000,
        '"""' * 10_000,
        "/*" * 10_000,
    ]
    for language in (None, "python", "java", "cpp", "javascript"):
        result = deduplicate(pl.LazyFrame({"text": texts}), "text", language=language)
        assert result.removed.rows() == [(1, 0, 1.0, "near"), (8, 7, 1.0, "normalised")]


def test_many_documents_of_common_paragraphs_are_compared_in_seconds() -> None:
    random = np.random.Generator(np.random.PCG64(4))
    paragraphs = [" ".join(f"p{number}w{word}" for word in range(20)) for number in range(100)]
    chosen = random.integers(0, len(paragraphs), (3_000, 10))
    texts = [" ".join(paragraphs[each] for each in row) for row in chosen.tolist()]
    result = deduplicate(pl.LazyFrame({"text": texts}), "text", threshold=0.8)
    assert len(result.removed) < 100
    for removed, kept, similarity, _ in result.removed.iter_rows():
        assert truth.similarity(texts[removed], texts[kept]) == similarity >= 0.8
