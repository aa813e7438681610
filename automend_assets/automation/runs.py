"""Running a dataset's job in this process, and telling the caller what happens as it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import dagster as dg

from automend_assets.versions.ledger import Ledger
from automend_assets.versions.partitions import register


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: its id, and the message of each step that failed."""

    run_id: str
    success: bool
    failures: dict[str, str]


def materialize_version(
    defs: dg.Definitions,
    dataset: str,
    version: str,
    *,
    instance: dg.DagsterInstance,
    ledger: Ledger,
    on_entry: Callable[[dg.EventLogEntry], None] = lambda entry: None,
) -> RunOutcome:
    """Materialise and check every asset of one version.

    Raises VersionNotFound when the ledger has no such version. A failed step or blocking check is not raised: it is
    in the outcome.
    """
    ledger.get(dataset, version)
    register(instance, ledger, dataset)
    run_id, failures = str(uuid4()), {}

    def listen(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is not None and event.is_step_failure and event.step_key is not None:
            error = event.step_failure_data.error
            cause = error.cause if error is not None and error.cause is not None else error
            failures[event.step_key] = cause.message.strip() if cause is not None else event.message or ""
        on_entry(entry)

    instance.add_event_listener(run_id, listen)
    result = defs.resolve_job_def(f"{dataset}_build").execute_in_process(
        instance=instance,
        partition_key=version,
        run_id=run_id,
        raise_on_error=False,
        # What the caller shows takes the place of Dagster's own lines on stderr.
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    return RunOutcome(run_id, result.success, failures)
