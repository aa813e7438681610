"""How an asset of a dataset is defined and what it does when it fails: set once, for all datasets."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import dagster as dg

from automend_assets.contracts.checks import when_checked
from automend_assets.errors import TransientError
from automend_assets.versions.partitions import versions_of

OWNERS = ["team:automend"]

MAX_RETRIES = 3
FIRST_WAIT_SECONDS = 10.0


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
    """Owners, the code that makes an asset, and the condition under which automation materialises it."""
    return {
        "owners": OWNERS,
        "code_version": version("automend-assets"),
        "automation_condition": when_checked(),
    }


@contextmanager
def trying_again(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Have the step tried again after an error that can pass, each time after twice the wait; for assets that talk to
    the outside.

    Not a RetryPolicy, which would repeat every failure: a full disk, or a manifest that somebody edited.
    """
    try:
        yield
    except TransientError as error:
        wait = FIRST_WAIT_SECONDS * 2**context.retry_number
        raise dg.RetryRequested(max_retries=MAX_RETRIES, seconds_to_wait=wait) from error


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A PNG as metadata that Dagster's UI shows as an image."""
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")
