"""The two chat forms of processed Glaive records, as JSON lines.

Here: assembling lines out of columns that :mod:`automend_assets.datasets.glaive.parse` made, and how the lines are to
be loaded. Not here: parsing, and writing files.

``chatml_lines`` is AutoMend's workflow form: one request, one workflow with every call of the record.

``tool_message_lines`` is the form that trainers take. ``messages`` is a list of messages, ``arguments`` are objects;
``tools`` is JSON *text*, or null. Both so that no null key is invented: Arrow gives every object of a column the keys
of all of them, and a model trained on that learns to write ``"radius": null``. TRL decodes ``tools`` itself when it is
text. For ``messages``, ``datasets`` has the ``Json`` feature. Its JSON loader finds that out by itself when the first
10 MB hold a call; :func:`tool_message_features` says it whatever they hold, and a dataset card should say it too.
One loss is the loader's own (datasets 5.2, by pandas' JSON): floats keep ten decimals, and some come back one unit in
the last place off (0.7 as 0.7000000000000001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from automend_assets.chat.lines import tool_message_line

if TYPE_CHECKING:
    import datasets

SYSTEM_SENTENCE = (
    "You are AutoMend, an MLOps remediation engine. "
    "Convert user requests into valid JSON workflow definitions."
)


def chatml_lines(processed: pl.LazyFrame, weights: pl.LazyFrame | None = None) -> pl.LazyFrame:
    """Lines of the workflow form: one String column ``line``, in row order, quarantined records left out.

    ``weights`` has ``row_number`` and ``sample_weight``; a record without one, and every record without ``weights``,
    weighs 1.0.
    """
    usable = processed.filter(pl.col("quarantine_reason").is_null())
    if weights is not None:
        usable = usable.join(
            weights.select("row_number", "sample_weight"), "row_number", "left", maintain_order="left"
        )
        weight = pl.col("sample_weight").cast(pl.Float64).fill_null(1.0)
    else:
        weight = pl.lit(1.0)
    system = pl.format("{}\n\nAvailable Tools: {}", pl.lit(SYSTEM_SENTENCE), pl.col("function_signatures"))
    features = pl.struct(
        "complexity_tier", "has_error_handling", "num_turns", "num_calls", weight.alias("sample_weight")
    )
    return usable.select(
        line=pl.concat_str(
            pl.lit('{"messages":['),
            pl.struct(role=pl.lit("system"), content=system).struct.json_encode(),
            pl.lit(","),
            pl.col("workflow").str.slice(1),
            pl.lit(","),
            features.struct.json_encode().str.slice(1),
        )
    )


def tool_message_lines(processed: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of the trainer form: one String column ``line``, in row order, quarantined records left out."""
    usable = processed.filter(pl.col("quarantine_reason").is_null())
    return usable.select(line=tool_message_line(pl.col("conversation"), pl.col("tools")))


def tool_message_features() -> datasets.Features:
    """Features to load the trainer form with: ``load_dataset("json", data_files=..., features=...)``."""
    from datasets import Features, Json, List, Value

    return Features({"messages": List(Json()), "tools": Value("string")})
