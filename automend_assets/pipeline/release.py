"""The two last assets of every dataset: the summary of a run, and the release.

What they contain is computed by `contracts` and `versions`; this is the wiring, once for all datasets.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg

from automend_assets.contracts.contract import Contract, expected_rows
from automend_assets.contracts.evaluation import evaluate
from automend_assets.pipeline.assets import dataset_asset
from automend_assets.settings import Settings
from automend_assets.storage.quarantine import count_by_reason
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.storage.store import Store
from automend_assets.versions.cutting import MANIFEST_NAME, load_manifest
from automend_assets.versions.pins import find_project, pin, write_metrics
from automend_assets.versions.release import (
    CARD_FILE,
    CardText,
    Reports,
    dataset_card,
    describe_artifacts,
    release_manifest,
)

SUMMARY_FILE = "run_summary.json"


def run_summary_asset(contract: Contract, files: Sequence[str]) -> dg.AssetsDefinition:
    """The asset `run_summary`: rows in, out and quarantined by reason, and what every check found.

    `files` are the artifacts whose rows are counted. It is computed from the artifacts, not from the run's events,
    so the same version gives the same bytes; when things happened is in its metadata.
    """
    dataset = contract.dataset
    # The other artifacts come after these, and an edge to each would only clutter the graph.
    upstream = {contract.source_asset, contract.asset}

    @dataset_asset(
        dataset,
        name="run_summary",
        kinds=set(),
        io="json",
        deps=[dg.AssetKey([dataset, name]) for name in map(_asset_name, files) if name not in upstream],
        description="Rows in, out and quarantined by reason, and the result of every check of the contract.",
    )
    def run_summary(
        context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource
    ) -> dg.Output[dict[str, Any]]:
        version = context.partition_key
        manifest = load_manifest(ledger.get(), store.get(), dataset, version)
        rows = {
            artifact.name: artifact.rows
            for artifact in describe_artifacts(store.get(), dataset, version, files)
        }
        scan = store.get().scan_parquet
        evaluation = evaluate(
            contract,
            scan(dataset, version, f"{contract.asset}.parquet"),
            expected_rows(manifest.rows, rows[contract.source_asset] or 0),
        )
        summary = {
            "dataset": dataset,
            "version": version,
            "manifest_sha256": manifest.sha256,
            "source": manifest.source.model_dump(mode="json"),
            "rows": rows,
            "quarantined": count_by_reason(scan(dataset, version, "quarantine.parquet")),
            "checks": evaluation.as_json(),
        }
        return dg.Output(
            summary,
            metadata={
                "rows": dg.MetadataValue.json(summary["rows"]),
                "quarantined": dg.MetadataValue.json(summary["quarantined"]),
                "seconds": dg.MetadataValue.json(_step_seconds(context)),
            },
        )

    return run_summary


def release_asset(
    contract: Contract,
    files: Sequence[str],
    card: CardText,
    measures: Callable[[Store, str], Mapping[str, float]] = lambda _store, _version: {},
) -> dg.AssetsDefinition:
    """The asset `release`: hashes of every artifact, the dataset card, DVC pins, and the push to a remote.

    `files` are the artifacts to release. The card lies beside them as README.md. `measures` reads what only this
    dataset measures, for its metrics.
    """
    dataset = contract.dataset

    @dataset_asset(
        dataset,
        name="release",
        kinds={"dvc"},
        io="json",
        deps=[dg.AssetKey([dataset, _asset_name(SUMMARY_FILE)])],
        description="Hashes, rows and schema of every artifact, with the dataset card, DVC pins and metrics.",
    )
    def release(
        context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource
    ) -> dg.Output[dict[str, Any]]:
        version, settings = context.partition_key, Settings()
        manifest = load_manifest(ledger.get(), store.get(), dataset, version)
        artifacts = describe_artifacts(store.get(), dataset, version, [*files, SUMMARY_FILE])
        reports = replace(_reports(store.get(), dataset, version), measures=measures(store.get(), version))
        content = release_manifest(version, manifest, contract, artifacts, reports)
        with store.get().write(dataset, version, CARD_FILE) as file:
            file.write_text(dataset_card(version, manifest, contract, card, artifacts, reports))
        project = find_project(store.get(), settings.pins_folder)
        write_metrics(project, dataset, version, content["metrics"])
        pinned = pin(
            store.get(),
            dataset,
            version,
            [CARD_FILE, MANIFEST_NAME, *(artifact.file for artifact in artifacts)],
            project,
            remote=settings.dvc_remote,
        )
        return dg.Output(
            content,
            metadata={
                "card": dg.MetadataValue.path(store.get().url(dataset, version, CARD_FILE)),
                "pins": dg.MetadataValue.json({pointer.file: pointer.md5 for pointer in pinned.pointers}),
                "pushed_to": pinned.pushed_to or "nowhere: set AUTOMEND_DVC_REMOTE",
            },
        )

    return release


def _asset_name(file: str) -> str:
    return file.partition(".")[0]


def _reports(store: Store, dataset: str, version: str) -> Reports:
    summary = json.loads(store.read_bytes(dataset, version, SUMMARY_FILE))
    bias = json.loads(store.read_bytes(dataset, version, "bias_report.json"))
    return Reports(quarantined=summary["quarantined"], checks=summary["checks"], bias=bias)


def _step_seconds(context: dg.AssetExecutionContext) -> dict[str, float]:
    """Wall seconds of each step of this run that is done."""
    return {
        stats.step_key: round(stats.end_time - stats.start_time, 3)
        for stats in context.instance.get_run_step_stats(context.run.run_id)
        if stats.start_time is not None and stats.end_time is not None
    }
