"""Whatever goes wrong with the table is one clear error of the right kind, and never an empty answer."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy as sa

from automend_assets.connectors.interactions.log import (
    Correction,
    InteractionLog,
    InteractionsColumnMissing,
    InteractionsForbidden,
    InteractionsKeyInvalid,
    InteractionsMisconfigured,
    InteractionsRefused,
    InteractionsTableMissing,
    InteractionsUnavailable,
)
from automend_assets.connectors.interactions.postgres import PostgresLog
from automend_assets.connectors.interactions.resource import InteractionsResource
from automend_assets.connectors.interactions.sqlite import SqliteLog
from automend_assets.connectors.interactions.supabase import SupabaseLog
from automend_assets.errors import PermanentError, TransientError
from automend_assets_tests.connectors.interactions.conftest import DDL, Backend, executor
from automend_assets_tests.servers.gateway import SupabaseGateway
from automend_assets_tests.servers.postgrest import PostgrestServer

CORRECTION = Correction("hinda", "Honda", "brand")
SECRET = "tops3cret"


def read(log: InteractionLog) -> None:
    with log:
        log.backlog(0, 10)
        list(log.batches(0, 10))


def over_http(gateway: SupabaseGateway, key: str | None = None) -> InteractionLog:
    return SupabaseLog(
        gateway.url, key or gateway.service_key, is_service_key=True, settle_seconds=0, retry=False
    )


def test_a_missing_table(backend: Backend) -> None:
    if backend.name != "sqlite":
        backend.execute("DROP TABLE typo_training_dataset")
        backend.execute("NOTIFY pgrst, 'reload schema'")
    with pytest.raises(InteractionsTableMissing, match=r"deploy/supabase|AUTOMEND_INTERACTIONS"):
        read(backend.open())


def test_a_missing_column(backend: Backend) -> None:
    with backend.open() as log:
        log.add([CORRECTION])
    backend.execute("ALTER TABLE typo_training_dataset RENAME COLUMN corrected TO correction")
    with pytest.raises(InteractionsColumnMissing, match=r"corrected"):
        read(backend.open())


def test_a_column_of_another_type(backend: Backend) -> None:
    with backend.open() as log:
        log.add([CORRECTION])
    if backend.name == "sqlite":
        backend.execute("UPDATE typo_training_dataset SET created_at = 'yesterday'")
    else:
        backend.execute(
            "ALTER TABLE typo_training_dataset DROP COLUMN typo, ADD COLUMN typo integer DEFAULT 3"
        )
    with pytest.raises(
        InteractionsColumnMissing, match=r"created_at is a time|holds something that is no time"
    ):
        read(backend.open())


def test_a_row_that_the_table_refuses_adds_nothing(backend: Backend) -> None:
    with backend.open() as log:
        log.add([CORRECTION])
        with pytest.raises(InteractionsRefused, match=r"refuses"):
            log.add([CORRECTION, Correction("a", None, "model")])  # type: ignore[arg-type]
        assert log.backlog(0, 10).rows == 1


@pytest.mark.parametrize("key", ["sb_secret_unknown", "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYW5vbiJ9.d3Jvbmc"])
def test_a_wrong_key_over_http(supabase: SupabaseGateway, key: str) -> None:
    with pytest.raises(InteractionsKeyInvalid, match="SUPABASE_SERVICE_KEY") as raised:
        read(over_http(supabase, key))
    assert key not in str(raised.value)


def test_a_jwt_that_the_server_did_not_sign(supabase: SupabaseGateway) -> None:
    supabase.tokens[supabase.service_key] = supabase.tokens[supabase.service_key][:-4] + "AAAA"
    with pytest.raises(InteractionsKeyInvalid, match="JWS"):
        read(over_http(supabase))


def test_the_anon_key_may_add_and_not_read(supabase: SupabaseGateway) -> None:
    resource = InteractionsResource(supabase_url=supabase.url, settle_seconds=0)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SUPABASE_SERVICE_KEY", "SUPABASE_DB_URL"):
            patch.delenv(name, raising=False)
        patch.setenv("SUPABASE_ANON_KEY", supabase.anon_key)
        log = resource.open()
    with log:
        log.add([CORRECTION])
        with pytest.raises(InteractionsForbidden, match=r"permission denied.*SUPABASE_SERVICE_KEY"):
            log.backlog(0, 10)
    with over_http(supabase) as log:
        assert log.backlog(0, 10).rows == 1


def test_the_anon_key_cannot_forge_ids_or_times(supabase: SupabaseGateway) -> None:
    log = SupabaseLog(supabase.url, supabase.anon_key, is_service_key=False)
    for forged in ({"id": 10**9}, {"created_at": "2020-01-01"}):
        with log, pytest.raises((InteractionsForbidden, InteractionsRefused)):
            log._answer(
                lambda table, row=forged: table.insert(CORRECTION._asdict() | row, returning="minimal")
            )


def test_rows_that_a_policy_hides_are_not_nothing_new(
    supabase: SupabaseGateway, postgrest: PostgrestServer
) -> None:
    # As Supabase makes tables by default: every right for anon, and no policy that shows it a row.
    postgrest.execute("GRANT ALL ON typo_training_dataset TO anon")
    with over_http(supabase) as log:
        log.add([CORRECTION])
    with (
        SupabaseLog(supabase.url, supabase.anon_key, is_service_key=False, settle_seconds=0) as log,
        pytest.raises(InteractionsForbidden, match="hides its rows"),
    ):
        log.backlog(0, 10)


@pytest.mark.parametrize("fault", [503, 500, 429, "drop", "cut"])
def test_a_server_that_fails_is_transient(supabase: SupabaseGateway, fault: int | str) -> None:
    with over_http(supabase) as log:
        log.add([CORRECTION])
        supabase.faults = [fault]
        with pytest.raises(InteractionsUnavailable) as raised:
            log.backlog(0, 10)
        assert isinstance(raised.value, TransientError)
        assert log.backlog(0, 10).rows == 1


def test_a_page_that_is_no_answer_of_supabase(supabase: SupabaseGateway) -> None:
    supabase.faults = ["html"]
    with pytest.raises((InteractionsUnavailable, InteractionsMisconfigured), match=r"SUPABASE_URL|try again"):
        read(over_http(supabase))


def test_the_client_asks_again_after_503(supabase: SupabaseGateway) -> None:
    supabase.faults = [503]
    with SupabaseLog(supabase.url, supabase.service_key, is_service_key=True, settle_seconds=0) as log:
        assert log.backlog(0, 10).rows == 0
    assert len(supabase.requests) == 3


def test_the_table_can_be_declared_again(postgres_url: str) -> None:
    execute = executor(postgres_url)
    with PostgresLog(postgres_url) as log:
        for rows in (1, 2):
            execute(DDL)
            log.add([CORRECTION])
            assert log.backlog(0, 10).rows == rows


def test_a_table_that_somebody_locks_is_transient(postgres_url: str) -> None:
    executor(postgres_url)(DDL)
    with (
        closing(psycopg2.connect(postgres_url)) as other,
        other.cursor() as cursor,
        PostgresLog(postgres_url, statement_seconds=0.1) as log,
    ):
        cursor.execute("LOCK TABLE typo_training_dataset")
        with pytest.raises(InteractionsUnavailable, match="statement timeout"):
            log.backlog(0, 10)
        other.rollback()
        assert log.backlog(0, 10).rows == 0


def test_a_server_that_went_away_is_transient_and_found_again(postgres_url: str) -> None:
    execute = executor(postgres_url)
    execute(DDL)
    with PostgresLog(postgres_url) as log:
        log.add([CORRECTION])
        execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'automend'")
        with pytest.raises(InteractionsUnavailable):
            log.backlog(0, 10)
        assert log.backlog(0, 10).rows == 1


def test_no_permission_in_postgres(postgres_url: str) -> None:
    execute = executor(postgres_url)
    execute(DDL)
    execute("DROP ROLE IF EXISTS visitor")
    execute("CREATE ROLE visitor LOGIN")
    url = sa.make_url(postgres_url).set(username="visitor")
    visitor = url.render_as_string(hide_password=False)
    with pytest.raises(InteractionsForbidden, match=r"permission denied.*automend_reader"):
        read(PostgresLog(visitor))
    execute("GRANT SELECT ON typo_training_dataset TO visitor")
    with PostgresLog(postgres_url) as owner:
        owner.add([CORRECTION])
    with pytest.raises(InteractionsForbidden, match="hides its rows"):
        read(PostgresLog(visitor))
    execute("GRANT automend_reader TO visitor")
    with PostgresLog(visitor) as log:
        assert log.backlog(0, 10).rows == 1
        with pytest.raises(InteractionsForbidden):
            log.add([CORRECTION])
    execute("DROP OWNED BY visitor")
    execute("DROP ROLE visitor")


@pytest.mark.parametrize(
    ("open_log", "error"),
    [
        (lambda url: PostgresLog(f"postgresql://me:{SECRET}@127.0.0.1:1/db"), InteractionsUnavailable),
        (lambda url: PostgresLog(url.replace("postgres:", "nobody:")), InteractionsKeyInvalid),
        (lambda url: PostgresLog(url.replace("/test_", "/missing_")), InteractionsMisconfigured),
        (lambda url: PostgresLog(f"mysql://me:{SECRET}@127.0.0.1/db"), InteractionsMisconfigured),
        (
            lambda url: SupabaseLog("http://127.0.0.1:1", SECRET, is_service_key=True, retry=False),
            InteractionsUnavailable,
        ),
        (lambda url: SupabaseLog("127.0.0.1", SECRET, is_service_key=True), InteractionsMisconfigured),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_without_its_secret(
    postgres_url: str, open_log: Callable[[str], InteractionLog], error: type[Exception]
) -> None:
    with pytest.raises(error, match=r"SUPABASE_(DB_)?URL") as raised:
        read(open_log(postgres_url))
    assert SECRET not in str(raised.value) + repr(raised.value.__cause__)


def test_a_file_that_is_no_database_or_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("something else entirely, and long enough to be a header" * 20)
    for path in (tmp_path / "text", tmp_path / "text" / "below.sqlite"):
        log = SqliteLog(path)
        with pytest.raises(PermanentError, match="AUTOMEND_INTERACTIONS"):
            read(log)
        with pytest.raises(InteractionsMisconfigured, match="AUTOMEND_INTERACTIONS"):
            log.add([CORRECTION])


def test_the_environment_says_which_backend_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SUPABASE_URL", "SUPABASE_SERVICE_KEY", "SUPABASE_ANON_KEY", "SUPABASE_DB_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AUTOMEND_INTERACTIONS", str(tmp_path / "file.sqlite"))
    with InteractionsResource().open() as log:
        log.add([CORRECTION])
        assert log.backlog(0, 10).rows == 1
    assert (tmp_path / "file.sqlite").exists()
    monkeypatch.setenv("SUPABASE_URL", "https://project.supabase.co")
    with pytest.raises(InteractionsMisconfigured, match="SUPABASE_SERVICE_KEY"):
        InteractionsResource().open()
    monkeypatch.setenv("SUPABASE_SERVICE_KEY", SECRET)
    assert isinstance(InteractionsResource().open(), SupabaseLog)
    monkeypatch.setenv("SUPABASE_DB_URL", f"postgresql://me:{SECRET}@db/postgres")
    assert isinstance(InteractionsResource().open(), PostgresLog)
    shown = repr(InteractionsResource().open()) + repr(
        InteractionsResource(supabase_key=SECRET, database_url=SECRET)
    )
    assert SECRET not in shown


def test_the_clients_are_imported_where_they_are_needed() -> None:
    code = (
        "import sys\n"
        "from automend_assets.connectors.interactions import postgres, resource, sqlite, supabase\n"
        "print(sorted({'supabase', 'psycopg2', 'sqlalchemy', 'httpx'} & sys.modules.keys()))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "[]\n"
