"""Running a dataset's job in this process, and telling the caller what happens as it happens."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import dagster as dg

from automend_assets.versions.partitions import register

if TYPE_CHECKING:
    from automend_assets.versions.ledger import Ledger

_OUR_CLASS = re.compile(r"^automend_assets(\.\w+)+: ")


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended: its id, the message of each step that failed, and the assets that were not made.

    Blocking checks that failed are not among the failures: what they found is among the run's events.
    """

    run_id: str
    success: bool
    failures: dict[str, str]
    not_made: list[str]


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
    # What the caller shows takes the place of Dagster's own lines on the terminal.
    quiet = dg.Definitions(loggers={"console": dg.LoggerDefinition(_silent_logger)})
    job = dg.Definitions.merge(defs, quiet).resolve_job_def(f"{dataset}_build")
    not_made = {key.to_user_string() for key in job.asset_layer.executable_asset_keys}

    def listen(entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is not None and event.is_step_failure and event.step_key is not None:
            error = event.step_failure_data.error
            if error is None or error.cls_name != "DagsterAssetCheckFailedError":
                failures[event.step_key] = failure_message(event)
        elif event is not None and event.is_step_materialization:
            not_made.discard(event.step_materialization_data.materialization.asset_key.to_user_string())
        on_entry(entry)

    instance.add_event_listener(run_id, listen)
    result = job.execute_in_process(
        instance=instance,
        partition_key=version,
        run_id=run_id,
        raise_on_error=False,
        run_config={"loggers": {"console": {}}},
    )
    return RunOutcome(run_id, result.success, failures, sorted(not_made))


def failure_message(event: dg.DagsterEvent) -> str:
    """Why a step failed or is to be tried again; our own classes are left out, whose words are meant for people."""
    error = event.step_failure_data.error if event.is_step_failure else event.step_retry_data.error
    if error is None:
        return "no reason was given"
    if error.cls_name == "DagsterExecutionInterruptedError":
        return "interrupted. Nothing half-made is left; run the same again to have it all."
    return _OUR_CLASS.sub("", (error.cause or error).message.strip())


def _silent_logger(_context: dg.InitLoggerContext) -> logging.Logger:
    silent = logging.Logger("silent")
    silent.addHandler(logging.NullHandler())
    return silent
