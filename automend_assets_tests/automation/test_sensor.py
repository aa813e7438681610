"""Automatic materialisation: what the sensor would request for the real graph, tick by tick, and running that."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from automend_assets.definitions import build_defs
from automend_assets.storage.io_managers import JsonIOManager, JsonLinesIOManager, ParquetIOManager
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.versions.partitions import register
from automend_assets_tests.datasets.glaive.rows import generated, write
from automend_assets_tests.workplace import ASSETS, Workplace

FORMS = {"chatml", "tool_messages", "bias_report", "balanced_chatml"}


class Automation:
    """The daemon's work by hand: evaluates the conditions of the graph and runs what they request."""

    def __init__(self, workplace: Workplace, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self._workplace = workplace
        self._cursor: dg.AssetDaemonCursor | None = None
        store = StoreResource(url=workplace.environment["AUTOMEND_STORE"])
        self._defs = build_defs(
            {
                "store": store,
                "ledger": LedgerResource(url=workplace.environment["AUTOMEND_LEDGER"]),
                "parquet_io": ParquetIOManager(store=store),
                "jsonl_io": JsonLinesIOManager(store=store),
                "json_io": JsonIOManager(store=store),
            }
        )

    def cut(self, *options: str) -> str:
        version = self._workplace.cut(*options)
        register(self.instance, self._workplace.ledger, "glaive")
        return version

    def requests(self) -> dict[str, set[str]]:
        """Names of the assets that are requested now, by version."""
        outcome = dg.evaluate_automation_conditions(self._defs, self.instance, cursor=self._cursor)
        self._cursor = outcome.cursor
        requested: dict[str, set[str]] = {}
        for name in ASSETS:
            for version in outcome.get_requested_partitions(dg.AssetKey(["glaive", name])):
                requested.setdefault(str(version), set()).add(name)
        return requested

    def tick(self) -> dict[str, set[str]]:
        """The same; they have been run when it returns."""
        requested = self.requests()
        for version, names in requested.items():
            self.run(version, names)
        return requested

    def run(self, version: str, names: set[str]) -> None:
        """Materialise some assets with their checks, as one run."""
        selection = dg.AssetSelection.assets(*(["glaive", name] for name in sorted(names)))
        job = dg.Definitions(jobs=[dg.define_asset_job("part", selection=selection)])
        dg.Definitions.merge(self._defs, job).resolve_job_def("part").execute_in_process(
            instance=self.instance, tags={"dagster/partition": version}, raise_on_error=False
        )


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    monkeypatch.setenv("AUTOMEND_WORKERS", "1")
    return Workplace(tmp_path)


@pytest.fixture
def automation(workplace: Workplace) -> Iterator[Automation]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Automation(workplace, instance)


def test_a_version_is_made_when_it_is_cut_as_far_as_checks_let_it(
    automation: Automation, workplace: Workplace
) -> None:
    assert automation.tick() == {}
    assert automation.cut("--rows", "60") == "v0001"
    bad = write(workplace.folder / "bad.json", [{"system": "and no chat"}] * 80 + generated(60))
    assert automation.cut("--source", "file", "--path", str(bad)) == "v0002"

    first = {"raw_sample", "processed_records", "quarantine"}
    assert automation.tick() == {"v0001": first, "v0002": first}
    assert workplace.artifacts("v0002").keys() == {"manifest.json"} | {f"{name}.parquet" for name in first}
    # Nothing of v0002 from here on: too few of its rows can be used.
    assert automation.tick() == {"v0001": FORMS}
    assert automation.tick() == {"v0001": {"run_summary", "release"}}
    assert automation.tick() == {}
    for name in ASSETS:
        versions = automation.instance.get_materialized_partitions(dg.AssetKey(["glaive", name]))
        assert versions == ({"v0001", "v0002"} if name in first else {"v0001"})

    # A person makes the records of v0001 anew: what hangs on them follows.
    automation.run("v0001", {"processed_records", "quarantine"})
    assert automation.requests() == {"v0001": {*FORMS, "run_summary", "release"}}
