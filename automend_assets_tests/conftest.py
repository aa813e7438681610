"""What tests of several rooms share: the loopback servers, stores, ledgers and Dagster instances."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, instance_for_test

from automend_assets.storage.store import Store
from automend_assets.versions.ledger import Ledger
from automend_assets_tests.servers.postgres import PostgresServer, postgres_server
from automend_assets_tests.servers.s3 import S3Server, s3_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty Postgres database."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3_environment(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    """The S3 server with AWS_* set to it, for this process and those it starts."""
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    return s3


@pytest.fixture
def bucket(s3_environment: S3Server) -> str:
    """The name of an empty bucket, with AWS_* set."""
    return s3_environment.make_bucket(f"test-{uuid.uuid4().hex}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return Store(str(tmp_path / "store"))


@pytest.fixture
def s3_store(bucket: str) -> Store:
    """An empty store in S3."""
    return Store(f"s3://{bucket}/store")


@pytest.fixture(params=["folder", "s3"])
def any_store(request: pytest.FixtureRequest) -> Store:
    """An empty store, once in a folder and once in S3."""
    found: Store = request.getfixturevalue("store" if request.param == "folder" else "s3_store")
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """An empty SQLite ledger."""
    return Ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    """A real Dagster instance in a temporary DAGSTER_HOME, which other processes find too."""
    with instance_for_test(overrides={"telemetry": {"enabled": False}}) as found:
        yield found
