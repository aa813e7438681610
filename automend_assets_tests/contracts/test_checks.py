"""Checks in a real Dagster instance: what they block, what they remember, what they tell."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from automend_assets.connectors.slack import SlackResource
from automend_assets.contracts.checks import (
    RECONCILIATION,
    contract_checks,
    reconciliation_check,
    table_schema,
    when_checked,
)
from automend_assets.datasets.glaive.contract import CONTRACT
from automend_assets.storage.quarantine import Reconciliation, reconcile
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.storage.store import Store
from automend_assets.versions.manifest import Manifest, SampleSource
from automend_assets.versions.partitions import register, versions_of
from automend_assets_tests.contracts.frames import processed_records
from automend_assets_tests.servers.slack import SlackServer

ROWS = 200
KEY = dg.AssetKey(["glaive", "processed_records"])
VERSIONS = versions_of("glaive")
ASSETS = ("raw_sample", "processed_records", "chatml", "release")
Break = Callable[[pl.DataFrame], pl.DataFrame]


class House:
    """A small graph with the contract's checks on real storage; `broken` says how a version's records come out."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, slack: SlackServer) -> None:
        self.instance = instance
        self.slack = slack
        self.broken: dict[str, Break] = {}
        self.ran: list[tuple[str, str]] = []
        self.cursor: dg.AssetDaemonCursor | None = None
        self.store = StoreResource(url=str(folder / "store"))
        self.ledger = LedgerResource(url=f"sqlite:///{folder / 'ledger.db'}")
        self.defs = self._defs()

    def cut(self, rows: int | None = ROWS) -> str:
        ledger = self.ledger.get()
        seed = len(ledger.keys("glaive"))
        manifest = Manifest(
            dataset="glaive",
            source=SampleSource(sha256="0" * 64, bytes=1),
            rows=rows,
            seed=seed,
            shuffle_buffer=10,
        )
        key = ledger.cut(manifest).key
        register(self.instance, ledger, "glaive")
        return key

    def build(self, key: str | None, part: dg.AssetSelection | None = None) -> dg.ExecuteInProcessResult:
        """Run the graph or a part of it, for a version or (which is a mistake) for none."""
        defs = self.defs if part is None else self._defs(part)
        # The tag and not `partition_key`, which Dagster 1.13 refuses for a job of checks alone.
        return defs.resolve_job_def("build").execute_in_process(
            instance=self.instance,
            tags={"dagster/partition": key} if key else {},
            raise_on_error=False,
        )

    def tick(self) -> dict[str, set[str]]:
        """What automation requests now, run as its daemon does: a version at a time, with the assets' checks."""
        outcome = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = outcome.cursor
        requested: dict[str, set[str]] = {}
        for name in ASSETS:
            for key in outcome.get_requested_partitions(dg.AssetKey(["glaive", name])):
                requested.setdefault(str(key), set()).add(name)
        for key, names in requested.items():
            self.build(key, dg.AssetSelection.assets(*(["glaive", name] for name in sorted(names))))
        return requested

    def _defs(self, part: dg.AssetSelection | None = None) -> dg.Definitions:
        def write(store: Store, key: str, name: str, frame: pl.DataFrame) -> None:
            with store.write("glaive", key, f"{name}.parquet") as file:
                frame.write_parquet(file)

        def made(context: dg.AssetExecutionContext, name: str, frame: pl.DataFrame) -> None:
            write(self.store.get(), context.partition_key, name, frame)
            self.ran.append((name, context.partition_key))

        def read(context: dg.AssetExecutionContext, name: str) -> pl.DataFrame:
            return self.store.get().scan_parquet("glaive", context.partition_key, f"{name}.parquet").collect()

        asset: dict[str, Any] = {
            "key_prefix": "glaive",
            "partitions_def": VERSIONS,
            "automation_condition": when_checked(),
        }

        @dg.asset(**asset)
        def raw_sample(context: dg.AssetExecutionContext) -> None:
            made(context, "raw_sample", processed_records(ROWS).select("row_number", "system", "chat"))

        @dg.asset(**asset, deps=[raw_sample])
        def processed_records_(context: dg.AssetExecutionContext) -> None:
            break_it = self.broken.get(context.partition_key, lambda frame: frame)
            made(context, "processed_records", break_it(processed_records(ROWS)))

        processed = processed_records_.with_attributes(
            asset_key_replacements={dg.AssetKey(["glaive", "processed_records_"]): KEY}
        )

        @dg.asset(**asset, deps=[KEY])
        def chatml(context: dg.AssetExecutionContext) -> None:
            made(context, "chatml", read(context, "processed_records"))

        @dg.asset(**asset, deps=[chatml])
        def release(context: dg.AssetExecutionContext) -> None:
            made(context, "release", read(context, "chatml"))

        def account(store: Store, version: str) -> Reconciliation:
            def rows(name: str) -> int:
                return store.scan_parquet("glaive", version, name).select(pl.len()).collect().item()

            return reconcile(rows("raw_sample.parquet"), rows("processed_records.parquet"), 0)

        def chat_account(store: Store, version: str) -> Reconciliation:
            return reconcile(ROWS, ROWS - 1 if "chatml" in self.broken else ROWS, 0)

        return dg.Definitions(
            assets=[raw_sample, processed, chatml, release],
            asset_checks=[
                contract_checks(CONTRACT, VERSIONS, reconcile=account),
                reconciliation_check("glaive", "chatml", VERSIONS, chat_account),
            ],
            resources={
                "store": self.store,
                "ledger": self.ledger,
                "slack": SlackResource(bot_token="xoxb-1", channel="#data", base_url=self.slack.base_url),
            },
            jobs=[dg.define_asset_job("build", selection=part or dg.AssetSelection.all())],
        )


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def house(tmp_path: Path, slack: SlackServer) -> Iterator[House]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield House(tmp_path, instance, slack)


def short_chat(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(
        chat=pl.when(pl.col("row_number") == 7).then(pl.lit("USER: x")).otherwise("chat")
    )


def all_none(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(complexity_tier=pl.lit("none"), num_calls=pl.lit(0, dtype=pl.Int64))


def test_all_checks_run_in_one_step_and_pass(house: House) -> None:
    key = house.cut()
    result = house.build(key)
    assert result.success
    evaluations = result.get_asset_check_evaluations()
    assert len(evaluations) == 30 + 6 + 1 + 1 + 1
    assert [evaluation.check_name for evaluation in evaluations if not evaluation.passed] == []
    assert {event.step_key for event in result.all_node_events if event.is_successful_output} >= {
        "glaive_processed_records_checks"
    }
    assert house.slack.messages == []


def test_a_failing_schema_check_stops_everything_downstream(house: House) -> None:
    good, bad = house.cut(), house.cut()
    house.broken[bad] = short_chat
    assert house.build(good).success
    house.ran.clear()
    result = house.build(bad)
    assert not result.success
    assert house.ran == [("raw_sample", bad), ("processed_records", bad)]
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [e.check_name for e in failed] == ["chat_long_enough"]
    # Everything that could be found out was, so that a second run is not needed to see the next failure.
    assert len(result.get_asset_check_evaluations()) == 38
    samples = failed[0].metadata["failing_rows"]
    assert isinstance(samples, dg.TableMetadataValue)
    assert [record.data for record in samples.records] == [{"row_number": 7, "value": "USER: x"}]
    assert failed[0].metadata["unexpected_rows"].value == 1


def test_history_keeps_the_version_of_every_evaluation(
    tmp_path: Path, instance: dg.DagsterInstance, slack: SlackServer
) -> None:
    house = House(tmp_path, instance, slack)
    good, bad = house.cut(), house.cut()
    house.broken[bad] = short_chat
    house.build(good)
    house.build(bad)
    history = house.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(KEY, "chat_long_enough"), limit=10
    )
    assert [(record.partition, record.status.value) for record in history] == [
        (bad, "FAILED"),
        (good, "SUCCEEDED"),
    ]


def test_a_failing_reconciliation_stops_everything_downstream(house: House) -> None:
    key = house.cut()
    house.broken[key] = lambda frame: frame.head(ROWS - 1)
    result = house.build(key)
    assert house.ran == [("raw_sample", key), ("processed_records", key)]
    failed = {e.check_name: e for e in result.get_asset_check_evaluations() if not e.passed}
    assert list(failed) == [RECONCILIATION]
    assert "1 rows missing" in (failed[RECONCILIATION].description or "")


def test_a_failing_reconciliation_of_an_asset_without_contract_stops_what_follows(house: House) -> None:
    key = house.cut()
    house.broken["chatml"] = lambda frame: frame
    house.build(key)
    assert ("chatml", key) in house.ran
    assert ("release", key) not in house.ran


def test_anomalies_warn_alert_and_let_the_run_go_on(house: House) -> None:
    key = house.cut()
    house.broken[key] = all_none
    result = house.build(key)
    assert result.success
    assert ("release", key) in house.ran
    failed = [e for e in result.get_asset_check_evaluations() if not e.passed]
    assert [(e.check_name, e.severity) for e in failed] == [("no_call_rate", dg.AssetCheckSeverity.WARN)]
    assert failed[0].metadata["alert"].value == "sent to Slack"
    assert failed[0].metadata["observed"].value == 1.0
    (message,) = house.slack.messages
    for part in ("glaive v0001", "no_call_rate", "Observed: 1", "at most 0.6", "Recommendation: Check that"):
        assert part in message["text"]


def test_slack_refusing_an_alert_does_not_fail_the_run(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    key = house.cut()
    house.broken[key] = all_none
    house.slack.faults = ["not_ok"] * 5
    with caplog.at_level(logging.CRITICAL):
        result = house.build(key)
    assert result.success
    critical = [
        entry.user_message
        for entry in house.instance.all_logs(result.run_id)
        if entry.level == logging.CRITICAL
    ]
    assert len(critical) == 1
    assert "no_call_rate" in critical[0]
    assert "channel_not_found" in critical[0]


def test_row_bounds_follow_what_the_source_had(house: House) -> None:
    """A source of 200 rows is in order when 5,000 were asked for: it has no more."""
    key = house.cut(rows=5_000)
    assert house.build(key).success


def test_a_missing_column_fails_its_checks_and_says_so(house: House) -> None:
    key = house.cut()
    house.broken[key] = lambda frame: frame.drop("complexity_tier")
    result = house.build(key)
    failed = {e.check_name: e for e in result.get_asset_check_evaluations() if not e.passed}
    assert sorted(failed) == [
        "complexity_tier_exists",
        "complexity_tier_in_set",
        "complexity_tier_not_null",
        "no_call_rate",
    ]
    assert "'complexity_tier' is missing" in (failed["complexity_tier_in_set"].description or "")


def test_single_checks_can_be_run(house: House) -> None:
    key = house.cut()
    house.build(key)
    chosen = dg.AssetSelection.checks(
        dg.AssetCheckKey(KEY, "mean_turns"), dg.AssetCheckKey(KEY, "chat_exists")
    )
    result = house.build(key, chosen)
    assert {e.check_name for e in result.get_asset_check_evaluations()} == {"mean_turns", "chat_exists"}


def test_automation_requests_nothing_behind_a_failed_blocking_check(house: House) -> None:
    """Under automation every asset is a run of its own, where blocking inside a run does not help."""
    assert house.tick() == {}
    good, bad = house.cut(), house.cut()
    house.broken[bad] = short_chat
    assert house.tick() == {key: {"raw_sample", "processed_records"} for key in (good, bad)}
    assert house.tick() == {good: {"chatml"}}
    assert house.tick() == {good: {"release"}}
    assert house.tick() == {}

    del house.broken[bad]
    house.build(bad, dg.AssetSelection.assets(KEY))
    assert house.tick() == {bad: {"chatml"}}
    assert house.tick() == {bad: {"release"}}


def test_a_run_without_a_version_says_what_is_missing(house: House) -> None:
    house.build(house.cut())
    result = house.build(None, dg.AssetSelection.checks(dg.AssetCheckKey(KEY, "mean_turns")))
    failures = [event for event in result.all_node_events if event.is_step_failure]
    assert "dagster/partition" in failures[0].step_failure_data.error.to_string()


def test_the_table_schema_has_every_column_with_its_meaning() -> None:
    schema = table_schema(CONTRACT)
    assert [column.name for column in schema.columns] == [column.name for column in CONTRACT.columns]
    by_name = {column.name: column for column in schema.columns}
    assert by_name["num_turns"].type == "Int64"
    assert not by_name["num_turns"].constraints.nullable
    assert all(column.description for column in schema.columns)
