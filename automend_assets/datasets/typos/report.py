"""The evaluation of a version: the new model beside the one in use, its base and edit distance, as JSON, table, plot.

What belongs here: which ways are measured on what, and how it is shown. What does not: the figures themselves
(`evaluation.py`), and what follows from them (`gate.py`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from typing import Any

import numpy as np

from automend_assets.datasets.typos.edit_distance import EditDistance
from automend_assets.datasets.typos.evaluation import Found, difference, find_all, measure
from automend_assets.datasets.typos.lookup import EMBEDDING_ALONE, Encode, Lookup
from automend_assets.datasets.typos.texts import DOMAINS, Entry, Pair, normalised

MOST_TESTED = 2_000
"""Pairs of one test that are measured; of more, whole corrections are drawn by the seed."""

WAYS = {
    "new_serving": "new model, re-ranked (would serve)",
    "in_use_serving": "model in use, re-ranked (serves)",
    "base_serving": "base, re-ranked",
    "new_embedding": "new model alone",
    "in_use_embedding": "model in use alone",
    "base_embedding": "base alone",
    "edit_distance": "normalised edit distance",
}
"""The ways that are measured and what people call them. `serving` is the embedding with the re-rank, each with the
corrections that it knows, the base with those of the new model; alone, all have the same candidates."""

_FIGURES = ("recall_at_1", "recall_at_5", "mrr")
_DPI = 100


@dataclass(frozen=True)
class Contender:
    """A model that is measured: its version, how it embeds, and the corrections that it knows."""

    name: str
    encode: Encode
    entries: Sequence[Entry]


def evaluate_models(
    *,
    new: Contender,
    base: Contender,
    in_use: Contender | None,
    tests: Mapping[str, Sequence[Pair]],
    candidates: Sequence[Entry],
    seed: int,
) -> dict[str, Any]:
    """Measure all ways on each test and on all of them together, as plain JSON values.

    `differences` are new less in use in recall@1 with 95 % intervals, on all pairs and by domain: `embedding` on the
    same candidates (None where nothing is in use), `serving` with what each knows (nothing in use finds nothing).
    Nothing depends on the clock: the same models, tests and seed give the same values.
    """
    drawn = {name: _drawn(pairs, seed) for name, pairs in tests.items()}
    together = [pair for pairs in drawn.values() for pair in pairs]
    rankers: dict[str, Any] = {
        "new_serving": Lookup(new.entries, new.encode),
        "base_serving": Lookup(candidates, base.encode),
        "new_embedding": Lookup(candidates, new.encode, EMBEDDING_ALONE),
        "base_embedding": Lookup(candidates, base.encode, EMBEDDING_ALONE),
        "edit_distance": EditDistance(candidates),
    }
    if in_use is not None:
        rankers["in_use_serving"] = Lookup(in_use.entries, in_use.encode)
        rankers["in_use_embedding"] = Lookup(candidates, in_use.encode, EMBEDDING_ALONE)
    found = {way: find_all(rankers[way], together) for way in WAYS if way in rankers}
    nothing = Found(tuple(together), np.zeros(len(together), np.int64), np.zeros(len(together), np.int64))
    parts = {**_places(drawn), "all": range(len(together))}
    return {
        "version": new.name,
        "against": in_use.name if in_use else None,
        "candidates": len(candidates),
        "seed": seed,
        "tests": {
            name: {
                "pairs": len(places),
                "of": len(tests[name]) if name in tests else sum(map(len, tests.values())),
                "sha256": _sha256([together[place] for place in places]),
                "ways": {way: measure(_part(one, places), seed=seed) for way, one in found.items()}
                if len(places)
                else {},
            }
            for name, places in parts.items()
        },
        "differences": {
            "embedding": _differences(found["new_embedding"], found["in_use_embedding"], seed)
            if in_use
            else None,
            "serving": _differences(found["new_serving"], found.get("in_use_serving", nothing), seed),
        },
    }


def evaluate_pairs(
    pairs: Sequence[Pair], candidates: Sequence[Entry], encode: Encode, *, seed: int
) -> dict[str, Any]:
    """Measure one model on pairs and candidates: `in_use` (alone), `serving` (re-ranked) and `edit_distance`."""
    ways: dict[str, Any] = {
        "in_use": Lookup(candidates, encode, EMBEDDING_ALONE),
        "serving": Lookup(candidates, encode),
        "edit_distance": EditDistance(candidates),
    }
    return {name: measure(find_all(way, pairs), seed=seed) for name, way in ways.items()}


def not_below_edit_distance(evaluation: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether what would serve finds as much as edit distance in each domain of each test, and the figures."""
    compared = []
    for name, test in evaluation["tests"].items():
        if name == "all" or not test["pairs"]:
            continue
        ours, baseline = test["ways"]["new_serving"], test["ways"]["edit_distance"]
        compared += [
            (
                f"{name}, {domain}",
                ours["by_domain"][domain]["recall_at_1"],
                baseline["by_domain"][domain]["recall_at_1"],
            )
            for domain in ours["by_domain"]
        ]
    told = "; ".join(f"{where}: {ours:.3f} beside {theirs:.3f}" for where, ours, theirs in compared)
    # A mean of resampled values is not exact to the last bit.
    return all(ours >= theirs - 1e-9 for _, ours, theirs in compared), told or "no pair to test on"


def metrics(evaluation: Mapping[str, Any]) -> dict[str, float]:
    """Recall@1, recall@5 and MRR by test and way, flat: `unseen.new_serving.recall_at_1`."""
    return {
        f"{name}.{way}.{figure}": measured[figure]
        for name, test in evaluation["tests"].items()
        for way, measured in test["ways"].items()
        for figure in _FIGURES
    }


def evaluation_table(evaluation: Mapping[str, Any]) -> str:
    """The figures as a Markdown table: one row per way, recall@1 with its interval, recall@5 and MRR for each test."""
    tests = {name: test for name, test in evaluation["tests"].items() if name != "all" and test["pairs"]}
    if not tests:
        return "No pair of these versions is kept for testing, so nothing was measured."
    head = ["", *(f"{name}: {figure}" for name in tests for figure in ("recall@1", "recall@5", "MRR"))]
    lines = [head, ["---"] * len(head)]
    for way, title in WAYS.items():
        cells = []
        for test in tests.values():
            measured = test["ways"].get(way)
            if measured is None:
                cells += ["", "", ""]
                continue
            low, high = measured["intervals"]["recall_at_1"]
            cells += [
                f"{measured['recall_at_1']:.3f} [{low:.3f}, {high:.3f}]",
                f"{measured['recall_at_5']:.3f}",
                f"{measured['mrr']:.3f}",
            ]
        if any(cells):
            lines.append([title, *cells])
    counts = ", ".join(
        f"{test['pairs']:,} pairs of {name} corrections"
        + (f" (drawn from {test['of']:,})" if test["of"] > test["pairs"] else "")
        for name, test in tests.items()
    )
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{counts}; {evaluation['candidates']:,} candidates.\n\n{table}"


def evaluation_plot(evaluation: Mapping[str, Any]) -> bytes:
    """A PNG of recall@1 with 95 % intervals: one panel per test, one bar per way."""
    from matplotlib.figure import Figure

    tests = {name: test for name, test in evaluation["tests"].items() if name != "all" and test["pairs"]}
    figure = Figure(figsize=(11, 3.8), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, max(len(tests), 1), sharey=True, squeeze=False)[0]
    for panel, (name, test) in zip(panels, tests.items(), strict=False):
        ways = [way for way in reversed(WAYS) if way in test["ways"]]
        values = [test["ways"][way]["recall_at_1"] for way in ways]
        intervals = [test["ways"][way]["intervals"]["recall_at_1"] for way in ways]
        errors = np.array(
            [
                [max(0.0, value - low), max(0.0, high - value)]
                for value, (low, high) in zip(values, intervals, strict=True)
            ]
        ).T
        colours = [
            "#4c72b0" if way.startswith("new") else "#8c8c8c" if way == "edit_distance" else "#c3cde0"
            for way in ways
        ]
        panel.barh(range(len(ways)), values, xerr=errors, color=colours, ecolor="#333333", capsize=3)
        panel.set_yticks(range(len(ways)), [WAYS[way] for way in ways])
        lowest = min(low for low, _ in intervals)
        panel.set_xlim(max(0.0, lowest - 0.05), 1.0)
        panel.set_title(f"{test['pairs']:,} typos of {name} corrections", fontsize=10)
        panel.set_xlabel("recall@1")
        panel.spines[["top", "right"]].set_visible(False)
        for row, value in enumerate(values):
            panel.text(
                panel.get_xlim()[0] + 0.002,
                row,
                f" {value:.3f}",
                va="center",
                fontsize=8,
                color="white" if value - panel.get_xlim()[0] > 0.03 else "black",
            )
    if not tests:
        panels[0].text(0.5, 0.5, "no pair to test on", ha="center")
        panels[0].set_axis_off()
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _drawn(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    if len(pairs) <= MOST_TESTED:
        return list(pairs)
    by_correction: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        by_correction.setdefault((pair.domain, normalised(pair.corrected)), []).append(pair)
    order = sorted(
        by_correction, key=lambda key: blake2b("\0".join((str(seed), *key)).encode(), digest_size=8).digest()
    )
    chosen: list[Pair] = []
    for key in order:
        if len(chosen) >= MOST_TESTED:
            break
        chosen += by_correction[key]
    return chosen


def _places(drawn: Mapping[str, Sequence[Pair]]) -> dict[str, Sequence[int]]:
    places: dict[str, Sequence[int]] = {}
    start = 0
    for name, pairs in drawn.items():
        places[name] = range(start, start + len(pairs))
        start += len(pairs)
    return places


def _part(found: Found, places: Sequence[int]) -> Found:
    at = np.asarray(places, np.int64)
    return Found(tuple(found.pairs[place] for place in places), found.before[at], found.level[at])


def _differences(new: Found, old: Found, seed: int) -> dict[str, list[float]]:
    if not new.pairs:
        return {}
    domains = [domain for domain in DOMAINS if any(pair.domain == domain for pair in new.pairs)]
    return {
        "all": list(difference(new, old, seed=seed)),
        **{domain: list(difference(new, old, seed=seed, domain=domain)) for domain in domains},
    }


def _sha256(pairs: Sequence[Pair]) -> str:
    return sha256("\n".join("\t".join(pair) for pair in pairs).encode()).hexdigest()
