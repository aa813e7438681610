"""How an asset of a dataset is defined and what it does when it fails: set once, for all datasets."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from automend_assets.contracts.checks import when_checked
from automend_assets.errors import PermanentError
from automend_assets.versions.partitions import versions_of

OWNERS = ["team:automend"]

RETRIES = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL)
"""For assets that talk to the outside; what `failing_for_good` marks is not tried again."""


def dataset_asset(
    dataset: str, *, kinds: set[str], io: str, **definition: Any
) -> Callable[..., dg.AssetsDefinition]:
    """`dg.asset` with what all assets of `dataset` have in common.

    `io` is the form of the file: parquet, jsonl or json.
    """
    decorate: Callable[..., dg.AssetsDefinition] = dg.asset(
        key_prefix=dataset,
        group_name=dataset,
        partitions_def=versions_of(dataset),
        io_manager_key=f"{io}_io",
        kinds=kinds | {io},
        **definition_defaults(),
        **definition,
    )
    return decorate


def dataset_out(dataset: str, *, kinds: set[str], io: str, **definition: Any) -> dg.AssetOut:
    """`dg.AssetOut` likewise, for an asset of a `dg.multi_asset`."""
    return dg.AssetOut(
        key_prefix=dataset,
        io_manager_key=f"{io}_io",
        kinds=kinds | {io},
        **definition_defaults(),
        **definition,
    )


def definition_defaults() -> dict[str, Any]:
    """Owners, and the condition under which automation materialises an asset."""
    return {"owners": OWNERS, "automation_condition": when_checked()}


@contextmanager
def failing_for_good() -> Iterator[None]:
    """Turn a PermanentError into a failure that no retry policy tries again."""
    try:
        yield
    except PermanentError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A PNG as metadata that Dagster's UI shows as an image."""
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")
