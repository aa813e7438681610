"""The dataset of manifests as Dagster assets: each reads its inputs, calls one pure function, returns with metadata.

What is done with a row is in `process.py`, the chat forms in `chatml.py`, promises in `contract.py`, sources in
`source.py`, reports in `reports.py`.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import dagster as dg
import polars as pl

from automend_assets.contracts.balancing import balance_plan, repeat_rows, sample_weights
from automend_assets.contracts.bias import bias_report as report_bias
from automend_assets.contracts.bias_plot import bias_plot
from automend_assets.contracts.checks import (
    column_lineage,
    contract_checks,
    reconciliation_check,
    table_schema,
)
from automend_assets.contracts.contract import Contract
from automend_assets.datasets.iac import reports
from automend_assets.datasets.iac.card import CARD
from automend_assets.datasets.iac.chatml import tool_message_lines, training_record_lines
from automend_assets.datasets.iac.contract import CONTRACT
from automend_assets.datasets.iac.options import IacOptions
from automend_assets.datasets.iac.process import process
from automend_assets.datasets.iac.source import read_source, resolve_source
from automend_assets.pipeline.accounts import account_of_frame, account_of_lines
from automend_assets.pipeline.assets import dataset_asset, dataset_out, picture
from automend_assets.pipeline.dataset import CutRequest, Dataset, Surroundings
from automend_assets.pipeline.raw import plan_version, raw_sample_asset
from automend_assets.pipeline.release import release_asset, run_summary_asset
from automend_assets.settings import Settings
from automend_assets.storage.io_managers import StagedFile
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.versions.cutting import load_manifest
from automend_assets.versions.manifest import Manifest
from automend_assets.versions.partitions import versions_of

VERSIONS = versions_of(CONTRACT.dataset)


def plan(request: CutRequest, surroundings: Surroundings) -> Manifest:
    """Pin down what a version is cut from."""
    options = IacOptions.model_validate(request.options).model_dump(mode="json")
    return plan_version(CONTRACT.dataset, request, surroundings.hub, resolve_source, options)


raw_sample = raw_sample_asset(
    CONTRACT.dataset,
    read_source,
    description="The files of this version as they came from the source, unreadable ones included; never released.",
)


@dg.multi_asset(
    # Every dataset has such a step, and the names of steps are those of the whole code location.
    name=f"{CONTRACT.dataset}__manifests",
    outs={
        "manifests": dataset_out(
            CONTRACT.dataset,
            kinds={"polars"},
            io="parquet",
            description="Kubernetes manifests about ML infrastructure: filtered, redacted, described, no two alike.",
            metadata={"dagster/column_schema": table_schema(CONTRACT)},
        ),
        "quarantine": dataset_out(
            CONTRACT.dataset,
            kinds={"polars"},
            io="parquet",
            description="Every other row: the code of what refused it and where it is from, without its text.",
        ),
    },
    ins={"raw_sample": dg.AssetIn(key_prefix=CONTRACT.dataset)},
    group_name=CONTRACT.dataset,
    partitions_def=VERSIONS,
)
def filtered(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, raw_sample: pl.LazyFrame
) -> Iterator[dg.Output[StagedFile]]:
    """Filter, read, redact and describe every file once, in parallel, and drop those that are alike."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    with store.get().staging() as folder:
        kept, quarantined = folder / "manifests.parquet", folder / "quarantine.parquet"
        counts = process(
            raw_sample,
            kept,
            quarantined,
            options=_options(manifest),
            seed=manifest.seed,
            workers=Settings().workers,
            on_progress=lambda rows: context.log.info(f"{rows:,} files filtered"),
        )
        yield dg.Output(
            StagedFile(kept), "manifests", metadata={"dagster/column_lineage": column_lineage(CONTRACT)}
        )
        yield dg.Output(
            StagedFile(quarantined),
            "quarantine",
            metadata={"reasons": dg.MetadataValue.json({"manifests": counts.quarantined})},
        )


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="jsonl")
def training_records(manifests: pl.LazyFrame) -> pl.LazyFrame:
    """The original form of every manifest: a request, and the call of `apply_manifest` as JSON text, with a
    weight."""
    return training_record_lines(manifests, _weights(CONTRACT, manifests))


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="jsonl")
def tool_messages(manifests: pl.LazyFrame) -> pl.LazyFrame:
    """The form that trainers take: a request, the call of `apply_manifest` with its arguments, the tool's schema."""
    return tool_message_lines(manifests)


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="json")
def analysis(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, manifests: pl.LazyFrame
) -> dg.Output[dict[str, Any]]:
    """What the manifests are: keyword coverage, kinds, sizes, licences, and whether Kubernetes would take them."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    report = reports.analysis(manifests, _options(manifest))
    return dg.Output(
        report,
        metadata={
            "plot": picture(reports.analysis_plot(report)),
            "kubernetes": dg.MetadataValue.json(report["kubernetes"]["manifests"]),
        },
    )


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="json")
def diagnostic(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    ledger: LedgerResource,
    raw_sample: pl.LazyFrame,
    manifests: pl.LazyFrame,
    quarantine: pl.LazyFrame,
) -> dg.Output[dict[str, Any]]:
    """What the filters and the redaction did: yield per filter, exposure before and after, escaping."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    report = reports.diagnostic(raw_sample, manifests, quarantine, _options(manifest))
    return dg.Output(
        report,
        metadata={
            "plot": picture(reports.diagnostic_plot(report)),
            "yield": report["yield"],
            "exposure": dg.MetadataValue.json(report["exposure"]),
        },
    )


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="json")
def bias_report(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, manifests: pl.LazyFrame
) -> dg.Output[dict[str, Any]]:
    """How the manifests spread over four slices, what is too rare or too common, and what balancing changes."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    options = _options(manifest)
    report = report_bias(
        _capped(options),
        manifests,
        seed=manifest.seed,
        target_share=options.balance_target_share,
        max_copies=options.balance_max_copies,
    )
    return dg.Output(
        report,
        metadata={
            "plot": picture(bias_plot(report)),
            "findings": len(report["findings"]),
        },
    )


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="jsonl")
def balanced_records(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, manifests: pl.LazyFrame
) -> pl.LazyFrame:
    """The original form, no iac_type above its cap, rare slices repeated, each record with a weight: for release."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    balanced = _balanced(manifest, manifests)
    # The copies of a manifest weigh the same.
    weights = _weights(_capped(_options(manifest)), balanced).unique("row_number", maintain_order=True)
    return training_record_lines(balanced, weights)


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="jsonl")
def balanced_tool_messages(
    context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, manifests: pl.LazyFrame
) -> pl.LazyFrame:
    """The form that trainers take of the same manifests as often, in the same order: for release."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    return tool_message_lines(_balanced(manifest, manifests))


def _options(manifest: Manifest) -> IacOptions:
    return IacOptions.model_validate(manifest.options)


def _capped(options: IacOptions) -> Contract:
    """The contract with the cap that this version's options set."""
    slices = tuple(
        part if part.max_share is None else replace(part, max_share=options.max_iac_type_share)
        for part in CONTRACT.slices
    )
    return replace(CONTRACT, slices=slices)


def _weights(contract: Contract, manifests: pl.LazyFrame) -> pl.LazyFrame:
    weights = sample_weights(manifests, contract.slices, contract.usable)
    return weights.rename({"sample_weight": "sampling_weight"})


def _balanced(manifest: Manifest, manifests: pl.LazyFrame) -> pl.LazyFrame:
    options = _options(manifest)
    contract = _capped(options)
    copies = balance_plan(
        manifests,
        contract.slices,
        contract.usable,
        seed=manifest.seed,
        target_share=options.balance_target_share,
        max_copies=options.balance_max_copies,
    )
    return repeat_rows(manifests, copies)


RELEASED = (
    "manifests.parquet",
    "quarantine.parquet",
    "balanced_records.jsonl",
    "balanced_tool_messages.jsonl",
    "analysis.json",
    "diagnostic.json",
    "bias_report.json",
)
"""Neither the raw files, which hold the secrets, nor the forms before balancing."""

COUNTED = ("raw_sample.parquet", "training_records.jsonl", "tool_messages.jsonl", *RELEASED)

QUARANTINE = dg.AssetKey([CONTRACT.dataset, "quarantine"])

DATASET = Dataset(
    name=CONTRACT.dataset,
    contract=CONTRACT,
    plan=plan,
    assets=[
        raw_sample,
        filtered,
        training_records,
        tool_messages,
        analysis,
        diagnostic,
        bias_report,
        balanced_records,
        balanced_tool_messages,
        run_summary_asset(CONTRACT, COUNTED),
        release_asset(CONTRACT, RELEASED, CARD),
    ],
    checks=[
        contract_checks(
            CONTRACT,
            VERSIONS,
            reconcile=account_of_frame(CONTRACT.dataset, "raw_sample", "manifests"),
            reconciled_with=[QUARANTINE],
        ),
        *(
            reconciliation_check(
                CONTRACT.dataset,
                form,
                VERSIONS,
                account_of_lines(CONTRACT.dataset, "manifests", form, stage=form),
                reconciled_with=[QUARANTINE],
            )
            for form in ("training_records", "tool_messages")
        ),
    ],
)
