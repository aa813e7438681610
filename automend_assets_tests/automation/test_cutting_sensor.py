"""Versions of a log that are cut by themselves: the decision, and that every row is in exactly one version."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from automend_assets.automation.cutting_sensor import (
    Cut,
    Cutting,
    CuttingRules,
    Skip,
    cutting_schedule,
    cutting_sensor,
    decide,
)
from automend_assets.connectors.hub import HubResource
from automend_assets.connectors.interactions.log import Backlog, Correction, InteractionsUnavailable
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.connectors.interactions.sqlite import SqliteLog
from automend_assets.storage.resources import LedgerResource, StoreResource
from automend_assets.versions.ledger import Ledger
from automend_assets.versions.manifest import LogSource, SampleSource
from automend_assets.versions.partitions import versions_of
from automend_assets_tests.automation.tick_worker import look, plan

WORKER = Path(__file__).with_name("tick_worker.py")
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RULES = CuttingRules(min_rows=100, max_age=timedelta(hours=24), max_rows=1_000)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("seen", "decision"),
    [
        (Backlog(5, 105, 100, NOW), Cut(5, 105)),
        (Backlog(5, 300, 99, NOW - 24 * HOUR), Cut(5, 300)),
        (Backlog(5, 6, 1, NOW - 48 * HOUR), Cut(5, 6)),
        (Backlog(0, 1_000, 1_000, NOW, full=True), Cut(0, 1_000)),
        # Rows without a time are cut by their number alone.
        (Backlog(5, 105, 100), Cut(5, 105)),
        # What is settled is cut, whatever later rows wait for.
        (Backlog(5, 105, 100, NOW, waiting="somebody writes"), Cut(5, 105)),
        (
            Backlog(5, 104, 99, NOW - 23 * HOUR),
            Skip("99 of 100 new rows after id 5, the oldest waiting for 23.0 h of 24.0 h"),
        ),
        (Backlog(5, 104, 99), Skip("99 of 100 new rows after id 5, the oldest waiting for 0.0 h of 24.0 h")),
        (Backlog(5, 5, 0), Skip("No settled new rows after id 5")),
        (
            Backlog(5, 5, 0, waiting="somebody writes"),
            Skip("No settled new rows after id 5; later rows are not settled: somebody writes"),
        ),
        (
            InteractionsUnavailable("The server is down."),
            Skip("The log could not be read, so nothing is known about new rows. The server is down."),
        ),
    ],
)
def test_the_decision(seen: Backlog | InteractionsUnavailable, decision: Cut | Skip) -> None:
    assert decide(seen, RULES, NOW) == decision


def test_more_rows_than_one_version_takes_are_enough_for_one() -> None:
    rules = CuttingRules(min_rows=500, max_rows=50)
    assert decide(Backlog(0, 50, 50, NOW, full=True), rules, NOW) == Cut(0, 50)


class Place:
    """A log, a ledger and a store, as arguments of `look` and of a worker process."""

    def __init__(self, folder: Path, ledger_url: str) -> None:
        self.log = folder / "log.sqlite"
        self.ledger_url = ledger_url
        self.store = str(folder / "store")
        self.ledger = Ledger(ledger_url)

    @property
    def arguments(self) -> tuple[str, str, str]:
        return self.ledger_url, str(self.log), self.store

    def add(self, rows: int) -> None:
        with SqliteLog(self.log) as log:
            log.add([Correction("hinda", "Honda", "brand")] * rows)

    def start(self, mode: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, WORKER, *self.arguments, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ranges(self) -> list[tuple[int, int]]:
        sources = [version.manifest.source for version in self.ledger.versions("typos")]
        return [(source.lo, source.hi) for source in sources if isinstance(source, LogSource)]

    def ids(self) -> list[int]:
        """The ids of every version's rows, version by version."""
        with SqliteLog(self.log) as log:
            return [
                row
                for version in self.ledger.versions("typos")
                if isinstance(version.manifest.source, LogSource)
                for batch in log.pinned(version.manifest.source)
                for row in batch["id"]
            ]


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "postgres":
        return Place(tmp_path, request.getfixturevalue("postgres_url"))
    return Place(tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def offline(tmp_path: Path) -> Place:
    return Place(tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}")


def test_a_backlog_is_taken_in_bounded_versions(offline: Place) -> None:
    offline.add(17)
    keys = [look(*offline.arguments).version for _ in range(4)]
    assert [version and version.key for version in keys] == ["v0001", "v0002", "v0003", None]
    assert offline.ranges() == [(0, 7), (7, 14), (14, 17)]
    assert offline.ids() == list(range(1, 18))
    assert look(*offline.arguments).reason == "No settled new rows after id 17"


def test_a_log_or_ledger_that_cannot_be_read_is_a_reason(offline: Place, tmp_path: Path) -> None:
    assert "There are no interactions yet" in look(*offline.arguments).reason
    offline.add(1)
    no_ledger = f"sqlite:///{tmp_path}"
    assert "AUTOMEND_LEDGER" in look(no_ledger, *offline.arguments[1:]).reason
    Path(offline.store).write_text("a file where a folder should be")
    assert look(*offline.arguments).reason.startswith("The rows 0 < id <= 1 were not cut. ")


def test_processes_that_look_at_once_put_each_row_into_one_version(place: Place) -> None:
    place.add(10)
    workers = [place.start("race") for _ in range(3)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    # One by one, so that two who look at once see different ends of the same range.
    added, deadline = 0, time.monotonic() + 60
    while added < 100 or not Path(f"{place.log}.late").exists():
        assert time.monotonic() < deadline, "nobody gets in anybody's way, so this shows nothing"
        place.add(1)
        added += 1
    Path(f"{place.log}.done").touch()
    told = [worker.communicate(timeout=60)[0].split("\n") for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert place.ids() == list(range(1, 11 + added))
    cut = [line for lines in told for line in lines if line.startswith("cut")]
    assert len(cut) >= len(place.ranges()), "a version that nobody was told about"


@pytest.mark.parametrize(("point", "survives"), [("commit", []), ("copy", ["v0001"])])
def test_a_process_that_dies_loses_and_doubles_nothing(place: Place, point: str, survives: list[str]) -> None:
    place.add(10)
    place.ledger.cut(plan(SampleSource(sha256="5" * 64, bytes=1)).model_copy(update={"dataset": "other"}))
    worker = place.start(point)
    assert worker.communicate(timeout=60)[0] == ""
    assert worker.returncode == 9
    assert place.ledger.keys("typos") == survives
    while look(*place.arguments).version is not None:
        pass
    assert place.ids() == list(range(1, 11))
    assert place.ranges() == [(0, 7), (7, 10)]


class Tick:
    """The sensor on a real instance, and what Dagster's daemon does with the result of a tick."""

    def __init__(self, place: Place, instance: dg.DagsterInstance, rules: CuttingRules) -> None:
        partitions = versions_of("typos")

        @dg.asset(key=["typos", "interactions"], partitions_def=partitions)
        def interactions() -> None: ...

        self.instance = instance
        self.job = dg.define_asset_job("typos_build", [interactions])
        self.cutting = Cutting("typos", self.job, lambda source, _around: plan(source), rules)
        self.sensor = cutting_sensor(self.cutting)
        self.schedule = cutting_schedule(self.cutting)
        self.resources = {
            "interactions": InteractionsResource(path=str(place.log)),
            "ledger": LedgerResource(url=place.ledger_url),
            "store": StoreResource(url=place.store),
            "hub": HubResource(),
        }
        self.defs = dg.Definitions(
            assets=[interactions],
            jobs=[self.job],
            sensors=[self.sensor],
            schedules=[self.schedule],
            resources=self.resources,
        )
        self.cursor: str | None = None

    def evaluate(self) -> dg.SensorExecutionData:
        # As Dagster's own server builds it: only with a reference to the instance are partition keys checked.
        context = dg.SensorEvaluationContext(
            instance_ref=self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursor,
            repository_name=None,
            repository_def=self.defs.get_repository_def(),
            sensor_name=self.sensor.name,
            resources=self.resources,
        )
        with context:
            return self.sensor.evaluate_tick(context)


@pytest.fixture
def tick(offline: Place, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> Tick:
    for name in ("SUPABASE_URL", "SUPABASE_DB_URL"):
        monkeypatch.delenv(name, raising=False)
    return Tick(offline, instance, CuttingRules(min_rows=3, max_rows=7))


def launched(data: dg.SensorExecutionData) -> list[tuple[str | None, str | None]]:
    return [(request.run_key, request.partition_key) for request in data.run_requests or []]


def test_a_tick_cuts_adds_the_partition_and_launches(tick: Tick, offline: Place) -> None:
    waiting = tick.evaluate()
    assert "There are no interactions yet" in (waiting.skip_message or "")
    offline.add(2)
    waiting = tick.evaluate()
    assert (waiting.skip_message or "").startswith("2 of 3 new rows after id 0")
    assert waiting.run_requests == []
    offline.add(1)
    found = tick.evaluate()
    assert launched(found) == [("typos-v0001", "v0001")]
    (added,) = found.dynamic_partitions_requests or []
    assert (added.partitions_def_name, list(added.partition_keys)) == ("typos_versions", ["v0001"])
    assert found.cursor == "1"


def test_a_tick_that_was_interrupted_is_made_up_for_by_the_next(tick: Tick, offline: Place) -> None:
    offline.add(3)
    lost = tick.evaluate()  # the daemon dies before it stores this: same cursor, no partition, no run
    offline.add(1)
    again = tick.evaluate()
    assert launched(again) == launched(lost) == [("typos-v0001", "v0001")]
    assert again.dynamic_partitions_requests
    tick.cursor = again.cursor
    assert launched(tick.evaluate()) == []
    offline.add(5)
    # Cut by the next tick, which skips nothing and asks for the new one only.
    assert launched(tick.evaluate()) == [("typos-v0002", "v0002")]
    assert offline.ids() == list(range(1, 10))


def test_versions_of_other_sources_are_not_launched_and_passed_once(tick: Tick, offline: Place) -> None:
    offline.ledger.cut(plan(LogSource(table="main.other", lo=0, hi=1, rows=1, sha256="7" * 64)))
    sample = plan(LogSource(table="main.x", lo=0, hi=1, rows=1, sha256="7" * 64)).model_copy(
        update={"source": SampleSource(sha256="5" * 64, bytes=1)}
    )
    offline.ledger.cut(sample)
    found = tick.evaluate()
    assert launched(found) == [("typos-v0001", "v0001")]
    assert found.cursor == "2"


def test_what_the_sensor_asks_for_can_be_run_and_run_again(tick: Tick, offline: Place) -> None:
    offline.add(3)
    (request,) = tick.evaluate().run_requests or []
    tick.instance.add_dynamic_partitions("typos_versions", ["v0001"])
    for _ in range(2):
        ran = tick.defs.resolve_job_def("typos_build").execute_in_process(
            instance=tick.instance, partition_key=request.partition_key
        )
        assert ran.success


def test_every_monday_whatever_is_new_becomes_a_version(tick: Tick, offline: Place) -> None:
    assert (tick.schedule.cron_schedule, tick.schedule.default_status.value) == ("0 0 * * 1", "STOPPED")
    offline.add(1)

    def monday() -> dg.ScheduleExecutionData:
        context = dg.build_schedule_context(
            instance=tick.instance,
            resources=tick.resources,
            repository_def=tick.defs.get_repository_def(),
            scheduled_execution_time=NOW,
        )
        return tick.schedule.evaluate_tick(context)

    (request,) = monday().run_requests or []
    assert request.partition_key == "v0001"
    assert tick.instance.get_dynamic_partitions("typos_versions") == ["v0001"]
    assert monday().skip_message == "No settled new rows after id 1"


def test_ten_thousand_versions_do_not_slow_a_tick(tmp_path: Path) -> None:
    seconds = {}
    for versions in (10, 10_000):
        place = Place(tmp_path / str(versions), f"sqlite:///{tmp_path / f'{versions}.db'}")
        place.add(1)
        place.ledger.cut(log_version(1))
        rows = [
            {
                "number": number,
                "sha256": log_version(number).sha256,
                "manifest": log_version(number).canonical().decode(),
                "created_at": "2026-11-21 00:00:00",
            }
            for number in range(2, versions + 1)
        ]
        engine = sa.create_engine(place.ledger_url)
        with engine.begin() as connection:
            connection.execute(
                sa.text("INSERT INTO versions VALUES ('typos', :number, :sha256, :manifest, :created_at)"),
                rows,
            )
        engine.dispose()

        def one(place: Place = place) -> float:
            started = time.perf_counter()
            assert look(*place.arguments).reason.startswith("No settled new rows")
            return time.perf_counter() - started

        seconds[versions] = min(one() for _ in range(20))
    assert seconds[10_000] < 2 * seconds[10], seconds


def log_version(number: int):  # type: ignore[no-untyped-def]
    return plan(
        LogSource(table="main.typo_training_dataset", lo=number - 1, hi=number, rows=1, sha256="7" * 64)
    )
