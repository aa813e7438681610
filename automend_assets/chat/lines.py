"""The line of a training file in the form that trainers take, which every dataset with tool calls writes.

``messages`` is a list of messages in which ``arguments`` are objects; ``tools`` is JSON *text*, or null. Both so that
no null key is invented: Arrow gives every object of a column the keys of all of them, and a model trained on that
learns to write ``"radius": null``. TRL decodes ``tools`` itself when it is text.
"""

from __future__ import annotations

import polars as pl


def tool_message_line(conversation: pl.Expr, tools: pl.Expr) -> pl.Expr:
    """A line of the form, from the JSON text of a message list and of a ``tools`` list (null: no tools)."""
    return pl.concat_str(
        pl.lit('{"messages":'),
        conversation,
        pl.lit(","),
        pl.struct(tools.alias("tools")).struct.json_encode().str.slice(1),
    )
