"""Recall of each way to correct a typo, and how fast training and looking up are, beside the original's settings.

    python benchmarks/typos.py [--per-name N] [--tested N] [--original-epochs N] [--device D] [--realdata FOLDER]

Recall, on two sets of candidates, each with the offline default trained on one part and tested on the two others,
seen and unseen corrections (`split.py`): 300 real makes and models, and all 7,399. The trained model alone, the same
model untrained, normalised edit distance, and the combination that serves; by domain, with 95 % intervals. The noise
is drawn from another seed than that of training; the large set is also tested with mixtures that no part was made
for, uniform random edits among them, and the 73 real pairs are tested and never trained on.

Speed: pairs per second of training with our defaults and with the settings of the original (each pair both ways,
batch 2, one thread, learning rate 1e-5, 10 % warm-up, AdamW), the same base model and the same pairs in the same
run, each in a fresh model, with the recall that each ends with; look-ups per second and the 99th percentile, on one
core, for both.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# One core, as promised; the libraries read these when they are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from automend_assets.datasets.typos.edit_distance import EditDistance
from automend_assets.datasets.typos.encoder import character_model
from automend_assets.datasets.typos.evaluation import Ranker, difference, find_all, latency, measure
from automend_assets.datasets.typos.lookup import EMBEDDING_ALONE, Lookup
from automend_assets.datasets.typos.noise import KINDS, Noise, noisy_pairs
from automend_assets.datasets.typos.split import split
from automend_assets.datasets.typos.texts import (
    BRAND,
    MODEL,
    Entry,
    Pair,
    distinct_entries,
    normalised,
    prompted,
    read_pairs,
)
from automend_assets.datasets.typos.training import Training, TrainingOptions, prepare, train

REALDATA = Path(__file__).resolve().parents[2] / "shared" / "realdata"
SEED = 20260


def real_names(realdata: Path) -> list[Entry]:
    with (realdata / "typos" / "makes_models.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    makes = [Entry(row["make"], BRAND) for row in rows]
    return distinct_entries([*makes, *(Entry(row["model"], MODEL) for row in rows)])


def uniform_pairs(entries: Sequence[Entry], known: Sequence[Entry], seed: int) -> list[Pair]:
    """One edit per name: any character for any, in, out or swapped with the next; no keyboard, sound or shape."""
    rng = random.Random(seed)  # noqa: S311
    names = {(entry.domain, normalised(entry.text)) for entry in known}
    characters = "abcdefghijklmnopqrstuvwxyz0123456789 -"
    pairs = []
    for entry in entries:
        text = normalised(entry.text)
        at, char = rng.randrange(len(text)), rng.choice(characters)
        ends = (
            char + text[at + 1 :],
            text[at + 1 :],
            char + text[at:],
            text[at + 1 : at + 2] + text[at] + text[at + 2 :],
        )
        typo = normalised(text[:at] + rng.choice(ends))
        if typo and (entry.domain, typo) not in names:
            pairs.append(Pair(typo, entry.text, entry.domain))
    return pairs


def fresh_pairs(
    names: Sequence[Entry], training: Sequence[Pair], unseen: Sequence[Pair], options: TrainingOptions
) -> dict[str, list[Pair]]:
    """Ten typos of each unseen correction, four of each seen one; none of a seen one that training saw or drew."""
    examples, held_out = prepare(training, options)
    trained = {example.typo for example in (*(example for example, _ in examples), *held_out)}
    seen = noisy_pairs((pair.entry for pair in training), 4, SEED + 8, known=names)
    return {
        "seen": [pair for pair in seen if prompted(pair.typo, pair.domain) not in trained],
        "unseen": noisy_pairs((pair.entry for pair in unseen), 10, SEED + 7, known=names),
    }


def compare(title: str, ways: dict[str, Ranker], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Print one table; gives recall@1 by way, and the share of edit distance's errors that `serving` removes."""
    print(f"\n{title}: {len(pairs)} pairs")
    found = {name: find_all(way, pairs) for name, way in ways.items()}
    tables = {name: measure(one, seed=SEED) for name, one in found.items()}
    for name, table in tables.items():
        low, high = table["intervals"]["recall_at_1"]
        domains = "  ".join(
            f"{domain} {row['recall_at_1']:.3f}" for domain, row in table["by_domain"].items()
        )
        figures = f"@1 {table['recall_at_1']:.4f} [{low:.3f}, {high:.3f}]  @5 {table['recall_at_5']:.4f}"
        print(
            f"  {name:<15} {figures}  MRR {table['mrr']:.4f}  tied first {table['tied_first']:.3f}  {domains}"
        )
    for domain in tables["serving"]["by_domain"]:
        gained = difference(found["serving"], found["edit distance"], seed=SEED, domain=domain)
        print(
            f"  serving less edit distance, {domain}: {gained.value:+.4f} [{gained.low:+.4f}, {gained.high:+.4f}]"
        )
    missed = {name: 1 - table["recall_at_1"] for name, table in tables.items()}
    removed = 1 - missed["serving"] / missed["edit distance"] if missed["edit distance"] else 0.0
    return {"recall": {name: table["recall_at_1"] for name, table in tables.items()}, "removed": removed}


def ways(
    entries: Sequence[Entry], trained: SentenceTransformer, untrained: SentenceTransformer
) -> dict[str, Ranker]:
    return {
        "untrained": Lookup(entries, untrained[0].embed, EMBEDDING_ALONE),
        "trained": Lookup(entries, trained[0].embed, EMBEDDING_ALONE),
        "edit distance": EditDistance(entries),
        "untr. + re-rank": Lookup(entries, untrained[0].embed),
        "serving": Lookup(entries, trained[0].embed),
    }


def as_the_original(model: SentenceTransformer, pairs: Sequence[Pair], epochs: int) -> tuple[int, float]:
    """Train with the original's settings, one pair both ways per step; gives pairs seen and seconds."""
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss

    texts = [(prompted(pair.typo, pair.domain), prompted(pair.corrected, pair.domain)) for pair in pairs]
    both = [*texts, *((corrected, typo) for typo, corrected in texts)]
    loss_of = MultipleNegativesRankingLoss(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.01)
    steps = epochs * (len(both) // 2)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / max(0.1 * steps, 1), (steps - step) / max(0.9 * steps, 1))
    )
    rng = random.Random(SEED)  # noqa: S311
    model.train()
    started = time.perf_counter()
    for _ in range(epochs):
        rng.shuffle(both)
        for at in range(0, len(both) - 1, 2):
            sides = zip(*both[at : at + 2], strict=True)
            optimizer.zero_grad(set_to_none=True)
            loss_of([model.preprocess(list(side)) for side in sides], None).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    seconds = time.perf_counter() - started
    model.eval()
    return steps * 2, seconds


def encode_per_second(model: SentenceTransformer, entries: Sequence[Entry], pairs: Sequence[Pair]) -> float:
    """Look-ups per second as the original's service does them: the library encodes the query, one product, the best."""
    vectors = model.encode([prompted(*entry) for entry in entries])
    started = time.perf_counter()
    for pair in pairs:
        np.argsort(-(vectors @ model.encode(prompted(pair.typo, pair.domain))))[:5]
    return len(pairs) / (time.perf_counter() - started)


def main() -> None:
    """Measure, print the tables, end with the ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--per-name", type=int, default=6, help="pairs for each of 300 names; 1 for each of all others"
    )
    parser.add_argument("--tested", type=int, default=1500, help="pairs of a test on all names at most")
    parser.add_argument("--original-epochs", type=int, default=1, help="of the five that it trains for")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu")
    parser.add_argument("--realdata", type=Path, default=REALDATA)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = real_names(arguments.realdata)
    options = TrainingOptions(device=arguments.device)
    untrained = character_model(seed=SEED)
    rng = random.Random(SEED)  # noqa: S311

    few = rng.sample([entry for entry in names if entry.domain == BRAND], 60)
    few += rng.sample([entry for entry in names if entry.domain == MODEL], 240)
    parts = split(noisy_pairs(few, arguments.per_name, SEED), seed=SEED)
    model = character_model(seed=SEED)
    done = train(model, parts.training, options)
    report("300 names", len(parts.training), done)
    small = ways(few, model, untrained)
    fresh = fresh_pairs(few, parts.training, parts.unseen, options)
    seen = compare("300 candidates, seen corrections", small, fresh["seen"])
    unseen = compare("300 candidates, unseen corrections", small, fresh["unseen"])

    everywhere = split(noisy_pairs(names, 2, SEED + 1), seed=SEED)
    large_model = character_model(seed=SEED)
    large_done = train(
        large_model, everywhere.training, TrainingOptions(device=arguments.device, drawn_typos=2, epochs=3)
    )
    report("all names", len(everywhere.training), large_done)
    large = ways(names, large_model, untrained)
    removed = {}
    for title, pairs in (("seen", everywhere.seen), ("unseen", everywhere.unseen)):
        some = rng.sample(pairs, min(len(pairs), arguments.tested))
        removed[title] = compare(f"{len(names)} candidates, {title} corrections", large, some)["removed"]
    held_out = list(dict.fromkeys(pair.entry for pair in everywhere.unseen))[: arguments.tested // 2]
    others = {
        "uniform edits": uniform_pairs(held_out, names, SEED),
        "two errors": noisy_pairs(held_out, 1, 3, Noise(second=1.0), known=names),
    }
    others |= {
        kind: noisy_pairs(held_out, 1, 4, Noise({kind: 1.0}, second=0.0), known=names) for kind in KINDS
    }
    for title, pairs in others.items():
        removed[title] = compare(f"{len(names)} candidates, unseen corrections, {title}", large, pairs)[
            "removed"
        ]
    real = read_pairs(arguments.realdata / "typos" / "typo_training_dataset.csv")
    own = distinct_entries(pair.entry for pair in real)
    compare(f"real pairs, their {len(own)} corrections", ways(own, model, untrained), real)
    with_all = distinct_entries([*own, *names])
    removed["real pairs"] = compare(
        f"real pairs, {len(with_all)} candidates", ways(with_all, large_model, untrained), real
    )["removed"]

    print("\nspeed, one thread")
    baseline = character_model(seed=SEED)
    baseline_pairs, baseline_seconds = as_the_original(baseline, parts.training, arguments.original_epochs)
    slow, fast = baseline_pairs / baseline_seconds, done.pairs_seen / done.seconds
    tests = [*fresh["seen"], *fresh["unseen"]]
    recalls = {
        name: float(find_all(Lookup(few, one[0].embed, EMBEDDING_ALONE), tests).recall(1).mean())
        for name, one in (("ours", model), ("original", baseline))
    }
    print(
        f"  training: ours {fast:.0f} pairs/s on {done.device}, {done.seconds:.1f} s, recall@1 {recalls['ours']:.4f}"
    )
    print(
        f"  training: original's settings {slow:.0f} pairs/s, {arguments.original_epochs} epochs "
        f"{baseline_seconds:.1f} s, recall@1 {recalls['original']:.4f}"
    )
    queries = rng.sample(everywhere.unseen, 500)
    serving = large["serving"]
    assert isinstance(serving, Lookup)  # noqa: S101
    ours = latency(serving, queries)
    spread = f"p50 {ours['p50_ms']:.2f} ms, p99 {ours['p99_ms']:.2f} ms"
    print(f"  look-up among {len(names)}: {ours['per_second']:.0f}/s, {spread}")
    plain = encode_per_second(large_model, names, queries)
    print(f"  look-up as the original's service does, without a re-rank: {plain:.0f}/s")
    batched = time.perf_counter()
    models = [pair.typo for pair in queries if pair.domain == MODEL]
    for start in range(0, len(models), 16):
        serving.find_many(models[start : start + 16], MODEL)
    print(f"  look-up, 16 at once: {len(models) / (time.perf_counter() - batched):.0f}/s")

    print()
    for title, share in removed.items():
        print(f"ratio: {share:.3f} of edit distance's errors removed, {len(names)} candidates, {title}")
    for title, table in (("seen", seen), ("unseen", unseen)):
        print(
            f"ratio: {table['recall']['serving']:.4f} recall@1 of 300 candidates, {title}, "
            f"vs {table['recall']['edit distance']:.4f} edit distance"
        )
    print(
        f"ratio: {recalls['ours'] - recalls['original']:+.4f} recall@1 of the embedding vs the original's settings"
    )
    print(
        f"ratio: {ours['per_second'] / plain:.2f} look-ups per second vs the original's way without a re-rank"
    )
    print(f"ratio: {ours['p99_ms'] / 20:.3f} p99 of a look-up vs 20 ms")
    print(f"ratio: {fast / slow:.1f} pairs per second of training vs the original's settings")


def report(title: str, pairs: int, done: Training) -> None:
    print(
        f"\ntrained on {title}: {pairs} pairs, {done.epochs} epochs, {done.steps} steps, {done.pairs_seen} pairs seen "
        f"in {done.seconds:.1f} s on {done.device} ({done.pairs_seen / done.seconds:.0f}/s)"
    )


if __name__ == "__main__":
    main()
