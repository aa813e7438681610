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
from automend_assets.datasets.typos.evaluation import Found, Ranker, difference, find_all, measure
from automend_assets.datasets.typos.lookup import EMBEDDING_ALONE, Encode, Lookup, Scores
from automend_assets.datasets.typos.texts import DOMAINS, Entry, Pair, normalised

MOST_TESTED = 2_000
"""Pairs of one test that are measured; of more, the seed draws corrections and takes all pairs of each."""

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
corrections that it knows; alone, all have the same candidates."""

_FIGURES = ("recall_at_1", "recall_at_5", "mrr")
_DPI = 100
_NEW, _IN_USE, _BASE, _EDIT_DISTANCE = "#2f6fdb", "#c77700", "#7a8691", "#30363d"
_COLOURS = {
    "new_serving": _NEW,
    "in_use_serving": _IN_USE,
    "base_serving": _BASE,
    "new_embedding": _NEW,
    "in_use_embedding": _IN_USE,
    "base_embedding": _BASE,
    "edit_distance": _EDIT_DISTANCE,
}


@dataclass(frozen=True)
class Contender:
    """A model that is measured: its version, how it embeds, and the corrections that it knows.

    A base knows no corrections of its own: it gets the new model's, so that the two differ in the training only.
    """

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
    rankers: dict[str, Ranker] = {"edit_distance": EditDistance(candidates)}
    for role, contender in (("new", new), ("in_use", in_use), ("base", base)):
        if contender is not None:
            encode = _remembering(contender.encode)
            rankers[f"{role}_serving"] = Lookup(contender.entries, encode)
            rankers[f"{role}_embedding"] = Lookup(candidates, encode, EMBEDDING_ALONE)
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
    once = _remembering(encode)
    ways: dict[str, Ranker] = {
        "in_use": Lookup(candidates, once, EMBEDDING_ALONE),
        "serving": Lookup(candidates, once),
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
    # Shares of ties, such as thirds, do not add up to the last bit.
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
    """A PNG of recall@1 with 95 % intervals: one panel per test, one row per way, one scale for all."""
    # Not pyplot: it keeps every figure, and picks a backend that may want a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    tests = {name: test for name, test in evaluation["tests"].items() if name != "all" and test["pairs"]}
    figure = Figure(figsize=(11, 4), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, max(len(tests), 1), sharex=True, sharey=True, squeeze=False)[0]
    lowest = min(
        (way["intervals"]["recall_at_1"][0] for test in tests.values() for way in test["ways"].values()),
        default=0.0,
    )
    ways = [way for way in WAYS if any(way in test["ways"] for test in tests.values())]
    for panel, (name, test) in zip(panels, tests.items(), strict=False):
        for row, way in enumerate(ways):
            value = test["ways"][way]["recall_at_1"]
            low, high = test["ways"][way]["intervals"]["recall_at_1"]
            panel.hlines(row, low, high, color=_COLOURS[way], linewidth=3, alpha=0.4)
            panel.plot(value, row, "o", color=_COLOURS[way])
            panel.annotate(
                f"{value:.3f}",
                (max(value, high), row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=9,
            )
        panel.set_yticks(range(len(ways)), [WAYS[way] for way in ways])
        panel.set_ylim(len(ways) - 0.5, -0.5)
        # Room for the figure beside a recall of 1.
        margin = 0.05 + 0.15 * (1 - lowest)
        panel.set_xlim(max(0.0, lowest - margin / 3), 1 + margin)
        ticks = MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(lowest, 1)
        panel.set_xticks([tick for tick in ticks if lowest - margin / 3 <= tick < 1 + 1e-9])
        panel.set_title(f"{test['pairs']:,} typos of {name} corrections", fontsize=10)
        panel.set_xlabel("recall@1 and its 95 % interval")
        panel.grid(axis="x", color="#eaeef2")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    if not tests:
        panels[0].text(0.5, 0.5, "no pair to test on", ha="center")
        panels[0].set_axis_off()
    figure.suptitle(
        f"{evaluation['version']} beside {evaluation['against'] or 'nothing in use'}, "
        f"{evaluation['candidates']:,} candidates",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _remembering(encode: Encode) -> Encode:
    """Embeds each text once, for several ways look the same ones up."""
    known: dict[str, Scores] = {}

    def remembered(texts: Sequence[str]) -> Scores:
        unknown = [text for text in dict.fromkeys(texts) if text not in known]
        if unknown:
            known.update(zip(unknown, encode(unknown), strict=True))
        return np.stack([known[text] for text in texts])

    return remembered


def _drawn(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    """All pairs, or MOST_TESTED of them: one correction after the other in an order that the seed decides."""
    if len(pairs) <= MOST_TESTED:
        return list(pairs)

    def order(pair: Pair) -> tuple[bytes, bytes]:
        correction = (pair.domain, normalised(pair.corrected))
        return _digest(seed, *correction), _digest(seed, *correction, normalised(pair.typo))

    return sorted(pairs, key=order)[:MOST_TESTED]


def _digest(seed: int, *texts: str) -> bytes:
    return blake2b("\0".join((str(seed), *texts)).encode(), digest_size=8).digest()


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
