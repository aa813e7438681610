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
            features=({"name": "messages", "list": "json"}, {"name": "tools", "dtype": "string"}),
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
```python
from datasets import load_dataset

dataset = load_dataset("FOLDER OF THIS CARD", "tool_messages", split="train")
```

TRL's `SFTTrainer` takes the result as it is; it decodes `tools` itself. To load the file without its card, pass the
card's features: left to inference, Arrow may give the arguments of a call null keys that nobody wrote.

```python
from datasets import Features, Json, List, Value

features = Features({"messages": List(Json()), "tools": Value("string")})
dataset = load_dataset("json", data_files="tool_messages.jsonl", features=features, split="train")
```
""",
)
