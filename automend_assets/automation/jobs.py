"""The jobs, sensors and executor that every dataset gets; they know a dataset by its name and keys only."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import dagster as dg

from automend_assets.automation.cutting_sensor import Cutting, CuttingRules
from automend_assets.pipeline.dataset import Dataset
from automend_assets.settings import Settings


def materialize_job(dataset: Dataset) -> dg.UnresolvedAssetJobDefinition:
    """The job `<dataset>_build`: every asset and check of one version."""
    return dg.define_asset_job(
        name=f"{dataset.name}_build",
        selection=dg.AssetSelection.groups(dataset.name),
        description=f"Materialise and check every asset of one version of {dataset.name}.",
    )


def automation_sensor(dataset: Dataset) -> dg.AutomationConditionSensorDefinition:
    """The sensor that materialises new versions and follows changes; off until somebody turns it on."""
    return dg.AutomationConditionSensorDefinition(
        name=f"{dataset.name}_automation",
        target=dg.AssetSelection.groups(dataset.name),
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Materialises versions of {dataset.name} that were cut, as far as blocking checks let them.",
    )


def executor(kind: Literal["in_process", "multiprocess"]) -> dg.ExecutorDefinition:
    """How the steps of a run execute.

    A step in a process of its own costs seconds of imports, so one process is the default; forkserver with the
    code location preloaded is what makes the other bearable.
    """
    if kind == "in_process":
        return dg.in_process_executor
    return dg.multiprocess_executor.configured(
        {"start_method": {"forkserver": {"preload_modules": ["automend_assets.definitions"]}}},
        name="multiprocess",
    )


def cutting(dataset: Dataset, settings: Settings, job: dg.UnresolvedAssetJobDefinition) -> Cutting | None:
    """When versions of a dataset that grows are cut by themselves, as the settings say; None for the others.

    `job` is what makes a version.
    """
    if dataset.plan_range is None:
        return None
    rules = CuttingRules(
        min_rows=settings.cut_min_rows,
        max_age=timedelta(hours=settings.cut_max_age_hours),
        max_rows=settings.cut_max_rows,
    )
    return Cutting(dataset.name, job, dataset.plan_range, rules, settings.cut_interval_seconds)
