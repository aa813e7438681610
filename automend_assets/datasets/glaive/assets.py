"""The Glaive dataset as Dagster assets: each reads its inputs, calls one pure function, returns with metadata.

Row-level rules are in `parse.py`, the chat forms in `chatml.py`, promises in `contract.py`, sources in `source.py`.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl
from pydantic import BaseModel, ConfigDict, Field

from automend_assets.contracts.balancing import (
    MAX_COPIES,
    TARGET_SHARE,
    balance_plan,
    repeat_rows,
    sample_weights,
)
from automend_assets.contracts.bias import bias_report as report_bias
from automend_assets.contracts.bias_plot import bias_plot
from automend_assets.contracts.checks import (
    column_lineage,
    contract_checks,
    reconciliation_check,
    table_schema,
)
from automend_assets.datasets.glaive.card import CARD
from automend_assets.datasets.glaive.chatml import chatml_lines, tool_message_lines
from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets.datasets.glaive.parse import process
from automend_assets.datasets.glaive.source import read_source, resolve_source
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


class GlaiveOptions(BaseModel):
    """The options of a Glaive version, all of them written into its manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    balance_target_share: float = Field(
        default=TARGET_SHARE, gt=0, le=0.5, description="Share that a rare slice value is brought up to."
    )
    balance_max_copies: int = Field(
        default=MAX_COPIES, ge=1, description="How often a record may appear in the balanced file at most."
    )


def plan(request: CutRequest, surroundings: Surroundings) -> Manifest:
    """Pin down what a version is cut from."""
    options = GlaiveOptions.model_validate(request.options).model_dump()
    return plan_version(CONTRACT.dataset, request, surroundings.hub, resolve_source, options)


raw_sample = raw_sample_asset(
    CONTRACT.dataset,
    read_source,
    description="The rows of this version as they came from the source, unreadable ones included.",
)


@dg.multi_asset(
    # Every dataset has such a step, and the names of steps are those of the whole code location.
    name=f"{CONTRACT.dataset}__processed_records",
    outs={
        "processed_records": dataset_out(
            CONTRACT.dataset,
            kinds={"polars"},
            io="parquet",
            description="A record per usable row: its functions, calls, verification and features, parsed once.",
            metadata={"dagster/column_schema": table_schema(CONTRACT)},
        ),
        "quarantine": dataset_out(
            CONTRACT.dataset,
            kinds={"polars"},
            io="parquet",
            description="Rows and records that cannot be used, each with the stage that refused it and the reason.",
        ),
    },
    ins={"raw_sample": dg.AssetIn(key_prefix=CONTRACT.dataset)},
    group_name=CONTRACT.dataset,
    partitions_def=VERSIONS,
)
def parsed(
    context: dg.AssetExecutionContext, store: StoreResource, raw_sample: pl.LazyFrame
) -> Iterator[dg.Output[StagedFile]]:
    """Parse every row once, in parallel; what cannot be used goes to quarantine in the same pass."""
    with store.get().staging() as folder:
        processed, quarantined = folder / "processed_records.parquet", folder / "quarantine.parquet"
        counts = process(
            raw_sample,
            processed,
            quarantined,
            workers=Settings().workers,
            on_progress=lambda rows: context.log.info(f"{rows:,} rows parsed"),
        )
        yield dg.Output(
            StagedFile(processed),
            "processed_records",
            metadata={"dagster/column_lineage": column_lineage(CONTRACT)},
        )
        yield dg.Output(
            StagedFile(quarantined),
            "quarantine",
            metadata={
                "reasons": dg.MetadataValue.json(
                    {"processed_records": counts.quarantined, "chatml": counts.withheld}
                )
            },
        )


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="jsonl")
def chatml(processed_records: pl.LazyFrame) -> pl.LazyFrame:
    """The AutoMend workflow form: one conversation per line, its calls as a workflow, with a sample weight."""
    weights = sample_weights(processed_records, CONTRACT.slices, CONTRACT.usable)
    return chatml_lines(processed_records, weights)


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="jsonl")
def tool_messages(processed_records: pl.LazyFrame) -> pl.LazyFrame:
    """The form that trainers take: every turn, tool calls with their arguments, tool replies, tool schemas."""
    return tool_message_lines(processed_records)


@dataset_asset(CONTRACT.dataset, kinds={"polars"}, io="json")
def bias_report(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    ledger: LedgerResource,
    processed_records: pl.LazyFrame,
) -> dg.Output[dict[str, Any]]:
    """How the records spread over six slices, what is under-represented, and what balancing changes."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    options = GlaiveOptions.model_validate(manifest.options)
    report = report_bias(
        CONTRACT,
        processed_records,
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
def balanced_chatml(
    context: dg.AssetExecutionContext,
    store: StoreResource,
    ledger: LedgerResource,
    processed_records: pl.LazyFrame,
) -> pl.LazyFrame:
    """The workflow form with rare slices repeated and common ones thinned, seeded and capped."""
    manifest = load_manifest(ledger.get(), store.get(), CONTRACT.dataset, context.partition_key)
    options = GlaiveOptions.model_validate(manifest.options)
    copies = balance_plan(
        processed_records,
        CONTRACT.slices,
        CONTRACT.usable,
        seed=manifest.seed,
        target_share=options.balance_target_share,
        max_copies=options.balance_max_copies,
    )
    return chatml_lines(repeat_rows(processed_records, copies))


ARTIFACTS = (
    "raw_sample.parquet",
    "processed_records.parquet",
    "quarantine.parquet",
    "chatml.jsonl",
    "tool_messages.jsonl",
    "balanced_chatml.jsonl",
    "bias_report.json",
)

QUARANTINE = dg.AssetKey([CONTRACT.dataset, "quarantine"])

DATASET = Dataset(
    name=CONTRACT.dataset,
    contract=CONTRACT,
    plan=plan,
    assets=[
        raw_sample,
        parsed,
        chatml,
        tool_messages,
        bias_report,
        balanced_chatml,
        run_summary_asset(CONTRACT, ARTIFACTS),
        release_asset(CONTRACT, ARTIFACTS, CARD),
    ],
    checks=[
        contract_checks(
            CONTRACT,
            VERSIONS,
            reconcile=account_of_frame(CONTRACT.dataset, "raw_sample", "processed_records"),
            reconciled_with=[QUARANTINE],
        ),
        *(
            reconciliation_check(
                CONTRACT.dataset,
                form,
                VERSIONS,
                account_of_lines(CONTRACT.dataset, "processed_records", form, stage="chatml"),
                reconciled_with=[QUARANTINE],
            )
            for form in ("chatml", "tool_messages")
        ),
    ],
)
