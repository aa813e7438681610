"""Versions as Dagster partitions.

Here: the partitions definition of a dataset and its repair from the ledger. Not here: what a version is
(`manifest.py`) and who numbers it (`ledger.py`), which is the truth that this follows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import DagsterInstance, DynamicPartitionsDefinition

if TYPE_CHECKING:
    from automend_assets.versions.ledger import Ledger


def versions_of(dataset: str) -> DynamicPartitionsDefinition:
    """The partitions of every asset of `dataset`: one per version, named by its key."""
    return DynamicPartitionsDefinition(name=f"{dataset}_versions")


def register(instance: DagsterInstance, ledger: Ledger, dataset: str) -> list[str]:
    """Add every version of the ledger that `instance` does not know, oldest first; return their keys.

    Idempotent, and safe beside another process that registers the same versions.
    """
    name = f"{dataset}_versions"
    keys = ledger.keys(dataset)

    def missing() -> list[str]:
        known = set(instance.get_dynamic_partitions(name))
        return [key for key in keys if key not in known]

    added = missing()
    if added:
        try:
            instance.add_dynamic_partitions(name, added)
        except Exception:
            # Dagster looks and then inserts, so two processes can meet at its unique index. That is no
            # failure when the keys are there afterwards; which database error it is depends on the storage.
            left = missing()
            if left == added:
                raise
            if left:
                instance.add_dynamic_partitions(name, left)
    return added
