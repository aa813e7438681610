"""Draws the bias report: the share of every slice value before and after balancing.

The figures come from `bias.py`; nothing is computed here.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BEFORE, _AFTER = "#9aa5b1", "#2f6fdb"
_SEVERITY = {"high": "#c0392b", "medium": "#c77700", "over": "#7d3cbe", None: "#30363d"}
_TICKS = (0, 1, 5, 25, 50, 75, 100)
_BAR = 0.38
_COLUMNS = 2


def bias_plot(report: dict[str, Any]) -> bytes:
    """A bias report as a PNG of about 1,000 pixels' width, the same bytes for the same report.

    Shares are drawn on a square-root scale, on which the thresholds of 1 % and 5 % can be told apart.
    """
    # Not pyplot: it keeps every figure, and picks a backend that may want a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    slices = report["slices"]
    grid_rows = math.ceil(len(slices) / _COLUMNS)
    # A grid row is as high as its longest slice, so that every bar of the figure is equally thick.
    longest = [
        max(len(part["values"]) for part in slices[row * _COLUMNS : (row + 1) * _COLUMNS])
        for row in range(grid_rows)
    ]
    figure = Figure(figsize=(10, 0.9 + 0.42 * sum(longest) + 0.5 * grid_rows), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(grid_rows, _COLUMNS, squeeze=False, height_ratios=longest)
    for place, axis in enumerate(axes.flat):
        if place < len(slices):
            _draw_slice(axis, slices[place], report["thresholds"])
            axis.set_ylim(longest[place // _COLUMNS] - 0.45, -0.55)
        else:
            axis.set_axis_off()
    balance = report["balance"]
    figure.suptitle(
        f"{report['dataset']}: {report['rows']:,} records; "
        f"balanced file: {balance['rows_out']:,} from {report['usable_rows']:,} usable ones",
        fontsize=11,
        x=0.01,
        ha="left",
    )
    figure.legend(
        handles=[
            Patch(color=_BEFORE, label="all records"),
            Patch(color=_AFTER, label="balanced file"),
            Line2D([], [], color=_SEVERITY["medium"], linestyle="--", label="5 %: under-represented"),
            Line2D([], [], color=_SEVERITY["high"], linestyle="--", label="1 %: high severity"),
            *(
                [Line2D([], [], color=_SEVERITY["over"], linestyle="--", label="over-represented")]
                if any("over_represented" in part for part in slices)
                else []
            ),
        ],
        loc="outside lower center",
        ncols=5,
        fontsize=9,
        frameon=False,
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _draw_slice(axis: Axes, part: dict[str, Any], thresholds: dict[str, float]) -> None:
    import numpy as np

    values = part["values"]
    before = [100 * value["share"] for value in values]
    after = [100 * value["balanced_share"] for value in values]
    places = range(len(values))
    axis.set_xlim(0, 150)
    axis.set_xscale("function", functions=(np.sqrt, np.square))
    axis.barh([place - _BAR / 2 for place in places], before, height=_BAR, color=_BEFORE)
    axis.barh([place + _BAR / 2 for place in places], after, height=_BAR, color=_AFTER)
    for place, value in zip(places, values, strict=True):
        axis.annotate(
            f"{before[place]:.1f} → {after[place]:.1f} %",
            (max(before[place], after[place]), place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=_SEVERITY[value["severity"]],
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )
    axis.axvline(
        100 * thresholds["under_represented"], color=_SEVERITY["medium"], linestyle="--", linewidth=1
    )
    axis.axvline(100 * thresholds["high_severity"], color=_SEVERITY["high"], linestyle="--", linewidth=1)
    if "over_represented" in part:
        axis.axvline(100 * part["over_represented"], color=_SEVERITY["over"], linestyle="--", linewidth=1)
    axis.set_xticks(_TICKS, [f"{tick} %" for tick in _TICKS], fontsize=8)
    axis.set_yticks(places, [value["value"] for value in values], fontsize=9)
    axis.set_title(f"{part['name']}: {part['description'].lower()}", fontsize=9, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
