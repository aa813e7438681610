"""The promotion gate: whether a version's model takes the place of the one in use, from its evaluation alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

LEAST_TESTED = 20
"""Pairs below which nothing can be told."""
TOLERATED = 0.01
"""A drop of recall@1 beyond this counts as worse even where it may be noise."""

# A drop by one pair in a hundred is not -0.01 to the last bit.
_LAST_BITS = 1e-9
_WHAT = {"serving": "what serves", "embedding": "the embedding alone"}


class Verdict(NamedTuple):
    """Whether the new model is promoted, and why."""

    promoted: bool
    reason: str


def gate(evaluation: Mapping[str, Any]) -> Verdict:
    """Promote what is better beyond noise and nowhere worse, given `report.evaluate_models`.

    Better: the 95 % interval of the paired difference in recall@1 lies above 0, for what serves (each with the
    corrections that it knows) or for the embedding alone (on the same candidates). Worse, in all or in one domain: the
    interval lies below 0, or the difference is below -0.01. Where nothing is in use, nothing was found so far.
    """
    against = evaluation["against"] or "nothing, for nothing is in use"
    tested = evaluation["tests"]["all"]["pairs"]
    if tested < LEAST_TESTED:
        return Verdict(
            False,
            f"{tested} pairs are too few to tell which model is better; {LEAST_TESTED} are needed. Wait for more"
            f" corrections, or promote it by hand: automend models promote {evaluation['version']}",
        )
    better, worse = [], []
    for what, differences in evaluation["differences"].items():
        for where, figures in (differences or {}).items():
            value, low, high = figures
            shown = f"{_WHAT[what]}{'' if where == 'all' else f', {where}'}: {value:+.3f} [{low:+.3f}, {high:+.3f}]"
            if high < 0 or value < -TOLERATED - _LAST_BITS:
                worse.append(shown)
            elif where == "all" and low > 0:
                better.append(shown)
    figures = f"recall@1 on {tested:,} pairs beside {against}"
    if worse:
        return Verdict(False, f"Worse in {figures}: {'; '.join(worse)}")
    if not better:
        shown = "; ".join(
            f"{_WHAT[what]}: {differences['all'][0]:+.3f} [{differences['all'][1]:+.3f}, {differences['all'][2]:+.3f}]"
            for what, differences in evaluation["differences"].items()
            if differences
        )
        return Verdict(False, f"Not better beyond noise in {figures}: {shown}")
    return Verdict(True, f"Better in {figures}, and worse in no domain: {'; '.join(better)}")
