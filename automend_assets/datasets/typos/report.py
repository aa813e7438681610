"""The evaluation of a version as people see it: table, plot, metrics, and whether edit distance is beaten.

What belongs here: reading what `comparison.py` measured. What does not: what follows from it (`gate.py`).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

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
