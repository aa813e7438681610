"""Assembles the code location from what the datasets' folders provide; nothing else belongs here.

`defs` is what Dagster loads. Tests and the command line call `build_defs` for a fresh one with other resources.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from automend_assets import datasets
from automend_assets.automation.cut import cut_job
from automend_assets.automation.cutting_sensor import cutting_schedule, cutting_sensor
from automend_assets.automation.jobs import automation_sensor, cutting, executor, materialize_job
from automend_assets.connectors.hub import HubResource
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.connectors.mlflow_tracking import MlflowResource
from automend_assets.connectors.slack import SlackResource
from automend_assets.pipeline.dataset import Dataset
from automend_assets.settings import Settings, load_env_files
from automend_assets.storage.io_managers import (
    JsonIOManager,
    JsonLinesIOManager,
    ParquetIOManager,
    ZipIOManager,
)
from automend_assets.storage.resources import LedgerResource, StoreResource


def default_resources(settings: Settings) -> dict[str, Any]:
    """Every resource that an asset, a check or a job of this project asks for."""
    store = StoreResource(url=settings.store_url)
    return {
        "store": store,
        "ledger": LedgerResource(
            url=_from_environment("AUTOMEND_LEDGER", settings.ledger_url.get_secret_value())
        ),
        "hub": HubResource(endpoint=settings.hf_endpoint),
        "interactions": InteractionsResource(settle_seconds=settings.settle_seconds),
        "mlflow": MlflowResource(),
        "slack": SlackResource(),
        "parquet_io": ParquetIOManager(store=store),
        "jsonl_io": JsonLinesIOManager(store=store),
        "json_io": JsonIOManager(store=store),
        "zip_io": ZipIOManager(store=store),
    }


def _from_environment(variable: str, default: str) -> str:
    """An EnvVar where the variable is set, so that Dagster's UI shows its name and not its value."""
    return dg.EnvVar(variable) if os.environ.get(variable) else default


def discover() -> dict[str, Dataset]:
    """Import the `assets` module of every folder of `datasets` that has one; return the datasets by name, in order."""
    modules = {
        folder.name: f"{datasets.__name__}.{folder.name}.assets"
        for folder in pkgutil.iter_modules(datasets.__path__)
        if folder.ispkg
    }
    return {
        name: importlib.import_module(module).DATASET
        for name, module in sorted(modules.items())
        if importlib.util.find_spec(module) is not None
    }


def _assets(dataset: Dataset) -> Sequence[dg.AssetsDefinition]:
    """A dataset's assets, those of one that grows without conditions: its own sensor launches the runs of its versions.

    With conditions they would be in Dagster's default sensor, and be made twice by whoever turns on both.
    """
    if dataset.plan_range is None:
        return dataset.assets
    return [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=None))
        for asset in dataset.assets
    ]


def build_defs(resource_overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """Build the definitions with the environment's settings, and `resource_overrides` in place of some resources."""
    settings = Settings()
    found = list(discover().values())
    builds = [materialize_job(dataset) for dataset in found]
    growing = [
        rules
        for dataset, job in zip(found, builds, strict=True)
        if (rules := cutting(dataset, settings, job))
    ]
    return dg.Definitions(
        assets=[asset for dataset in found for asset in _assets(dataset)],
        asset_checks=[check for dataset in found for check in dataset.checks],
        jobs=[*map(cut_job, found), *builds],
        sensors=[
            *(automation_sensor(dataset) for dataset in found if dataset.plan_range is None),
            *map(cutting_sensor, growing),
        ],
        schedules=[cutting_schedule(rules) for rules in growing],
        resources={**default_resources(settings), **(resource_overrides or {})},
        executor=executor(settings.executor),
    )


load_env_files()
defs = build_defs()
