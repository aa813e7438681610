"""The store and the ledger as Dagster resources.

Here: configuration only; building them is lazy, so loading the code location touches neither. Not here: what
they do (`store.py`, `versions/ledger.py`) and which environment variables they come from (`settings.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import ConfigurableResource
from pydantic import Field

from automend_assets.storage.store import Store

if TYPE_CHECKING:
    from automend_assets.versions.ledger import Ledger
    from automend_assets.versions.promotions import Promotions


class StoreResource(ConfigurableResource["StoreResource"]):
    """The root of all artifacts."""

    url: str = Field(description="A folder, or s3://bucket/prefix (endpoint and credentials from AWS_*).")

    def get(self) -> Store:
        """The store; nothing is connected yet."""
        return Store(self.url)


class LedgerResource(ConfigurableResource["LedgerResource"]):
    """The database of versions. Give the URL as an EnvVar: other values are shown in Dagster's UI."""

    url: str = Field(
        repr=False, description="sqlite:///path or postgresql://user:password@host/database, as an EnvVar."
    )

    def get(self) -> Ledger:
        """The ledger; nothing is connected yet."""
        # It brings SQLAlchemy, half of what loading the code location would cost.
        from automend_assets.versions.ledger import Ledger

        return Ledger(self.url)

    def promotions(self) -> Promotions:
        """Which model is in use, in the same database; nothing is connected yet."""
        from automend_assets.versions.promotions import Promotions

        return Promotions(self.url)
