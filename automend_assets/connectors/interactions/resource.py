"""The interactions as a Dagster resource: which of the three backends is read. How each is read is the others'."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
from pydantic import Field

from automend_assets.connectors.interactions.log import InteractionLog, InteractionsMisconfigured
from automend_assets.settings import Settings, project_root, revealed


class InteractionsResource(dg.ConfigurableResource["InteractionsResource"]):
    """The table of corrections: Postgres by URL, else Supabase's REST API, else a SQLite file.

    What is not given is read from the environment when the log is opened, so that no secret is part of a run's
    configuration. Postgres comes first, since only there it is certain which rows are settled.
    """

    database_url: str | None = Field(
        default=None,
        repr=False,
        description="postgresql://user:password@host/database; unset: SUPABASE_DB_URL.",
    )
    supabase_url: str | None = Field(
        default=None, description="https://PROJECT.supabase.co; unset: SUPABASE_URL."
    )
    supabase_key: str | None = Field(
        default=None,
        repr=False,
        description="A secret key; unset: SUPABASE_SERVICE_KEY, then SUPABASE_ANON_KEY.",
    )
    path: str | None = Field(
        default=None,
        description="The SQLite file without a server; unset: AUTOMEND_INTERACTIONS, then data/interactions.sqlite.",
    )
    settle_seconds: float = Field(
        default=120.0,
        ge=0,
        description="Over HTTP: age from which a row counts as settled; see connectors/interactions/supabase.py.",
    )
    wait_seconds: float = Field(
        default=5.0, ge=0, description="In Postgres: how long a look waits for transactions that are writing."
    )
    retry: bool = Field(default=True, description="Over HTTP: ask again, for 7 s in all, before giving up.")

    def open(self) -> InteractionLog:
        """The log, as a context manager; nothing is connected yet. Raises InteractionsMisconfigured."""
        settings = Settings()
        database_url = self.database_url or revealed(settings.supabase_db_url)
        supabase_url = self.supabase_url or settings.supabase_url
        if database_url:
            from automend_assets.connectors.interactions.postgres import PostgresLog

            return PostgresLog(database_url, wait_seconds=self.wait_seconds)
        if supabase_url:
            from automend_assets.connectors.interactions.supabase import SupabaseLog

            service_key = self.supabase_key or revealed(settings.supabase_service_key)
            key = service_key or revealed(settings.supabase_anon_key)
            if not key:
                raise InteractionsMisconfigured(
                    f"SUPABASE_URL is set to {supabase_url} and no key is: set SUPABASE_SERVICE_KEY to the secret key "
                    f"of that project, from its API settings."
                )
            return SupabaseLog(
                supabase_url,
                key,
                is_service_key=bool(service_key),
                settle_seconds=self.settle_seconds,
                retry=self.retry,
            )
        from automend_assets.connectors.interactions.sqlite import SqliteLog

        path = self.path or settings.interactions_file or project_root() / "data" / "interactions.sqlite"
        return SqliteLog(Path(path).expanduser())
