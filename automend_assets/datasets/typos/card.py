"""What the card of the dataset of typos says that no report knows."""

from __future__ import annotations

from automend_assets.versions.release import CardConfig, CardText

CARD = CardText(
    origin=(),
    tasks=("sentence-similarity",),
    languages=("en",),
    tags=("typos", "spelling-correction", "embeddings"),
    configs=(
        CardConfig(
            "training_pairs",
            "training_pairs.parquet",
            "What was typed, what was meant, the domain of the field, and when.",
        ),
    ),
    made=(
        "Corrections are rows of the application's table, each in exactly one version; the manifest pins the range"
        " of ids and the SHA-256 of its content.",
        "Refused are empty, over-long and identical texts, control characters, unknown domains, personal data and"
        " secrets, and corrections that most rows contradict; each refused row is in `quarantine` with its reason.",
        "`finetuned_model.zip` is trained on the pairs of all versions so far, newer ones counting more; a fifth of"
        " the corrections is never trained on and measures it (`evaluation`).",
        "`promotion` says whether it took the place of the model in use, and why.",
    ),
    limitations=(
        "The corrections are as right as the people who made them.",
        "Letters left out of short codes cannot be told: `30` may be 330, 306 or 308.",
        "The licence of the pairs is that of the application's users' terms; it is not open.",
    ),
    loading="""\
```python
import polars as pl

pairs = pl.read_parquet("FOLDER OF THIS CARD/training_pairs.parquet")
```
""",
)
