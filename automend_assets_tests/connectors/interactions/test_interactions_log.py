"""Reading corrections by ranges: the same from every backend, nothing cut short, nothing changed unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from automend_assets.connectors.interactions.log import (
    INTERACTIONS_SCHEMA,
    Correction,
    InteractionLog,
    InteractionsChanged,
    fingerprint,
)
from automend_assets.connectors.interactions.postgres import PostgresLog
from automend_assets.connectors.interactions.supabase import SupabaseLog
from automend_assets_tests.connectors.interactions.conftest import Backend
from automend_assets_tests.servers.gateway import SupabaseGateway
from automend_assets_tests.servers.postgrest import PostgrestServer

HOSTILE = [
    Correction("NA", "null", "brand"),
    Correction("x'); DROP TABLE t; --", "%s {} $1", "model"),
    Correction("ตัวอย่าง\t日本", "é\N{COMBINING ACUTE ACCENT}", "brand"),
    Correction("", " ", ""),
]


def corrections(number: int) -> list[Correction]:
    return [Correction(f"typo {i}", f"corrected {i}", "model") for i in range(number)]


@pytest.fixture
def log(backend: Backend) -> Iterator[InteractionLog]:
    with backend.open() as opened:
        yield opened


def test_rows_come_back_as_they_were_added(log: InteractionLog) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    log.add(HOSTILE)
    (frame,) = log.batches(0, 100)
    assert frame.schema == INTERACTIONS_SCHEMA
    assert frame["id"].to_list() == [1, 2, 3, 4]
    assert [Correction(*row) for row in frame.select("typo", "corrected", "domain").iter_rows()] == HOSTILE
    assert frame["created_at"].is_between(before, datetime.now(UTC)).all()


def test_a_range_is_read_whole_though_the_server_answers_with_less_than_was_asked_for(
    log: InteractionLog, backend: Backend
) -> None:
    # PostgREST is set to 7 rows per answer and is asked for 1,000.
    log.page_rows = 1_000 if backend.name == "supabase" else 7
    log.add(corrections(30))
    batches = list(log.batches(3, 25))
    assert [batch.height for batch in batches] == [7, 7, 7, 1]
    assert pl.concat(batches)["id"].to_list() == list(range(4, 26))


def test_the_backlog_is_what_is_new_and_never_more_than_asked_for(log: InteractionLog) -> None:
    log.add(corrections(20))
    all_of_it = log.backlog(0, 100)
    assert (all_of_it.lo, all_of_it.hi, all_of_it.rows, all_of_it.full) == (0, 20, 20, False)
    assert all_of_it.oldest is not None
    assert datetime.now(UTC) - all_of_it.oldest < timedelta(minutes=1)
    bounded = log.backlog(4, 10)
    assert (bounded.lo, bounded.hi, bounded.rows, bounded.full) == (4, 14, 10, True)
    nothing = log.backlog(20, 10)
    assert (nothing.lo, nothing.hi, nothing.rows, nothing.waiting) == (20, 20, 0, None)


def test_gaps_of_rows_that_were_rolled_back_or_deleted_are_no_end(
    log: InteractionLog, backend: Backend
) -> None:
    log.add(corrections(30))
    backend.execute("DELETE FROM typo_training_dataset WHERE id BETWEEN 5 AND 24 OR id = 30")
    assert pl.concat(log.batches(0, 30))["id"].to_list() == [1, 2, 3, 4, 25, 26, 27, 28, 29]
    assert log.backlog(0, 6).hi == 26
    assert log.backlog(10, 100).rows == 5


def test_ids_are_not_given_twice(log: InteractionLog, backend: Backend) -> None:
    log.add(corrections(3))
    backend.execute("DELETE FROM typo_training_dataset")
    log.add(corrections(1))
    assert log.backlog(3, 10).rows == 1


def test_a_pinned_range_is_read_again_as_it_was_or_not_at_all(log: InteractionLog, backend: Backend) -> None:
    log.add(corrections(20))
    source = log.pin(0, 12)
    assert (source.lo, source.hi, source.rows) == (0, 12, 12)
    log.add(corrections(5))
    assert pl.concat(log.pinned(source)).height == 12
    backend.execute("UPDATE typo_training_dataset SET corrected = 'another' WHERE id = 3")
    with pytest.raises(InteractionsChanged, match=r"0 < id <= 12 .* 12 then and 12 now"):
        list(log.pinned(source))
    backend.execute("DELETE FROM typo_training_dataset WHERE id = 3")
    with pytest.raises(InteractionsChanged, match="12 then and 11 now"):
        list(log.pinned(source))


def test_a_range_of_another_table_is_not_read_from_this_one(log: InteractionLog) -> None:
    log.add(corrections(1))
    source = log.pin(0, 1).model_copy(update={"table": "other.table"})
    with pytest.raises(InteractionsChanged, match=r"other\.table.*SUPABASE_DB_URL"):
        next(log.pinned(source))


def test_the_fingerprint_is_that_of_the_rows_and_not_of_their_batches() -> None:
    rows = pl.DataFrame(
        {
            "id": [1, 2, 3],
            "typo": ["a", "b", None],
            "corrected": ["A", "B", "C"],
            "domain": ["brand"] * 3,
            "created_at": [datetime(2026, 1, 1, tzinfo=UTC), None, None],
        },
        schema=INTERACTIONS_SCHEMA,
    )
    whole = fingerprint([rows])
    assert whole.rows == 3
    written = b'[1,"a","A","brand",1767225600000000]\n[2,"b","B","brand",null]\n[3,null,"C","brand",null]\n'
    assert whole.sha256 == hashlib.sha256(written).hexdigest()
    assert fingerprint([rows[:1], rows[1:]]) == whole
    assert fingerprint([rows.reverse()]) != whole


def test_one_table_has_one_fingerprint_over_http_and_by_url(
    supabase: SupabaseGateway, postgrest: PostgrestServer
) -> None:
    with (
        SupabaseLog(supabase.url, supabase.service_key, is_service_key=True) as over_http,
        PostgresLog(postgrest.database_url) as by_url,
    ):
        over_http.add(HOSTILE)
        assert over_http.pin(0, 4) == by_url.pin(0, 4)
