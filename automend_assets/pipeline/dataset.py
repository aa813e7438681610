"""What a dataset's folder hands to the rest: a `Dataset`; and what is asked of it when a version is cut.

A folder `datasets/<name>/` with an `assets.py` that defines `DATASET` is found and wired without a change anywhere
else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import Field, model_validator

from automend_assets.errors import PermanentError

if TYPE_CHECKING:
    from automend_assets.connectors.hub import HubResource
    from automend_assets.connectors.interactions.resource import InteractionsResource
    from automend_assets.contracts.contract import Contract
    from automend_assets.storage.resources import LedgerResource, StoreResource
    from automend_assets.versions.manifest import LogSource, Manifest


class SourceKind(Enum):
    """Where the rows of a version come from."""

    sample = "sample"
    hub = "hub"
    file = "file"
    log = "log"


class RequestContradicts(PermanentError):
    """A request names a part of a source that it does not ask for, which would be left unread in silence."""


class CutRequest(dg.Config):
    """What somebody asks for when a version is cut; the manifest pins what was found for it.

    It is the form of the cut job in the UI and the options of `automend cut`.
    """

    source: SourceKind = Field(
        default=SourceKind.sample,
        description=(
            "sample: bundled, offline. hub: streamed from the Hugging Face Hub. file: a local file."
            " log: the interactions that are in no version yet."
        ),
    )
    path: str | None = Field(
        default=None,
        description="For source 'file': a JSON array, JSON lines or Parquet; may be gzipped. For typos a CSV.",
    )
    repo: str | None = Field(
        default=None, description="For source 'hub': another dataset in the same layout."
    )
    revision: str | None = Field(
        default=None,
        description="For source 'hub': branch, tag or commit; resolved and pinned to its commit.",
    )
    rows: int = Field(default=5_000, ge=0, description="Sample size; 0 for every row of the source.")
    seed: int = Field(default=42, ge=0, description="Seed of the shuffle and of the balancing.")
    shuffle_buffer: int = Field(
        default=10_000, ge=1, description="Rows held in memory to shuffle the stream."
    )
    options: dict[str, Any] = Field(default_factory=dict, description="Options of the dataset; see its page.")

    @model_validator(mode="after")
    def _names_one_source(self) -> Self:
        for name, kind in (("path", SourceKind.file), ("repo", SourceKind.hub), ("revision", SourceKind.hub)):
            if getattr(self, name) is not None and self.source is not kind:
                raise RequestContradicts(
                    f"A {name} belongs to the source '{kind.value}', and the source asked for is"
                    f" '{self.source.value}': add `--source {kind.value}`, or leave out `--{name}`."
                )
        return self


@dataclass(frozen=True)
class Surroundings:
    """What a plan may look at to pin down a version: the sources, and what was cut and promoted so far."""

    hub: HubResource
    interactions: InteractionsResource
    ledger: LedgerResource
    store: StoreResource


@dataclass(frozen=True)
class Dataset:
    """What one dataset's folder provides."""

    name: str
    contract: Contract
    assets: Sequence[dg.AssetsDefinition]
    checks: Sequence[dg.AssetChecksDefinition]
    plan: Callable[[CutRequest, Surroundings], Manifest]
    """Turn a request into a manifest: resolve revisions, hash files, check options."""
    plan_range: Callable[[LogSource, Surroundings], Manifest] | None = None
    """For a dataset that grows: the same for a range of its log, which a sensor cuts by itself."""
