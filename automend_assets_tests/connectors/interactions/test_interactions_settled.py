"""Which rows are settled, while others write: on a real Postgres, and over HTTP by the margin of time."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from automend_assets.connectors.interactions.log import Correction, InteractionLog
from automend_assets.connectors.interactions.postgres import PostgresLog
from automend_assets.connectors.interactions.supabase import SupabaseLog
from automend_assets_tests.connectors.interactions.conftest import DDL, executor
from automend_assets_tests.servers.gateway import SupabaseGateway
from automend_assets_tests.servers.postgrest import PostgrestServer

INSERT = "INSERT INTO typo_training_dataset (typo, corrected, domain) VALUES ('a', 'b', 'model') RETURNING id"
WRITERS = 6
ROWS_OF_A_WRITER = 40


@pytest.fixture
def url(postgres_url: str) -> str:
    executor(postgres_url)(DDL)
    return postgres_url


@contextmanager
def transaction(url: str) -> Iterator[Any]:
    """A cursor in an open transaction; it is committed at the end."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        yield cursor


def insert(cursor: Any) -> int:
    cursor.execute(INSERT)
    found: int = cursor.fetchone()[0]
    return found


def test_a_row_with_a_higher_id_waits_for_an_open_transaction_with_a_lower_one(url: str) -> None:
    with PostgresLog(url, wait_seconds=0.1) as log:
        with transaction(url) as early:
            assert insert(early) == 1
            with transaction(url) as late:
                assert insert(late) == 2
            # Row 2 can be seen and row 1 cannot: whoever cuts up to 2 now loses row 1.
            assert [batch["id"].to_list() for batch in log.batches(0, 10)] == [[2]]
            seen = log.backlog(0, 10)
            assert (seen.rows, seen.hi) == (0, 0)
            assert seen.waiting is not None
            assert str(early.connection.info.backend_pid) in seen.waiting
        seen = log.backlog(0, 10)
    assert (seen.rows, seen.hi, seen.waiting) == (2, 2, None)


def test_a_transaction_that_draws_its_second_id_late_is_waited_for(url: str) -> None:
    # Its number is lower than that of every row that is visible, and a snapshot's xmin would let id 2 pass.
    with PostgresLog(url, wait_seconds=0.1) as log, transaction(url) as old:
        assert insert(old) == 1
        with transaction(url) as young:
            insert(young)
        assert insert(old) == 3
        with transaction(url) as young:
            insert(young)
        assert log.backlog(0, 10).rows == 0


def test_who_only_reads_or_is_gone_is_not_waited_for(url: str) -> None:
    with PostgresLog(url, wait_seconds=0.1) as log, transaction(url) as reader:
        with transaction(url) as writer:
            insert(writer)
        with transaction(url) as writer:
            insert(writer)
            writer.connection.rollback()
        reader.execute("SELECT count(*) FROM typo_training_dataset")
        seen = log.backlog(0, 10)
    assert (seen.rows, seen.hi, seen.waiting) == (1, 1, None)


def write(url: str, seed: int) -> None:
    """Transactions of one to three rows, some of them long, some rolled back: ids are committed out of order."""
    draw = random.Random(seed)  # noqa: S311
    with closing(psycopg2.connect(url)) as connection:
        rows = 0
        while rows < ROWS_OF_A_WRITER:
            with connection.cursor() as cursor:
                for _ in range(draw.randint(1, 3)):
                    insert(cursor)
                    rows += 1
                    time.sleep(draw.random() * 0.01)
                time.sleep(0.08 if draw.random() < 0.1 else 0)
            if draw.random() < 0.15:
                connection.rollback()
            else:
                connection.commit()


def test_every_row_of_concurrent_writers_is_read_in_exactly_one_range(url: str) -> None:
    writers = [threading.Thread(target=write, args=(url, seed)) for seed in range(WRITERS)]
    for writer in writers:
        writer.start()
    settled: list[int] = []
    visible: list[int] = []
    lo = newest = 0
    with PostgresLog(url, wait_seconds=5) as log, transaction(url) as naive:
        naive.connection.autocommit = True
        while True:
            last_look = not any(writer.is_alive() for writer in writers)
            # What a reader without the wait takes: everything visible above the highest id that it has seen.
            naive.execute("SELECT id FROM typo_training_dataset WHERE id > %s ORDER BY id", (newest,))
            visible += [row[0] for row in naive.fetchall()]
            newest = max([newest, *visible])

            seen = log.backlog(lo, 1_000)
            for batch in log.batches(seen.lo, seen.hi):
                settled += batch["id"].to_list()
            lo = seen.hi
            if last_look:
                break
        naive.execute("SELECT id FROM typo_training_dataset ORDER BY id")
        everything = [row[0] for row in naive.fetchall()]
    for writer in writers:
        writer.join()
    assert len(everything) > WRITERS * ROWS_OF_A_WRITER / 2
    assert settled == everything
    assert set(visible) < set(everything), "no row came late, so this showed nothing"


def settling(supabase: SupabaseGateway, now: datetime | None = None) -> InteractionLog:
    return SupabaseLog(
        supabase.url,
        supabase.service_key,
        is_service_key=True,
        settle_seconds=60,
        now=lambda: now or datetime.now(UTC),
    )


def test_over_http_rows_younger_than_the_margin_wait(
    supabase: SupabaseGateway, postgrest: PostgrestServer
) -> None:
    later = datetime.now(UTC) + timedelta(seconds=90)
    with settling(supabase) as log, transaction(postgrest.database_url) as early:
        insert(early)
        log.add([Correction("a", "b", "model")])
        seen = log.backlog(0, 10)
        assert (seen.rows, seen.hi) == (0, 0)
        assert seen.waiting == "its newest rows came in less than 60 s ago"
    with settling(supabase, later) as log:
        seen = log.backlog(0, 10)
        assert (seen.rows, seen.hi, seen.waiting) == (2, 2, None)


def test_over_http_a_settled_row_settles_those_below_it(
    supabase: SupabaseGateway, postgrest: PostgrestServer
) -> None:
    with settling(supabase) as log:
        log.add([Correction("a", "b", "model")] * 5)
        postgrest.execute(
            "UPDATE typo_training_dataset SET created_at = created_at - interval '2 minutes' WHERE id IN (1, 3)"
        )
        assert log.backlog(0, 10).hi == 3
        assert log.backlog(3, 10).waiting is not None
