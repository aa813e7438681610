"""Corrections in Supabase, through its REST API (PostgREST). Nothing about SQL belongs here.

Locks and transactions cannot be seen over HTTP, so a margin of time decides which rows are settled: an id is settled
when a row with it or a higher one has been there for `settle_seconds`. That holds when the margin is longer than the
longest transaction, twice that where created_at is the beginning of a transaction (`now()`) and not the moment
(`clock_timestamp()`, as in deploy/supabase), plus the difference between the two clocks, plus the delay of a read
replica, which may answer in place of the primary. Supabase ends a request through its API after 8 s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from automend_assets.connectors.interactions.log import (
    COLUMNS,
    TABLE,
    Correction,
    InteractionLog,
    InteractionsColumnMissing,
    InteractionsForbidden,
    InteractionsKeyInvalid,
    InteractionsMisconfigured,
    InteractionsRefused,
    InteractionsTableMissing,
    InteractionsUnavailable,
    Settled,
    parse_time,
)

if TYPE_CHECKING:
    import supabase
    from postgrest import APIResponse
    from postgrest.exceptions import APIError

_TIMEOUT_SECONDS = 30.0
_SQLSTATE = re.compile(r"^[0-9A-Z]{5}$")


class SupabaseLog(InteractionLog):
    """The table behind `url` (`https://PROJECT.supabase.co`), read with `key`.

    `is_service_key`: the key sees every row, so that an empty answer means an empty table. `retry`: whether the client
    asks three times more after 503 or a lost connection, 7 s in all.
    """

    page_rows = 1_000

    def __init__(
        self,
        url: str,
        key: str,
        *,
        is_service_key: bool,
        settle_seconds: float = 120.0,
        retry: bool = True,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.table = f"public.{TABLE}"
        self._url = url
        self._key = key
        self._is_service_key = is_service_key
        self._settle_seconds = settle_seconds
        self._retry = retry
        self._now = now
        self._client: supabase.Client | None = None

    def __repr__(self) -> str:
        return f"SupabaseLog({self._url!r})"

    def add(self, corrections: Sequence[Correction]) -> None:
        rows = [correction._asdict() for correction in corrections]
        # A key that may write need not have the right to read what it wrote.
        self._answer(lambda table: table.insert(rows, returning="minimal"))

    def close(self) -> None:
        if self._client is not None:
            self._client.postgrest.session.close()
            self._client = None

    def _settled(self, lo: int) -> Settled:
        before = (self._now() - timedelta(seconds=self._settle_seconds)).isoformat()
        last = self._rows(
            lambda table: (
                table.select("id").gt("id", lo).lte("created_at", before).order("id", desc=True).limit(1)
            )
        )
        if last:
            return Settled(last[0]["id"])
        newest = self._rows(lambda table: table.select("id").order("id", desc=True).limit(1))
        if not newest and not self._is_service_key:
            # Row-level security hides rows without a word, and "no rows" would pass for "nothing new".
            raise InteractionsForbidden(
                f"The anon key sees no row of {self.table}, which is empty or hides its rows from that key: set "
                f"SUPABASE_SERVICE_KEY (or SUPABASE_DB_URL) to read it."
            )
        waiting = f"its newest rows came in less than {self._settle_seconds:g} s ago"
        return Settled(0, waiting if newest and newest[0]["id"] > lo else None)

    def _row_at(self, lo: int, hi: int, offset: int) -> tuple[int, datetime | None] | None:
        rows = self._rows(
            lambda table: (
                table.select("id", "created_at").gt("id", lo).lte("id", hi).order("id").range(offset, offset)
            )
        )
        return (rows[0]["id"], parse_time(rows[0]["created_at"], self.table)) if rows else None

    def _count(self, lo: int, hi: int) -> int:
        answer = self._answer(
            lambda table: table.select("id", count="exact", head=True).gt("id", lo).lte("id", hi)
        )
        return answer.count or 0

    def _page(self, after: int, hi: int) -> Sequence[Sequence[Any]]:
        rows = self._rows(
            lambda table: (
                table.select(*COLUMNS).gt("id", after).lte("id", hi).order("id").limit(self.page_rows)
            )
        )
        return [[row[column] for column in COLUMNS] for row in rows]

    def _rows(self, request: Callable[[Any], Any]) -> list[dict[str, Any]]:
        rows: Any = self._answer(request).data
        if not isinstance(rows, list):
            raise InteractionsMisconfigured(
                f"What answers at SUPABASE_URL={self._url} is not Supabase: set it to https://PROJECT.supabase.co."
            )
        return rows

    def _answer(self, request: Callable[[Any], Any]) -> APIResponse:
        client = self._connected()
        import httpx
        from postgrest.exceptions import APIError

        try:
            answer: APIResponse = request(client.table(TABLE)).execute()
        except APIError as error:
            raise self._failure(error) from None
        except httpx.HTTPError as error:
            raise InteractionsUnavailable(
                f"Supabase at {self._url} gave no answer ({type(error).__name__}): check the network, SUPABASE_URL and "
                f"that the project is not paused."
            ) from None
        return answer

    def _connected(self) -> supabase.Client:
        if self._client is None:
            try:
                import httpx
                import supabase
                from supabase.lib.client_options import SyncClientOptions
            except ImportError:
                raise InteractionsMisconfigured(
                    "Reading Supabase needs its client: pip install 'automend-assets[supabase]'."
                ) from None
            options = SyncClientOptions(
                httpx_client=httpx.Client(timeout=_TIMEOUT_SECONDS),
                postgrest_client_retry=self._retry,
                auto_refresh_token=False,
                persist_session=False,
            )
            try:
                self._client = supabase.create_client(self._url, self._key, options)
            except Exception as error:  # the client's own classes, some of them bare
                raise InteractionsMisconfigured(
                    f"No Supabase client can be made for SUPABASE_URL={self._url} ({type(error).__name__}): set it to "
                    f"https://PROJECT.supabase.co and the key to one of its API keys."
                ) from None
        return self._client

    def _failure(self, error: APIError) -> Exception:
        code, words = error.code or "", " ".join((error.message or "").replace(self._key, "***").split())
        if "api key" in words.lower() or code in ("PGRST301", "PGRST302", "PGRST303", "401"):
            return InteractionsKeyInvalid(
                f"Supabase at {self._url} does not accept the key ({words}): set SUPABASE_SERVICE_KEY to the secret "
                f"key of this project, from its API settings."
            )
        if code in ("42P01", "PGRST205"):
            return InteractionsTableMissing(
                f"Supabase at {self._url} has no table {self.table}: create it with "
                f"deploy/supabase/typo_training_dataset.sql."
            )
        if code in ("42703", "PGRST204"):
            return InteractionsColumnMissing(
                f"The table {self.table} at {self._url} lacks a column ({words}); it needs {', '.join(COLUMNS)}: "
                f"compare it with deploy/supabase/typo_training_dataset.sql."
            )
        if code in ("42501", "403"):
            return InteractionsForbidden(
                f"The key has no right to do this at {self._url} ({words}): reading needs SUPABASE_SERVICE_KEY, and "
                f"rights and policies are those of deploy/supabase/typo_training_dataset.sql."
            )
        if self._may_pass(code):
            return InteractionsUnavailable(
                f"Supabase at {self._url} cannot answer now ({code or 'no code'}: {words}): try again later."
            )
        return InteractionsRefused(
            f"Supabase at {self._url} refuses this for {self.table} ({code}: {words})."
        )

    @staticmethod
    def _may_pass(code: str) -> bool:
        """Whether a server that is down, busy or between two states says so: HTTP, SQL or PostgREST's codes."""
        if code.isdigit() and len(code) == 3:
            return code in ("408", "425", "429") or code >= "500"
        if code.startswith("PGRST"):
            return code < "PGRST100"
        return not _SQLSTATE.match(code) or code[:2] in ("08", "40", "53", "55", "57")
