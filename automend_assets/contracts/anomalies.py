"""Computes the figures that a contract watches and says which of them lie beyond their threshold.

An anomaly warns and is alerted; it never stops a run. What an alert says is here as well, how it is sent is
the business of `connectors/slack.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl

from automend_assets.contracts.contract import Anomaly


@dataclass(frozen=True)
class AnomalyResult:
    """One watched figure: `observed` is None when it could not be computed, and `reason` then says why."""

    name: str
    passed: bool
    observed: float | None
    threshold: float
    direction: str
    recommendation: str
    reason: str | None = None

    @property
    def bound(self) -> str:
        """The threshold in words."""
        return f"{'at most' if self.direction == 'above' else 'at least'} {_figure(self.threshold)}"

    @property
    def seen(self) -> str:
        """The figure in words, or why there is none."""
        return _figure(self.observed) if self.observed is not None else f"not computed: {self.reason}"

    def as_json(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Alert:
    """What somebody must know about a figure beyond its threshold, to be sent wherever alerts go."""

    dataset: str
    version: str
    check: str
    observed: str
    threshold: str
    recommendation: str

    @property
    def text(self) -> str:
        """The alert in a few plain lines."""
        return (
            f"Anomaly in {self.dataset} {self.version}: {self.check}\n"
            f"Observed: {self.observed}\n"
            f"Threshold: {self.threshold}\n"
            f"Recommendation: {self.recommendation}"
        )


def check_anomalies(
    anomalies: Sequence[Anomaly], frame: pl.LazyFrame, expected_rows: int
) -> tuple[AnomalyResult, ...]:
    """Compute every figure in one pass over the frame and hold it against its threshold.

    A figure whose columns are missing, or that a frame without rows does not have, is not passed: nobody
    has seen that it is in order.
    """
    schema = frame.collect_schema()
    missing = {
        anomaly.name: sorted(set(anomaly.metric.meta.root_names()) - set(schema)) for anomaly in anomalies
    }
    computable = [
        anomaly.metric.cast(pl.Float64).alias(anomaly.name)
        for anomaly in anomalies
        if not missing[anomaly.name]
    ]
    figures = frame.select(computable).collect(engine="streaming").row(0, named=True) if computable else {}
    results = []
    for anomaly in anomalies:
        observed = figures.get(anomaly.name)
        limit = anomaly.limit(expected_rows)
        reason = None
        if missing[anomaly.name]:
            reason = f"the column {missing[anomaly.name][0]!r} is missing"
        elif observed is None or observed != observed:
            observed, reason = None, "there are no rows to compute it from"
        results.append(
            AnomalyResult(
                name=anomaly.name,
                passed=observed is not None and not _beyond(observed, anomaly, limit),
                observed=observed,
                threshold=limit,
                direction=anomaly.direction,
                recommendation=anomaly.recommendation,
                reason=reason,
            )
        )
    return tuple(results)


def alert_of(result: AnomalyResult, dataset: str, version: str) -> Alert:
    """What to tell about a figure that did not pass."""
    return Alert(dataset, version, result.name, result.seen, result.bound, result.recommendation)


def _beyond(observed: float, anomaly: Anomaly, limit: float) -> bool:
    return observed > limit if anomaly.direction == "above" else observed < limit


def _figure(number: float) -> str:
    if number == int(number):
        return f"{number:,.0f}"
    return f"{number:.4g}" if abs(number) < 1 else f"{number:,.2f}"
