"""Two reports on a version: what its manifests are (`analysis`), and what the filters and the redaction did
(`diagnostic`).

Plain JSON values computed from the artifacts, and a picture of each. Not here: the bias report (`contracts/bias.py`).
"""

from __future__ import annotations

import io
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import polars as pl

from automend_assets.datasets.iac.filters import all_keywords
from automend_assets.datasets.iac.options import IacOptions
from automend_assets.datasets.iac.process import REASONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KIB = 1024
_SIZES = ((_KIB, "<1 KB"), (10 * _KIB, "1-10 KB"), (100 * _KIB, "10-100 KB"), (None, ">100 KB"))
_SHOWN_KINDS = 25
_BAR, _LEFT_OVER = "#2f6fdb", "#9aa5b1"


def analysis(manifests: pl.LazyFrame, options: IacOptions) -> dict[str, Any]:
    """What the manifests are: keyword coverage, kinds, API versions, sizes, licences, types, the Kubernetes check."""
    frame = manifests.select(
        "kinds",
        "api_versions",
        "size",
        "licence",
        "iac_type",
        "prompt_type",
        "keywords",
        "num_documents",
        "num_resources",
        "gpus",
        "kubernetes_check",
        "num_known_resources",
        "num_unknown_resources",
        "kubernetes_errors",
        "num_duplicate_keys",
    ).collect(engine="streaming")
    rows = len(frame)
    kinds, versions, errors = (
        _counted_json(frame[name]) for name in ("kinds", "api_versions", "kubernetes_errors")
    )
    found = frame["keywords"].explode().drop_nulls().value_counts()
    by_keyword = dict(found.iter_rows())
    sizes = frame["size"]
    return {
        "manifests": rows,
        "keywords": {
            group: {word: _with_share(by_keyword.get(word, 0), rows) for word in words}
            for group, words in options.keywords.items()
        },
        "keyword_groups": {
            group: _with_share(
                int(
                    frame.select(pl.col("keywords").list.set_intersection(list(words)).list.len() > 0)
                    .sum()
                    .item()
                ),
                rows,
            )
            for group, words in options.keywords.items()
        },
        "kinds": kinds,
        "api_versions": versions,
        "sizes": {
            "smallest": sizes.min(),
            "median": sizes.median(),
            "mean": None if not rows else round(float(sizes.mean() or 0), 1),  # type: ignore[arg-type]
            "largest": sizes.max(),
            "buckets": _size_buckets(sizes),
        },
        "licences": _value_counts(frame["licence"]),
        "iac_types": _value_counts(frame["iac_type"]),
        "prompt_types": _value_counts(frame["prompt_type"]),
        "multi_document": int((frame["num_documents"] > 1).sum()),
        "with_gpus": int((frame["gpus"] > 0).sum()),
        "with_duplicate_keys": int((frame["num_duplicate_keys"] > 0).sum()),
        "kubernetes": {
            "manifests": _value_counts(frame["kubernetes_check"]),
            "known_resources": int(frame["num_known_resources"].sum()),
            "unknown_resources": int(frame["num_unknown_resources"].sum()),
            "errors": errors,
        },
    }


def diagnostic(
    raw: pl.LazyFrame, manifests: pl.LazyFrame, quarantine: pl.LazyFrame, options: IacOptions
) -> dict[str, Any]:
    """What became of the rows: the yield of every filter, keyword coverage, exposure before and after, escaping."""
    rows = int(raw.select(pl.len()).collect().item())
    refused = dict(quarantine.group_by("reason").len().collect().iter_rows())
    steps, left = [], rows
    for reason in REASONS:
        count = refused.get(reason, 0)
        if count:
            steps.append({"reason": reason, "rows_in": left, "refused": count, "rows_left": left - count})
            left -= count
    frame = manifests.select(
        "keywords",
        "redactions",
        "num_redactions",
        "num_findings",
        "num_documents",
        "manifest_parses",
        "repairs",
        pl.col("content").str.len_bytes().alias("bytes"),
        pl.col("messages").str.len_bytes().alias("message_bytes"),
    ).collect(engine="streaming")
    exposure: Counter[str] = Counter()
    exposed: Counter[str] = Counter()
    for text in frame["redactions"].filter(frame["num_redactions"] > 0):
        found = json.loads(text)
        exposure.update(found)
        exposed.update(found.keys())
    covered = set(frame["keywords"].explode().drop_nulls())
    return {
        "rows": rows,
        "manifests": len(frame),
        "yield": round(len(frame) / rows, 6) if rows else 0.0,
        "filters": steps,
        "keywords_without_a_manifest": [word for word in all_keywords(options) if word not in covered],
        "exposure": {
            "manifests_before": int((frame["num_redactions"] > 0).sum()),
            "findings_before": int(frame["num_redactions"].sum()),
            "findings_by_rule": dict(sorted(exposure.items())),
            "manifests_by_rule": dict(sorted(exposed.items())),
            "manifests_after": int((frame["num_findings"] > 0).sum()),
            "findings_after": int(frame["num_findings"].sum()),
        },
        "escaping": {
            "manifests_that_come_back_whole": int(frame["manifest_parses"].sum()),
            "bytes": int(frame["bytes"].sum()),
            "bytes_in_messages": int(frame["message_bytes"].sum()),
        },
        "multi_document": int((frame["num_documents"] > 1).sum()),
        "repairs": _counted_json(frame["repairs"]),
    }


def analysis_plot(report: dict[str, Any]) -> bytes:
    """The analysis as a PNG: keywords, kinds, sizes and licences; the same bytes for the same report."""
    words = {word: counts for group in report["keywords"].values() for word, counts in group.items()}
    kinds = dict(list(report["kinds"].items())[:12])
    return _bars(
        f"iac: {report['manifests']:,} manifests",
        (
            (
                "Keywords: manifests that have them",
                {word: counts["manifests"] for word, counts in words.items()},
            ),
            ("Kinds: resources", kinds),
            ("Size: manifests", report["sizes"]["buckets"]),
            ("Licence: manifests", report["licences"]),
        ),
    )


def diagnostic_plot(report: dict[str, Any]) -> bytes:
    """The diagnostic as a PNG: rows left after every filter, and findings by rule, before and after."""
    left = {"all rows": report["rows"]} | {step["reason"]: step["rows_left"] for step in report["filters"]}
    exposure = report["exposure"]
    return _bars(
        f"iac: {report['rows']:,} rows, {report['manifests']:,} manifests",
        (
            ("Rows left after each filter", left),
            (
                f"Findings: {exposure['findings_before']:,} before, {exposure['findings_after']:,} after redaction",
                exposure["findings_by_rule"] or {"none": 0},
            ),
        ),
    )


def _bars(title: str, panels: tuple[tuple[str, dict[str, int]], ...]) -> bytes:
    # Not pyplot: it keeps every figure, and picks a backend that may want a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 2
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    heights = [max(len(values) for _, values in row) + 1 for row in rows]
    figure = Figure(figsize=(11, 0.8 + 0.24 * sum(heights)), dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
    for place, axis in enumerate(axes.flat):
        if place < len(panels):
            _draw(axis, *panels[place], heights[place // columns])
        else:
            axis.set_axis_off()
    figure.suptitle(title, fontsize=11, x=0.01, ha="left")
    png = io.BytesIO()
    figure.savefig(png, format="png", metadata={"Software": None})
    return png.getvalue()


def _draw(axis: Axes, title: str, values: dict[str, int], height: int) -> None:
    places = range(len(values))
    axis.barh(list(places), list(values.values()), height=0.7, color=_BAR)
    for place, value in zip(places, values.values(), strict=True):
        axis.annotate(
            f"{value:,}", (value, place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=8
        )
    axis.set_yticks(list(places), list(values), fontsize=8)
    axis.set_ylim(height - 0.4, -0.6)
    axis.set_xlim(0, 1.15 * max([*values.values(), 1]))
    axis.tick_params(axis="x", labelsize=8)
    axis.set_title(title, fontsize=9, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.spines["left"].set_color(_LEFT_OVER)


def _with_share(count: int, rows: int) -> dict[str, int | float]:
    return {"manifests": count, "share": round(count / rows, 6) if rows else 0.0}


def _counted_json(texts: pl.Series) -> dict[str, int]:
    """How often each entry occurs in JSON lists, most frequent first; of objects, their `code`."""
    counts: Counter[str] = Counter()
    for text in texts.filter(texts != "[]"):
        counts.update(entry["code"] if isinstance(entry, dict) else entry for entry in json.loads(text))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown = dict(ordered[:_SHOWN_KINDS])
    if others := sum(count for _, count in ordered[_SHOWN_KINDS:]):
        shown["(others)"] = others
    return shown


def _value_counts(values: pl.Series) -> dict[str, int]:
    return dict(sorted(values.value_counts().iter_rows(), key=lambda item: (-item[1], item[0])))


def _size_buckets(sizes: pl.Series) -> dict[str, int]:
    buckets, below = {}, 0
    for limit, name in _SIZES:
        up_to = len(sizes) if limit is None else int((sizes < limit).sum())
        buckets[name] = up_to - below
        below = up_to
    return buckets
