"""Cutting versions of a growing log by itself: when, which range, and that every row gets into exactly one.

Here: the decision as a pure function, the step that carries it out in the ledger, and a sensor and a schedule around
them that only report. Not here: what is in the log (`connectors/interactions`), what goes into a manifest (the
dataset's `plan`).

The ledger is the only memory. A range begins where the newest version of the table ends, and the ledger refuses any
other, so a tick that runs twice, two at once or one that is killed cut each row once. The sensor's cursor is the number
of the newest version whose run was requested; a version that was cut and not launched is launched by the next tick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from automend_assets.connectors.hub import HubResource
from automend_assets.connectors.interactions.log import Backlog, InteractionLog
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.errors import AutomendError
from automend_assets.pipeline.dataset import Surroundings
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.versions.cutting import cut_version
from automend_assets.versions.manifest import LogSource, Manifest
from automend_assets.versions.partitions import register, versions_of

if TYPE_CHECKING:
    from automend_assets.storage.store import Store
    from automend_assets.versions.ledger import Ledger, Version

# A sensor whose cursor was reset asks for old versions again, which Dagster knows by their run keys and leaves alone.
_LAUNCHES_PER_TICK = 50

Plan = Callable[[LogSource], Manifest]


@dataclass(frozen=True)
class CuttingRules:
    """When a version is cut: at `min_rows` new rows, or when the oldest of fewer waited for `max_age`.

    `max_rows` bounds a version and with it what one tick reads; a larger backlog is taken in several ticks.
    """

    min_rows: int = 500
    max_age: timedelta = timedelta(days=1)
    max_rows: int = 50_000


@dataclass(frozen=True)
class Skip:
    """Nothing is cut, and why."""

    reason: str


@dataclass(frozen=True)
class Cut:
    """The rows `lo < id <= hi` become a version."""

    lo: int
    hi: int


@dataclass(frozen=True)
class Outcome:
    """What one look at the log led to: a version, or the reason why there is none."""

    version: Version | None = None
    reason: str = ""


def decide(seen: Backlog | AutomendError, rules: CuttingRules, now: datetime) -> Cut | Skip:
    """Cut or skip, given what was seen of the log: its settled rows, or the error that reading it ended with."""
    if isinstance(seen, AutomendError):
        return Skip(f"The log could not be read, so nothing is known about new rows. {seen}")
    waiting = f"; later rows are not settled: {seen.waiting}" if seen.waiting else ""
    if seen.rows == 0:
        return Skip(f"No settled new rows after id {seen.lo}{waiting}")
    age = timedelta(0) if seen.oldest is None else now - seen.oldest
    if seen.rows >= rules.min_rows or seen.full or age >= rules.max_age:
        return Cut(seen.lo, seen.hi)
    return Skip(
        f"{seen.rows:,} of {rules.min_rows:,} new rows after id {seen.lo}, the oldest waiting for "
        f"{_hours(age)} of {_hours(rules.max_age)}{waiting}"
    )


def cut_next(
    dataset: str,
    *,
    log: InteractionLog,
    ledger: Ledger,
    store: Store,
    plan: Plan,
    rules: CuttingRules,
    now: datetime,
) -> Outcome:
    """Look once, and cut what `decide` says. Every error of ours is a reason, never "nothing new"."""
    try:
        lo = ledger.log_end(dataset, log.table)
        backlog = log.backlog(lo, rules.max_rows)
    except AutomendError as error:
        return Outcome(reason=_reason(decide(error, rules, now)))
    decision = decide(backlog, rules, now)
    if isinstance(decision, Skip):
        return Outcome(reason=decision.reason)
    try:
        manifest = plan(log.pin(decision.lo, decision.hi))
        return Outcome(cut_version(manifest, ledger=ledger, store=store))
    except AutomendError as error:
        return Outcome(reason=f"The rows {decision.lo} < id <= {decision.hi} were not cut. {error}")


def unlaunched(dataset: str, ledger: Ledger, after: int) -> tuple[list[Version], int]:
    """Versions of logs with numbers above `after`, and the number up to which was looked."""
    versions = ledger.versions(dataset, after=after, limit=_LAUNCHES_PER_TICK)
    found = [version for version in versions if isinstance(version.manifest.source, LogSource)]
    return found, versions[-1].number if versions else after


@dataclass(frozen=True)
class Cutting:
    """Everything that the sensor and the schedule of one dataset need: its name, job, plan and rules."""

    dataset: str
    job: Any
    plan: Callable[[LogSource, Surroundings], Manifest]
    rules: CuttingRules = field(default_factory=CuttingRules)
    interval_seconds: int = 60


def cutting_sensor(cutting: Cutting) -> dg.SensorDefinition:
    """The sensor `<dataset>_interactions`; off until somebody turns it on."""

    @dg.sensor(
        name=f"{cutting.dataset}_interactions",
        job=cutting.job,
        minimum_interval_seconds=cutting.interval_seconds,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=(
            f"Cuts a version of {cutting.dataset} at {cutting.rules.min_rows:,} new interactions, or when the oldest "
            f"is {_hours(cutting.rules.max_age)} old, and launches its run."
        ),
    )
    def sensor(
        context: dg.SensorEvaluationContext,
        interactions: InteractionsResource,
        ledger: LedgerResource,
        store: StoreResource,
        hub: HubResource,
    ) -> dg.SensorResult | dg.SkipReason:
        outcome = _look(cutting, Surroundings(hub, interactions, ledger, store), cutting.rules)
        try:
            versions, seen = unlaunched(cutting.dataset, ledger.get(), int(context.cursor or 0))
        except AutomendError as error:
            return dg.SkipReason(str(error))
        if not versions:
            # The cursor still moves past versions of other sources.
            return dg.SensorResult(skip_reason=outcome.reason or "Nothing to launch", cursor=str(seen))
        return dg.SensorResult(
            run_requests=[_run_request(cutting, version) for version in versions],
            dynamic_partitions_requests=[
                versions_of(cutting.dataset).build_add_request([version.key for version in versions])
            ],
            cursor=str(seen),
        )

    return sensor


def cutting_schedule(cutting: Cutting, cron: str = "0 0 * * 1") -> dg.ScheduleDefinition:
    """The schedule `<dataset>_weekly`, Monday 00:00 UTC: a version of whatever is settled, be it one row."""
    rules = CuttingRules(min_rows=1, max_age=timedelta(0), max_rows=cutting.rules.max_rows)

    @dg.schedule(
        name=f"{cutting.dataset}_weekly",
        job=cutting.job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Cuts a version of {cutting.dataset} from all new interactions and launches its run.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext,
        interactions: InteractionsResource,
        ledger: LedgerResource,
        store: StoreResource,
        hub: HubResource,
    ) -> dg.RunRequest | dg.SkipReason:
        outcome = _look(cutting, Surroundings(hub, interactions, ledger, store), rules)
        if outcome.version is None:
            return dg.SkipReason(outcome.reason)
        register(context.instance, ledger.get(), cutting.dataset)
        return _run_request(cutting, outcome.version)

    return schedule


def _look(cutting: Cutting, around: Surroundings, rules: CuttingRules) -> Outcome:
    try:
        with around.interactions.open() as log:
            return cut_next(
                cutting.dataset,
                log=log,
                ledger=around.ledger.get(),
                store=around.store.get(),
                plan=lambda source: cutting.plan(source, around),
                rules=rules,
                now=datetime.now(UTC),
            )
    except AutomendError as error:
        return Outcome(reason=_reason(decide(error, rules, datetime.now(UTC))))


def _run_request(cutting: Cutting, version: Version) -> dg.RunRequest:
    # One run per version, whichever tick asks for it. It is tried again by run retries or by re-execution, since
    # Dagster never launches a run key twice.
    return dg.RunRequest(run_key=f"{cutting.dataset}-{version.key}", partition_key=version.key)


def _reason(decision: Cut | Skip) -> str:
    return decision.reason if isinstance(decision, Skip) else ""


def _hours(time: timedelta) -> str:
    return f"{time.total_seconds() / 3600:.1f} h"
