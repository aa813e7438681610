"""The job that cuts a version from the UI.

What goes into a manifest is the dataset's business (`Dataset.plan`), which number it gets the ledger's, and the steps
of a cut are in `versions.cutting`, for the command line too.
"""

import dagster as dg

from automend_assets.connectors.hub import HubResource
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.pipeline.dataset import CutRequest, Dataset, Surroundings
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.versions.cutting import cut_version


def cut_job(dataset: Dataset) -> dg.JobDefinition:
    """The job `<dataset>_cut`: its launchpad is the form, its run adds one partition."""
    op_name = f"cut_{dataset.name}_version"
    defaults = CutRequest().model_dump(mode="json", exclude_none=True)

    @dg.op(name=op_name, out=dg.Out(str, description="The key of the version."))
    def cut(
        context: dg.OpExecutionContext,
        config: CutRequest,
        store: StoreResource,
        ledger: LedgerResource,
        hub: HubResource,
        interactions: InteractionsResource,
    ) -> dg.Output[str]:
        manifest = dataset.plan(config, Surroundings(hub, interactions, ledger, store))
        version = cut_version(manifest, ledger=ledger.get(), store=store.get(), instance=context.instance)
        context.log.info(f"{dataset.name} {version.key} is manifest {version.sha256}")
        return dg.Output(
            version.key,
            metadata={
                "version": version.key,
                "manifest": dg.MetadataValue.json(manifest.model_dump(mode="json")),
            },
        )

    @dg.job(
        name=f"{dataset.name}_cut",
        description=f"Cut a version of {dataset.name}: name its source, size and seed; the run adds its partition.",
        # Without it the form would show the settings of the resources as well.
        config={"ops": {op_name: {"config": defaults}}},
    )
    def job() -> None:
        cut()

    return job
