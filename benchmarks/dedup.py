"""Near-deduplication of real code and YAML, beside datasketch and rensa, all held to a brute-force truth.

    python benchmarks/dedup.py [--rows N] [--truth-rows N] [--realdata FOLDER]

Every side is a child process of its own that reads the same Parquet file and goes through the rows in order: ours by
the exact join (what production does up to 100,000 documents), ours by MinHash bands (what it does beyond), datasketch
and rensa as their users do, with 128 permutations and threshold 0.85: ask the index for each document, remove it on a
hit, else insert it. All use sets of word 5-grams; the two tools get theirs from Python's `re`, whose share is shown.
Counted are CPU seconds of user and system, imports left out, reading included, and the peak resident set.

The truth of a sample of rows compares every document with every kept one whose size allows a likeness of 0.85, as
Python sets of tuples of words. `recall` is the share of its removals that a side made as well, `verified` the share
of a side's removals that are indeed 0.85 similar to a document which that side kept. Removals of our side on all
rows are verified in the same way, one by one.
"""

from __future__ import annotations

import argparse
import bisect
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

THRESHOLD = 0.85
PERMUTATIONS = 128
SIDES = ("ours", "ours_minhash", "datasketch", "rensa")
REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"
FILES = ("code/*/files.parquet", "hub/datasets/bigcode/the-stack-dedup/data/yaml/*.parquet")

Shingles = frozenset[tuple[str, ...]]


def shingles(text: str) -> Shingles:
    words = re.findall(r"\w+", text)
    if len(words) < 5:
        return frozenset([tuple(words)] if words else [])
    return frozenset(zip(words, words[1:], words[2:], words[3:], words[4:], strict=False))


def similarity(one: Shingles, other: Shingles) -> float:
    common = len(one & other)
    return common / (len(one) + len(other) - common) if common else 0.0


# --- sides --------------------------------------------------------------------


def ours(parquet: Path, **options: Any) -> dict[str, Any]:
    import polars as pl

    from automend_assets.dedup.deduplicate import deduplicate

    started = time.process_time()
    result = deduplicate(pl.scan_parquet(parquet), "content", threshold=THRESHOLD, **options)
    seconds = time.process_time() - started
    return {"seconds": seconds, "removed": dict(result.removed.select("removed", "kept").iter_rows())}


def datasketch(parquet: Path) -> dict[str, Any]:
    import polars as pl
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS)

    def hit(row: int, tokens: list[str]) -> int | None:
        sketch = MinHash(num_perm=PERMUTATIONS)
        sketch.update_batch([token.encode() for token in tokens])
        if found := index.query(sketch):
            return int(min(found))
        index.insert(row, sketch)
        return None

    return _in_order(lambda: pl.read_parquet(parquet)["content"].to_list(), hit)


def rensa(parquet: Path) -> dict[str, Any]:
    import polars as pl
    from rensa import RMinHash, RMinHashLSH  # type: ignore[import-untyped]

    index = RMinHashLSH(threshold=THRESHOLD, num_perm=PERMUTATIONS, num_bands=16)

    def hit(row: int, tokens: list[str]) -> int | None:
        sketch = RMinHash(num_perm=PERMUTATIONS, seed=42)
        sketch.update(tokens)
        if found := index.query(sketch):
            return int(min(found))
        index.insert(row, sketch)
        return None

    return _in_order(lambda: pl.read_parquet(parquet)["content"].to_list(), hit)


def _in_order(read: Callable[[], list[str]], hit: Callable[[int, list[str]], int | None]) -> dict[str, Any]:
    started = time.process_time()
    removed, shingling = {}, 0.0
    for row, text in enumerate(read()):
        before = time.process_time()
        tokens = [" ".join(shingle) for shingle in shingles(text)]
        shingling += time.process_time() - before
        if tokens and (kept := hit(row, tokens)) is not None:
            removed[row] = kept
    return {"seconds": time.process_time() - started, "shingling": shingling, "removed": removed}


def run_side(side: str, parquet: Path) -> dict[str, Any]:
    program = [sys.executable, __file__, "--side", side, "--parquet", str(parquet)]
    outcome = json.loads(subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout)
    outcome["removed"] = {int(row): kept for row, kept in outcome["removed"].items()}
    return dict(outcome)


def side_main(side: str, parquet: Path) -> None:
    outcome = {
        "ours": ours,
        "ours_minhash": lambda path: ours(path, exact_documents=0),
        "datasketch": datasketch,
        "rensa": rensa,
    }[side](parquet)
    # Of this process alone; what getrusage tells begins with the size of the process that forked.
    status = Path("/proc/self/status").read_text()
    outcome["peak_mib"] = int(status.split("VmHWM:")[1].split()[0]) >> 10
    print(json.dumps(outcome))


# --- truth --------------------------------------------------------------------


def true_removals(sets: list[Shingles], texts: list[str]) -> set[int]:
    """Rows with a kept row before them that has the same bytes or is at least THRESHOLD similar."""
    kept_by_size: list[tuple[int, int]] = []
    seen: set[str] = set()
    removed = set()
    for row, own in enumerate(sets):
        size = len(own)
        first = bisect.bisect_left(kept_by_size, (int(size * THRESHOLD), -1))
        last = bisect.bisect_right(kept_by_size, (int(size / THRESHOLD) + 1, len(sets)))
        if texts[row] in seen or any(
            similarity(own, sets[other]) >= THRESHOLD for _, other in kept_by_size[first:last]
        ):
            removed.add(row)
        else:
            bisect.insort(kept_by_size, (size, row))
            seen.add(texts[row])
    return removed


def verified(removed: dict[int, int], texts: list[str]) -> int:
    """How many removals are right: alike enough, and the other one kept."""
    return sum(
        kept not in removed
        and (
            texts[row].split() == texts[kept].split()
            or similarity(shingles(texts[row]), shingles(texts[kept])) >= THRESHOLD
        )
        for row, kept in removed.items()
    )


def compare(realdata: Path, rows: int | None, truth_rows: int, folder: Path) -> None:
    import polars as pl

    files = sorted(path for pattern in FILES for path in realdata.glob(pattern))
    everything = pl.concat([pl.scan_parquet(path).select("content") for path in files]).collect()
    frame = everything if rows is None else everything.sample(min(rows, len(everything)), seed=1)
    sample = frame.sample(min(truth_rows, len(frame)), seed=2)
    whole, part = folder / "whole.parquet", folder / "part.parquet"
    frame.write_parquet(whole, row_group_size=1_000)
    sample.write_parquet(part, row_group_size=1_000)
    texts, all_texts = sample["content"].to_list(), frame["content"].to_list()
    megabytes = sum(len(text.encode()) for text in all_texts) / 1e6
    print(f"{len(frame):,} documents of code and YAML, {megabytes:.1f} MB")
    speed: dict[str, float] = {}
    outcomes = {}
    for side in SIDES:
        outcome = outcomes[side] = run_side(side, whole)
        speed[side] = megabytes / outcome["seconds"]
        of_re = f", {outcome['shingling']:.1f} of them 5-grams by re" if "shingling" in outcome else ""
        print(
            f"{side:13} {speed[side]:6.1f} MB/CPU s  {outcome['seconds']:6.2f} CPU s{of_re}, "
            f"{outcome['peak_mib']:,} MiB, {len(outcome['removed']):,} removed"
        )
    right = verified(outcomes["ours"]["removed"], all_texts)
    print(f"ours: {right:,} of {len(outcomes['ours']['removed']):,} removals verified, one by one")
    same = outcomes["ours"]["removed"] == outcomes["ours_minhash"]["removed"]
    print(f"ours_minhash: the same removals as the exact join: {'yes' if same else 'no'}")

    started = time.process_time()
    truth = true_removals([shingles(text) for text in texts], texts)
    print(
        f"truth of {len(texts):,} of them: {len(truth):,} removals, {time.process_time() - started:.1f} CPU s"
    )
    recall = {}
    for side in SIDES:
        removed = run_side(side, part)["removed"]
        recall[side] = len(truth & removed.keys()) / len(truth) if truth else 1.0
        extra = f", {len(removed.keys() - truth)} beyond the truth"
        share = verified(removed, texts) / len(removed) if removed else 1.0
        print(f"{side:13} recall {recall[side]:.4f}, verified {share:.4f}, {len(removed):,} removed{extra}")
    print(f"ratio: {speed['ours'] / speed['rensa']:.2f} times rensa, MB per CPU second")
    print(f"ratio: {speed['ours'] / speed['datasketch']:.2f} times datasketch, MB per CPU second")
    print(
        f"ratio: {speed['ours'] / 12:.2f} times the aim of 12 MB per CPU second, recall {recall['ours']:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, help="of how many documents (default: all)")
    parser.add_argument("--truth-rows", type=int, default=4_000, help="documents compared by brute force")
    parser.add_argument("--realdata", type=Path, default=REALDATA)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--parquet", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        side_main(options.side, options.parquet)
        return
    with tempfile.TemporaryDirectory(prefix="dedup-benchmark-") as folder:
        compare(options.realdata, options.rows, options.truth_rows, Path(folder))


if __name__ == "__main__":
    main()
