"""What the Glaive dataset card says that no report knows."""

from __future__ import annotations

from automend_assets.versions.release import CardConfig, CardText

CARD = CardText(
    origin=("glaiveai/glaive-function-calling-v2",),
    tasks=("text-generation",),
    languages=("en",),
    tags=("function-calling", "tool-use", "synthetic"),
    configs=(
        CardConfig(
            "tool_messages",
            "tool_messages.jsonl",
            "A whole conversation in the form that trainers take: `messages` with tool calls and replies, `tools`.",
        ),
        CardConfig(
            "chatml",
            "chatml.jsonl",
            "A request and the AutoMend workflow that answers it, with features and a `sample_weight`.",
        ),
        CardConfig(
            "balanced_chatml",
            "balanced_chatml.jsonl",
            "The same, with rare slices repeated and common ones thinned.",
        ),
    ),
    made=(
        "Every function definition and call of a conversation is parsed; what is damaged is repaired only where there"
        " is one way to read it, and otherwise quarantined with a reason.",
        "Every call is held against the JSON Schema of the function that it calls; what contradicts it is in"
        " `call_errors` of `processed_records`.",
        "Records with a call that cannot be used, or with a damaged conversation, are in `quarantine` and in neither"
        " chat form.",
        "Messages are not cut.",
    ),
    limitations=(
        "The conversations are synthetic and in English; facts in them may be wrong.",
        "Calls that contradict their schema stay in the chat forms when they can be read: filter on `call_errors`"
        " to leave them out.",
        "`has_error_handling` goes by words and by the content of function responses, not by meaning.",
    ),
    loading="""\
Arrow gives every object of a column the keys of all of them, so the arguments of a call would gain null keys that
nobody wrote. Load the trainer form with these features:

```python
from datasets import Features, Json, List, Value, load_dataset

features = Features({"messages": List(Json()), "tools": Value("string")})
dataset = load_dataset("json", data_files="tool_messages.jsonl", features=features, split="train")
```

TRL's `SFTTrainer` takes the result as it is; it decodes `tools` itself.
""",
)
