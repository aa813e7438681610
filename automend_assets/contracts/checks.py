"""Turns a contract into Dagster: asset checks, table schema, the condition for automatic materialisation.

The one module of this folder that knows Dagster. What a check computes is in the modules beside it; artifacts
are read through the `store` resource, never through an IO manager, and alerts go to the `slack` resource.
"""

# No `from __future__ import annotations`: Dagster compares the annotation of `context` with its classes.
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg
import polars as pl

from automend_assets.contracts.anomalies import AnomalyResult, alert_of, check_anomalies
from automend_assets.contracts.contract import Anomaly, Contract, OfExpected, expected_rows
from automend_assets.contracts.expectations import SchemaResult, check_schema

RECONCILIATION = "rows_reconcile"


class ArtifactStore(Protocol):
    """What a check needs of the store."""

    def scan_parquet(self, dataset: str, version: str, name: str) -> pl.LazyFrame:
        """The frame in a Parquet artifact of a version; `name` carries the extension."""
        ...


class Account(Protocol):
    """Where the rows of a stage went; `storage.quarantine.Reconciliation` is one."""

    @property
    def rows_in(self) -> int: ...
    @property
    def rows_out(self) -> int: ...
    @property
    def quarantined(self) -> int: ...
    @property
    def ok(self) -> bool: ...
    def explain(self) -> str:
        """The account in one sentence."""
        ...


Reconcile = Callable[[Any, str], Account]
"""Accounts for the rows of an asset, from the store and the version."""


def contract_checks(
    contract: Contract,
    partitions: dg.PartitionsDefinition[str],
    *,
    reconcile: Reconcile | None = None,
    reconciled_with: Sequence[dg.AssetKey] = (),
) -> dg.AssetChecksDefinition:
    """Every check of a contract's asset, as one step.

    The schema checks and the reconciliation block: when one of them fails, nothing downstream of the asset
    runs. Anomalies and rates have severity WARN and are alerted. `reconciled_with` are the assets that
    `reconcile` reads besides the checked one and those upstream of it. Needs the resources `store`, `ledger`
    and `slack`.
    """
    key = dg.AssetKey([contract.dataset, contract.asset])
    watched = (*contract.anomalies, *contract.rates)
    with _no_preview_warnings():
        specs = [
            dg.AssetCheckSpec(
                expectation.name,
                asset=key,
                description=expectation.description,
                blocking=True,
                partitions_def=partitions,
                metadata={"expectation": expectation.kind},
            )
            for expectation in contract.expectations
        ]
        specs += [
            dg.AssetCheckSpec(
                anomaly.name,
                asset=key,
                description=f"{anomaly.description}; warns when {_described(anomaly)}",
                partitions_def=partitions,
                metadata={"recommendation": anomaly.recommendation},
            )
            for anomaly in watched
        ]
    if reconcile is not None:
        specs.append(_reconciliation_spec(key, partitions, reconciled_with))
    schema_names = {expectation.name for expectation in contract.expectations}

    @dg.multi_asset_check(
        name=f"{contract.dataset}_{contract.asset}_checks",
        specs=specs,
        can_subset=True,
        description=f"The contract of {contract.dataset}: schema checks, anomalies, reconciliation.",
        required_resource_keys={"store", "ledger", "slack"},
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        version = _version(context)
        store = context.resources.store.get()
        selected = {check.name for check in context.selected_asset_check_keys}
        frame = store.scan_parquet(contract.dataset, version, f"{contract.asset}.parquet")
        rows = _expected(contract, context.resources.ledger.get(), store, version)

        chosen = tuple(anomaly for anomaly in watched if anomaly.name in selected)
        if chosen:
            for anomaly in check_anomalies(chosen, frame, rows):
                alerted = None
                if not anomaly.passed:
                    alert = alert_of(anomaly, contract.dataset, version)
                    alerted = context.resources.slack.send(alert, context.log)
                yield _anomaly_result(key, anomaly, alerted)
        if reconcile is not None and RECONCILIATION in selected:
            yield _reconciliation_result(key, reconcile(store, version))
        if selected & schema_names:
            for result in check_schema(contract, frame, rows):
                if result.name in selected:
                    yield _schema_result(key, result)

    return checks


def reconciliation_check(
    dataset: str,
    asset: str,
    partitions: dg.PartitionsDefinition[str],
    reconcile: Reconcile,
    *,
    reconciled_with: Sequence[dg.AssetKey] = (),
) -> dg.AssetChecksDefinition:
    """The check of an asset without a contract of its own: `rows in = rows out + quarantined`, blocking."""
    key = dg.AssetKey([dataset, asset])

    @dg.multi_asset_check(
        name=f"{dataset}_{asset}_checks",
        specs=[_reconciliation_spec(key, partitions, reconciled_with)],
        can_subset=True,
        required_resource_keys={"store"},
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        yield _reconciliation_result(key, reconcile(context.resources.store.get(), _version(context)))

    return checks


@dataclass(frozen=True)
class Watched:
    """A question about one asset that warns and never blocks; `judge` answers it and says why, from the store."""

    asset: str
    name: str
    description: str
    judge: Callable[[Any, str], tuple[bool, str]]


def watching_checks(
    dataset: str, partitions: dg.PartitionsDefinition[str], watched: Sequence[Watched]
) -> dg.AssetChecksDefinition:
    """Questions about assets without a contract of their own, as one step."""
    judges = {(dg.AssetKey([dataset, one.asset]), one.name): one.judge for one in watched}
    with _no_preview_warnings():
        specs = [
            dg.AssetCheckSpec(
                one.name,
                asset=dg.AssetKey([dataset, one.asset]),
                description=one.description,
                partitions_def=partitions,
            )
            for one in watched
        ]

    @dg.multi_asset_check(
        name=f"{dataset}_watching_checks",
        specs=specs,
        can_subset=True,
        required_resource_keys={"store"},
    )
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        for check in sorted(context.selected_asset_check_keys):
            judge = judges[check.asset_key, check.name]
            passed, why = judge(context.resources.store.get(), _version(context))
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=passed,
                severity=dg.AssetCheckSeverity.WARN,
                description=why,
            )

    return checks


def table_schema(contract: Contract) -> dg.TableSchema:
    """The contract's columns as Dagster shows them, for an asset's `dagster/column_schema` metadata."""
    required = {
        expectation.column
        for expectation in contract.expectations
        if expectation.kind == "ExpectColumnValuesToNotBeNull"
    }
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                column.name,
                type=str(column.dtype),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.name not in required),
            )
            for column in contract.columns
        ]
    )


def column_lineage(contract: Contract) -> dg.TableColumnLineage:
    """From which columns of the source asset each column is made, for the UI's lineage by column."""
    source = dg.AssetKey([contract.dataset, contract.source_asset])
    return dg.TableColumnLineage(
        {
            column.name: [dg.TableColumnDep(source, name) for name in column.made_from]
            for column in contract.columns
            if column.made_from
        }
    )


def when_checked() -> dg.AutomationCondition[Any]:
    """Materialise when something upstream is new, unless a blocking check of it has failed or has not run."""
    return dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()


def _version(context: dg.AssetCheckExecutionContext) -> str:
    if not context.has_partition_key:
        raise dg.Failure(
            "These checks are about one version, and the run has none: launch it with the tag"
            " dagster/partition, such as v0001, or materialize the asset for a version."
        )
    return str(context.partition_key)


def _expected(contract: Contract, ledger: Any, store: ArtifactStore, version: str) -> int:
    asked = ledger.get(contract.dataset, version).manifest.rows
    source = store.scan_parquet(contract.dataset, version, f"{contract.source_asset}.parquet")
    return expected_rows(asked, int(source.select(pl.len()).collect().item()))


def _schema_result(key: dg.AssetKey, result: SchemaResult) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"expected": result.expected, "observed": result.observed}
    if result.unexpected is not None:
        metadata["unexpected_rows"] = result.unexpected
    if result.samples:
        metadata["failing_rows"] = dg.MetadataValue.table(
            records=[
                dg.TableRecord({name: _shown(value) for name, value in sample.items()})
                for sample in result.samples
            ],
            schema=dg.TableSchema.from_name_type_dict({"row_number": "int", "value": "string"}),
        )
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=result.name,
        passed=result.passed,
        metadata=metadata,
        description=result.reason or f"{result.observed}; expected: {result.expected}",
    )


def _anomaly_result(key: dg.AssetKey, result: AnomalyResult, alerted: bool | None) -> dg.AssetCheckResult:
    metadata: dict[str, Any] = {"threshold": result.threshold, "allowed": result.bound}
    if result.observed is not None:
        metadata["observed"] = result.observed
    if not result.passed:
        metadata["recommendation"] = result.recommendation
        metadata["alert"] = "sent to Slack" if alerted else "logged at CRITICAL"
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=result.name,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
        description=f"{result.seen}; expected: {result.bound}"
        + ("" if result.passed else f". {result.recommendation}"),
    )


def _reconciliation_spec(
    key: dg.AssetKey, partitions: dg.PartitionsDefinition[str], reconciled_with: Iterable[dg.AssetKey]
) -> dg.AssetCheckSpec:
    with _no_preview_warnings():
        return dg.AssetCheckSpec(
            RECONCILIATION,
            asset=key,
            description="Every row that came in went out or is in quarantine",
            blocking=True,
            partitions_def=partitions,
            additional_deps=list(reconciled_with),
        )


def _reconciliation_result(key: dg.AssetKey, account: Account) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=RECONCILIATION,
        passed=account.ok,
        metadata={
            "rows_in": account.rows_in,
            "rows_out": account.rows_out,
            "quarantined": account.quarantined,
        },
        description=account.explain(),
    )


def _described(anomaly: Anomaly) -> str:
    """The threshold in words, before the number of expected rows is known."""
    if isinstance(anomaly.threshold, OfExpected):
        return f"{anomaly.direction} {anomaly.threshold.share:.0%} of the expected rows"
    return f"{anomaly.direction} {anomaly.threshold:g}"


def _shown(value: str | int | float | None) -> str | int | float:
    return "null" if value is None else value


class _no_preview_warnings(warnings.catch_warnings):
    """Partitions on a check are a preview feature, and Dagster would say so once per check."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore", dg.PreviewWarning)
