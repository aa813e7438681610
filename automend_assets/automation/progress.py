"""What a run looks like on a terminal: a line per asset as it is made, checks counted, a summary at the end."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

import dagster as dg
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from automend_assets.automation.runs import failure_message


class RunProgress:
    """Prints a run's events as they come; use it as a context manager around the run."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("starting")
        self._started: dict[str, float] = {}
        self._checks: Counter[str] = Counter()
        self._alert_shown = False

    def __enter__(self) -> RunProgress:
        self._status.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._status.stop()

    def show(self, entry: dg.EventLogEntry) -> None:
        """Take one entry of the run's event log."""
        event = entry.dagster_event
        if event is None:
            if entry.level == logging.CRITICAL:
                self._print("[bold red]critical[/]", entry.user_message.replace("\n", "\n         "))
                self._alert_shown = True
            else:
                self._status.update(escape(entry.user_message))
        elif event.is_step_start and event.step_key is not None:
            self._started[event.step_key] = time.monotonic()
            self._status.update(escape(step_name(event.step_key)))
        elif event.is_step_up_for_retry and event.step_key is not None:
            wait = event.step_retry_data.seconds_to_wait or 0
            self._print(
                "[yellow]again[/]   ",
                f"{step_name(event.step_key)} in {wait:.0f} s: {failure_message(event)}",
            )
        elif event.is_step_materialization:
            self._show_materialization(event)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._show_check(event.asset_check_evaluation_data)
            self._alert_shown = False

    @property
    def checks(self) -> str:
        """How the checks ended, e.g. '34 of 38 checks passed, 3 warned, 1 failed'; empty when none ran."""
        if not self._checks:
            return ""
        others = "".join(f", {self._checks[end]} {end}" for end in ("warned", "failed") if self._checks[end])
        return f"{self._checks['passed']} of {self._checks.total()} checks passed{others}"

    def _show_materialization(self, event: dg.DagsterEvent) -> None:
        materialization = event.step_materialization_data.materialization
        rows = materialization.metadata.get("dagster/row_count")
        seconds = time.monotonic() - self._started.get(event.step_key or "", time.monotonic())
        amount = f"{rows.value:>9,} rows" if rows is not None and isinstance(rows.value, int) else " " * 14
        key = materialization.asset_key.to_user_string()
        self._console.print(f"[green]made[/]     {key:<28}{amount} {seconds:6.1f} s")
        reason = materialization.metadata.get("reason")
        if reason is not None:
            self._print("        ", str(reason.value))
        reasons = materialization.metadata.get("reasons")
        if reasons is not None and isinstance(reasons.value, dict):
            for stage, counts in reasons.value.items():
                for reason, count in counts.items():
                    self._print("        ", f"refused by {stage}: {reason} {count:,}")

    def _show_check(self, evaluation: dg.AssetCheckEvaluation) -> None:
        if evaluation.passed:
            self._checks["passed"] += 1
            return
        blocked = evaluation.severity == dg.AssetCheckSeverity.ERROR
        self._checks["failed" if blocked else "warned"] += 1
        if self._alert_shown and not blocked:
            return  # which says the same and more
        key = evaluation.asset_key.to_user_string()
        label = "[bold red]failed[/]  " if blocked else "[yellow]warning[/] "
        self._print(label, f"{key}:{evaluation.check_name} {evaluation.description or ''}")

    def _print(self, label: str, text: str) -> None:
        # Texts may quote a row or a path, in which brackets are no markup.
        self._console.print(f"{label} {escape(text)}", soft_wrap=True)


def step_name(key: str) -> str:
    """A step as people know it: by the key of its asset where it has that name."""
    return key.replace("__", "/")


def summary_table(title: str, summary: dict[str, Any]) -> Table:
    """Draw a run summary: rows in and out, rows quarantined by stage and reason, checks.

    `summary` is the content of a `run_summary` artifact.
    """
    table = Table(title=title, title_justify="left", show_header=False)
    for name, count in summary["rows"].items():
        if count is not None:  # a report has no rows
            table.add_row(f"rows of {name}", f"{count:,}")
    for stage, reasons in summary["quarantined"].items():
        for reason, count in reasons.items():
            table.add_row(f"quarantined by {stage}: {reason}", f"{count:,}")
    for kind in ("schema", "anomalies", "rates"):
        results = summary["checks"][kind]
        table.add_row(
            f"{kind} checks passed", f"{sum(result['passed'] for result in results)} of {len(results)}"
        )
    return table
