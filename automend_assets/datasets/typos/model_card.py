"""The card of a published model: what it was made from, how good it is beside what, how to use it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import yaml

from automend_assets.datasets.typos.contract import CONTRACT
from automend_assets.datasets.typos.report import evaluation_table

_FIGURES = (("recall_at_1", "Recall@1"), ("recall_at_5", "Recall@5"), ("mrr", "MRR"))

_OF_CHARACTERS = """\
The model sees characters: hashed n-grams of 1 to 4 characters, an embedding for each, their sum. Its module is this
project's own:

```python
from pathlib import Path

from huggingface_hub import snapshot_download

from automend_assets.datasets.typos.artifact import CORRECTIONS  # the names that it knows
from automend_assets.datasets.typos.encoder import encode_with, load_model
from automend_assets.datasets.typos.lookup import Lookup
from automend_assets.datasets.typos.texts import Entry

folder = Path(snapshot_download("{repo}", revision="{version}"))
entries = [Entry(*entry) for entry in json.loads((folder / CORRECTIONS).read_text())]
lookup = Lookup(entries, encode_with(load_model(folder)))
lookup.find("hilax", "model", k=3)
```
"""

_OF_ANY_FAMILY = """\
```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("{repo}", revision="{version}")
model.encode(["car model: hilax", "car model: hilux"], normalize_embeddings=True)
```
"""


def model_card(
    version: str,
    *,
    repo: str,
    evaluation: Mapping[str, Any],
    reason: str,
    facts: Mapping[str, Any],
    manifest_sha256: str,
    cut_at: datetime,
    character_ngrams: bool,
) -> str:
    """The card as Markdown with the Hub's front matter (https://huggingface.co/docs/hub/model-cards).

    `facts` are those of the model's artifact, `reason` why it was promoted.
    """
    usage = (
        _OF_CHARACTERS.replace("from pathlib", "import json\nfrom pathlib")
        if character_ngrams
        else _OF_ANY_FAMILY
    ).format(repo=repo, version=version)
    pairs = facts["pairs"]
    sections = [
        f"# Typo embeddings {version}",
        "What people type into fields for makes and models of cars, brought near to what they mean. Texts are prefixed"
        " `car brand: ` or `car model: ` and compared without case.",
        f"- **Data**: corrections of users, versions {', '.join(facts['versions'])} (cut {cut_at:%Y-%m-%d}, manifest"
        f" `{manifest_sha256}`): {pairs['training']:,} pairs trained on, {pairs['seen']:,} and {pairs['unseen']:,} kept"
        f" for testing, {facts['corrections']:,} corrections.\n"
        f"- **Base**: `{facts['base']}`\n"
        f"- **Training**: MultipleNegativesRankingLoss in both directions, best of {facts['epochs']} epochs:"
        f" {facts['best_epoch']}. All options are in `training.json`.\n"
        f"- **Promoted because**: {reason}",
        "## Measured",
        "95 % intervals of a bootstrap over corrections. Corrections of the unseen test occur in no training pair. The"
        " honest baseline is normalised edit distance among the names of the field.",
        evaluation_table(evaluation),
        "## How to use",
        usage.strip(),
        f"`models/finetuned-embedding-model-{cut_at:%Y%m%d}.zip` is the same model as one file, for readers of the"
        " earlier layout.",
        "## Limits",
        "The names are those that users were corrected to; `corrections.json` lists them. Letters left out of short"
        " codes cannot be told: `30` may be 330, 306 or 308.",
    ]
    return (
        f"---\n{yaml.safe_dump(_front_matter(version, evaluation), sort_keys=False)}---\n\n"
        + "\n\n".join(sections)
        + "\n"
    )


def _front_matter(version: str, evaluation: Mapping[str, Any]) -> dict[str, Any]:
    results = [
        {
            "task": {"type": "sentence-similarity"},
            "dataset": {"type": "typos", "name": f"Typos of {name} corrections", "revision": version},
            "metrics": [
                {
                    "type": figure,
                    "name": f"{title} ({way})",
                    "value": round(test["ways"][key][figure], 4),
                }
                for key, way in (("new_embedding", "embedding alone"), ("new_serving", "re-ranked"))
                for figure, title in _FIGURES
            ],
        }
        for name, test in evaluation["tests"].items()
        if name != "all" and test["pairs"]
    ]
    return {
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "license": CONTRACT.licence,
        "tags": ["sentence-transformers", "spelling-correction", "typos"],
        "model-index": [{"name": f"typo-embeddings-{version}", "results": results}],
    }
