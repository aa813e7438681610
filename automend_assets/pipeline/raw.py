"""The first asset of a dataset that is read from files, and the manifest of a version of it; once for all of them."""

from collections.abc import Iterator
from typing import Any, Protocol

import dagster as dg

from automend_assets.connectors.hub import HubResource
from automend_assets.connectors.sources import SampleCounts
from automend_assets.pipeline.assets import dataset_asset, trying_again
from automend_assets.pipeline.dataset import CutRequest
from automend_assets.storage.io_managers import StagedFile
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.versions.cutting import load_manifest
from automend_assets.versions.manifest import Manifest, Source

RAW_ASSET = "raw_sample"


class ReadSource(Protocol):
    """A dataset's `read_source`: writes the raw frame of a version, and counts."""

    def __call__(
        self, manifest: Manifest, destination: Any, *, hub: HubResource, on_progress: Any
    ) -> SampleCounts: ...


class ResolveSource(Protocol):
    """A dataset's `resolve_source`: pins what a request names."""

    def __call__(
        self, kind: str, *, hub: HubResource, path: str | None, repo: str | None, revision: str | None
    ) -> Source: ...


def plan_version(
    dataset: str,
    request: CutRequest,
    hub: HubResource,
    resolve_source: ResolveSource,
    options: dict[str, Any],
) -> Manifest:
    """Pin down what a version is cut from."""
    return Manifest(
        dataset=dataset,
        source=resolve_source(
            request.source.value, hub=hub, path=request.path, repo=request.repo, revision=request.revision
        ),
        rows=request.rows or None,
        seed=request.seed,
        shuffle_buffer=request.shuffle_buffer,
        options=options,
    )


def raw_sample_asset(dataset: str, read_source: ReadSource, *, description: str) -> dg.AssetsDefinition:
    """The asset `raw_sample`: the rows of a version as they came from its source."""

    @dataset_asset(dataset, name=RAW_ASSET, kinds={"huggingface"}, io="parquet", description=description)
    def raw_sample(
        context: dg.AssetExecutionContext, store: StoreResource, ledger: LedgerResource, hub: HubResource
    ) -> Iterator[dg.Output[StagedFile]]:
        with trying_again(context), store.get().staging() as folder:
            manifest = load_manifest(ledger.get(), store.get(), dataset, context.partition_key)
            file = folder / f"{RAW_ASSET}.parquet"
            counts = read_source(
                manifest,
                file,
                hub=hub,
                on_progress=lambda rows, size: context.log.info(f"{rows:,} rows, {size / 1e6:,.1f} MB read"),
            )
            yield dg.Output(
                StagedFile(file),
                metadata={
                    "source": dg.MetadataValue.json(manifest.source.model_dump(mode="json")),
                    "rows_read": counts.rows_read,
                    "source_exhausted": counts.exhausted,
                    "unreadable_rows": dg.MetadataValue.json(counts.errors),
                },
            )

    return raw_sample
