"""What the code location offers, by name: these names are used in commands, links and other people's code."""

from __future__ import annotations

import dagster as dg
import pytest

from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets.definitions import build_defs, defs, discover
from automend_assets.storage.resources import StoreResource
from automend_assets_tests.workplace import ASSETS

RECONCILED = {"processed_records", "chatml", "tool_messages"}


def key(name: str) -> dg.AssetKey:
    return dg.AssetKey(["glaive", name])


def test_every_dataset_with_assets_is_found() -> None:
    assert "glaive" in discover()
    assert list(discover()) == sorted(discover())
    for name, dataset in discover().items():
        assert dataset.name == name


def test_the_assets_are_there_with_what_a_person_needs() -> None:
    graph = defs.resolve_asset_graph()
    of_glaive = {each for each in graph.get_all_asset_keys() if each.path[0] == "glaive"}
    assert of_glaive == {key(name) for name in ASSETS}
    for name in ASSETS:
        node = graph.get(key(name))
        assert node.group_name == "glaive"
        assert node.description
        assert node.owners
        assert node.kinds
        assert node.automation_condition is not None
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
        assert node.partitions_def.name == "glaive_versions"


def test_the_checks_block_or_warn() -> None:
    specs = {
        (spec.asset_key.path[1], spec.name): spec.blocking
        for checks in discover()["glaive"].checks
        for spec in checks.check_specs
    }
    expected = {("processed_records", check.name): True for check in CONTRACT.expectations}
    expected |= {("processed_records", check.name): False for check in (*CONTRACT.anomalies, *CONTRACT.rates)}
    expected |= {(asset, "rows_reconcile"): True for asset in RECONCILED}
    assert specs == expected
    assert len(CONTRACT.expectations) == 30
    assert len(CONTRACT.anomalies) == 6


def test_the_jobs_are_there() -> None:
    assert defs.resolve_job_def("glaive_cut").nodes_in_topological_order[0].name == "cut_glaive_version"
    build = defs.resolve_job_def("glaive_build")
    assert build.asset_layer.selected_asset_keys == {key(name) for name in ASSETS}
    assert len(build.asset_layer.asset_graph.asset_check_keys) == 30 + 6 + 1 + 3


def test_the_sensor_is_off_until_somebody_turns_it_on() -> None:
    sensor = defs.resolve_sensor_def("glaive_automation")
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    resolved = sensor.asset_selection.resolve(defs.resolve_asset_graph())
    assert resolved == {key(name) for name in ASSETS}
    for other in defs.sensors or ():
        assert other.default_status == dg.DefaultSensorStatus.STOPPED


@pytest.mark.parametrize(
    ("selection", "names"),
    [
        ("group:glaive", set(ASSETS)),
        ("glaive/raw_sample", {"raw_sample"}),
        ('key:"glaive/chatml" or key:"glaive/tool_messages"', {"chatml", "tool_messages"}),
        ('key:"glaive/raw_sample"+1', {"raw_sample", "processed_records", "quarantine"}),
    ],
)
def test_assets_can_be_selected_by_text(selection: str, names: set[str]) -> None:
    """dvc brings an ANTLR that breaks Dagster's selection parser, if it is not pinned."""
    graph = defs.resolve_asset_graph()
    chosen = dg.AssetSelection.from_string(selection).resolve(graph)
    assert {key(name) for name in names} <= chosen
    if "+" not in selection:
        assert chosen == {key(name) for name in names}


def test_resources_can_be_replaced(tmp_path: str) -> None:
    other = StoreResource(url=str(tmp_path))
    changed = build_defs({"store": other})
    assert changed.resources is not None
    assert changed.resources["store"] is other
    assert changed.resources.keys() == (defs.resources or {}).keys()


def test_what_launches_runs_is_off_and_launches_none_twice() -> None:
    repository = defs.get_repository_def()
    # None of Dagster's own, which would take what no other sensor has.
    assert {sensor.name for sensor in repository.sensor_defs} == {
        *("glaive_automation", "iac_automation", "typos_interactions")
    }
    (weekly,) = repository.schedule_defs
    assert (weekly.name, weekly.cron_schedule) == ("typos_weekly", "0 0 * * 1")
    assert weekly.default_status == dg.DefaultScheduleStatus.STOPPED


def test_typos_are_there_by_their_names() -> None:
    graph = defs.resolve_asset_graph()
    names = {
        *("interactions", "training_pairs", "quarantine", "base_model", "finetuned_model", "evaluation"),
        *("promotion", "published_model", "release", "run_summary", "bias_report"),
    }
    assert {each.path[1] for each in graph.get_all_asset_keys() if each.path[0] == "typos"} == names
    for name in names:
        node = graph.get(dg.AssetKey(["typos", name]))
        assert node.group_name == "typos"
        assert node.description
        assert node.owners
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
        assert node.partitions_def.name == "typos_versions"
