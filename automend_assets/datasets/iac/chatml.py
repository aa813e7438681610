"""The two chat forms of manifests, as JSON lines, and the check of every record against what it must be.

Here: the messages of a record, assembling lines out of the columns that `process.py` made, validation. Not here: the
prompt (`prompts.py`), writing files.

``training_record_lines`` is the original's form: a request, and ``apply_manifest`` as JSON text in the reply.
``tool_message_lines`` is the form that trainers take: the call as ``tool_calls`` with arguments as an object, and the
schema of the tool as JSON text in ``tools``.
"""

from __future__ import annotations

from typing import Any

import orjson
import polars as pl

from automend_assets.chat.lines import tool_message_line
from automend_assets.datasets.iac.documents import Limits, YamlRefused, check

TOOL = "apply_manifest"
TOOLS = orjson.dumps(
    [
        {
            "type": "function",
            "function": {
                "name": TOOL,
                "description": "Apply a Kubernetes manifest to the cluster, as `kubectl apply -f` does.",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "manifest_content": {
                            "type": "string",
                            "description": "The manifest as YAML; several resources are separated by `---`.",
                        }
                    },
                    "required": ["manifest_content"],
                    "additionalProperties": False,
                },
            },
        }
    ]
).decode()
"""The one tool of the dataset, in the form of a `tools` list, as JSON text."""

RECORD_CHECKS = (
    "has_record_keys",
    "roles_in_order",
    "content_is_json",
    "tool_is_apply_manifest",
    "manifest_parses",
)
"""The columns of `validate`, in the order of the contract; the sixth check is that `num_findings` is 0."""

_PROVENANCE = ("hexsha", "repo", "path", "size", "licenses", "iac_type", "prompt_type")


def messages() -> pl.Expr:
    """The messages of a record as JSON text, from the columns `prompt` and `content`."""
    call = pl.struct(
        tool=pl.lit(TOOL), params=pl.struct(manifest_content=pl.col("content"))
    ).struct.json_encode()
    return pl.concat_str(
        pl.lit("["),
        pl.struct(role=pl.lit("user"), content=pl.col("prompt")).struct.json_encode(),
        pl.lit(","),
        pl.struct(role=pl.lit("assistant"), content=call).struct.json_encode(),
        pl.lit("]"),
    )


def training_record_lines(manifests: pl.LazyFrame, weights: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of the original's form: one String column ``line``, in the order of ``manifests``.

    ``weights`` has ``row_number`` and ``sampling_weight``. A record has ``messages``, where the file is from, its
    types and its weight.
    """
    weighed = manifests.join(weights, on="row_number", how="left", maintain_order="left")
    return weighed.select(
        line=pl.concat_str(
            pl.lit('{"messages":'),
            pl.col("messages"),
            pl.lit(","),
            pl.struct(*_PROVENANCE, "sampling_weight").struct.json_encode().str.slice(1),
        )
    )


def tool_message_lines(manifests: pl.LazyFrame) -> pl.LazyFrame:
    """Lines of the trainer form: one String column ``line``, in the order of ``manifests``."""
    call = pl.struct(
        role=pl.lit("assistant"),
        content=pl.lit(""),
        tool_calls=pl.concat_list(
            pl.struct(
                type=pl.lit("function"),
                function=pl.struct(
                    name=pl.lit(TOOL), arguments=pl.struct(manifest_content=pl.col("content"))
                ),
            )
        ),
    ).struct.json_encode()
    conversation = pl.concat_str(
        pl.lit("["),
        pl.struct(role=pl.lit("user"), content=pl.col("prompt")).struct.json_encode(),
        pl.lit(","),
        call,
        pl.lit("]"),
    )
    return manifests.select(line=tool_message_line(conversation, pl.lit(TOOLS)))


def validate(manifests: pl.DataFrame, limits: Limits) -> pl.DataFrame:
    """The columns `RECORD_CHECKS` for the records of `manifests`, read back from the JSON text of `messages`."""
    contents = manifests["content"].to_list()
    rows = [
        _validate(text, content, limits)
        for text, content in zip(manifests["messages"], contents, strict=True)
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(RECORD_CHECKS, pl.Boolean()), orient="row")


def _validate(text: str, content: str, limits: Limits) -> tuple[bool, ...]:
    record: Any = orjson.loads(text)
    keys = isinstance(record, list) and all(
        isinstance(message, dict)
        and message.keys() == {"role", "content"}
        and isinstance(message["content"], str)
        for message in record
    )
    if not keys:
        return (False,) * len(RECORD_CHECKS)
    roles = [message["role"] for message in record] == ["user", "assistant"]
    try:
        call: Any = orjson.loads(record[-1]["content"]) if record else None
    except orjson.JSONDecodeError:
        return True, roles, False, False, False
    is_call = isinstance(call, dict) and call.keys() == {"tool", "params"} and call["tool"] == TOOL
    params = call["params"] if is_call else None
    manifest = params.get("manifest_content") if isinstance(params, dict) else None
    # What was read before need not be read again; anything else has to show that it is YAML.
    parses = isinstance(manifest, str) and (manifest == content or _parses(manifest, limits))
    return True, roles, True, is_call, parses


def _parses(manifest: str, limits: Limits) -> bool:
    try:
        check(manifest, limits)
    except YamlRefused:
        return False
    return True
