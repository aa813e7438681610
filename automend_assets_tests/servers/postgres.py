"""A real Postgres for tests: the server in the wheel of `pgserver`, on a Unix socket, also as root."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


class PostgresServer:
    """A running server; every test takes a database of its own."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url

    def new_database(self) -> str:
        """Make an empty database; return its `postgresql://` URL."""
        name = f"test_{uuid.uuid4().hex}"
        url = sa.make_url(self._admin_url).set(drivername="postgresql+psycopg2")
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        return url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """Start an empty server; stop it and delete its data at the end."""
    with warnings.catch_warnings(action="ignore"):  # it notes that root has no XDG_RUNTIME_DIR
        import pgserver

    # A short path: a Unix socket's may not be longer than about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="automend-pg-"))
    server = pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield PostgresServer(server.get_uri())
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
