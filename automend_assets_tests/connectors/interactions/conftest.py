"""The table of corrections on its three backends: SQLite, a real Postgres, and a real PostgREST behind the gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from automend_assets.connectors.interactions.log import InteractionLog
from automend_assets.connectors.interactions.postgres import PostgresLog
from automend_assets.connectors.interactions.sqlite import SqliteLog
from automend_assets.connectors.interactions.supabase import SupabaseLog
from automend_assets_tests.servers.gateway import SupabaseGateway
from automend_assets_tests.servers.postgres import PostgresServer
from automend_assets_tests.servers.postgrest import PostgrestServer, postgrest_server

PROJECT = Path(__file__).resolve().parents[3]
DDL = (PROJECT / "deploy" / "supabase" / "typo_training_dataset.sql").read_text()


@pytest.fixture(scope="session")
def postgrest(postgres: PostgresServer) -> Iterator[PostgrestServer]:
    # 7 rows: far fewer than the client asks for, so that every test pages.
    with postgrest_server(postgres.new_database(), max_rows=7) as server:
        yield server


@pytest.fixture
def supabase(postgrest: PostgrestServer) -> Iterator[SupabaseGateway]:
    """The gateway over an empty table with the shipped rights."""
    postgrest.execute("DROP TABLE IF EXISTS typo_training_dataset", DDL)
    with SupabaseGateway(postgrest) as gateway:
        yield gateway


@dataclass(frozen=True)
class Backend:
    """A backend: how to open its log and how to run SQL beside it, as the owner."""

    name: str
    open: Callable[[], InteractionLog]
    execute: Callable[[str], None]


def executor(url: str) -> Callable[[str], None]:
    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg2://"), poolclass=sa.pool.NullPool
    )

    def execute(statement: str) -> None:
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)

    return execute


@pytest.fixture(params=["sqlite", "postgres", "supabase"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    """Each of the three with an empty table (none yet in SQLite, which makes it)."""
    if request.param == "sqlite":
        path = tmp_path / "interactions.sqlite"
        return Backend("sqlite", lambda: SqliteLog(path), executor(f"sqlite:///{path}"))
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        execute = executor(url)
        execute(DDL)
        return Backend("postgres", lambda: PostgresLog(url, wait_seconds=1), execute)
    gateway: SupabaseGateway = request.getfixturevalue("supabase")
    url = request.getfixturevalue("postgrest").database_url
    return Backend(
        "supabase",
        lambda: SupabaseLog(
            gateway.url, gateway.service_key, is_service_key=True, settle_seconds=0, retry=False
        ),
        executor(url),
    )
