"""What the card of the manifests' dataset says that no report knows."""

from __future__ import annotations

from automend_assets.versions.release import CardConfig, CardText

CARD = CardText(
    origin=("bigcode/the-stack-dedup",),
    tasks=("text-generation",),
    languages=("en",),
    tags=("kubernetes", "yaml", "infrastructure-as-code", "tool-use"),
    configs=(
        CardConfig(
            "balanced_records",
            "balanced_records.jsonl",
            "A request, the reply that calls `apply_manifest` as JSON text, where the manifest is from, its weight.",
        ),
        CardConfig(
            "balanced_tool_messages",
            "balanced_tool_messages.jsonl",
            "The same in the form that trainers take: `messages` with a tool call, `tools`.",
            features=({"name": "messages", "list": "json"}, {"name": "tools", "dtype": "string"}),
        ),
    ),
    made=(
        "Files are kept that are Kubernetes manifests, are YAML, mention ML infrastructure and are under permissive"
        " licences only; every other row is in `quarantine` with the code of the first filter that refuses it.",
        "Personal data and secrets in values and comments are replaced by tags such as `<EMAIL_1>`, in the data of a"
        " Secret by `xxxx0001`. Each changed file is read again: the same documents, keys and types, and the same"
        " values but for those replaced. Then it is scanned again, and nothing may be found.",
        "Of files that are alike (Jaccard similarity of word 5-grams of 0.85 or more), one is kept.",
        "Prompts are made from the file's name and from what it declares, by templates and the seed.",
        "No type of manifest has more than 40 % of the released files; rare ones are repeated up to five times.",
    ),
    limitations=(
        "Each manifest keeps the licence of its repository, which is in `licenses` beside `repo`, `path` and `hexsha`.",
        "Prompts are made by templates: their words are few.",
        "Manifests of custom APIs are not validated; `kubernetes_check` in `manifests` says which were.",
        "A scanner finds what its rules know. Nothing that they know is left.",
    ),
    loading="""\
```python
from datasets import load_dataset

dataset = load_dataset("FOLDER OF THIS CARD", "balanced_tool_messages", split="train")
```

TRL's `SFTTrainer` takes the result as it is; it decodes `tools` itself.
""",
)
