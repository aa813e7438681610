"""Which corrections can be trained on, and why the others cannot.

What belongs here: the rules for one row, the rule for rows that contradict one another, and the quarantine they end in.
What does not: where the rows come from (`connectors.interactions`, `source.py`), which texts are the same (`texts.py`),
how pairs are split or weighted.
"""

from __future__ import annotations

import polars as pl

from automend_assets.datasets.typos.texts import DOMAINS, normalised
from automend_assets.privacy.replacement import replace
from automend_assets.privacy.scanner import Scanner
from automend_assets.storage.quarantine import QUARANTINE_SCHEMA, TEXT_CHARACTERS, quarantine_rows

#: `row_number`: the id in the table, or the number of the record in a file.
ROWS_SCHEMA = pl.Schema(
    {
        "row_number": pl.Int64(),
        "typo": pl.String(),
        "corrected": pl.String(),
        "domain": pl.String(),
        "created_at": pl.Datetime("us", "UTC"),
    }
)
STAGE = "training_pairs"
# The longest of 7,920 real makes and models has 40 characters.
MAX_CHARACTERS = 100

#: Why a row is refused, in words. A row that is refused for several reasons has the first of them.
REASONS = {
    "empty": "typo or correction is missing or blank",
    "too_long": f"typo or correction has more than {MAX_CHARACTERS} characters",
    "control_characters": "typo or correction has line breaks, control or invisible characters",
    "unknown_domain": f"the domain is none of {', '.join(DOMAINS)}",
    "identical": "typo and correction are the same text, case and spacing aside",
    "personal_data": "typo or correction holds personal data or a secret",
    "contradictory": "the same typo was corrected to something else in most rows, or in as many",
}

# Cc, Cf: controls, and characters that change how others are shown. Co: private use. Zl, Zp: separators of lines.
_INVISIBLE = r"[\p{Cc}\p{Cf}\p{Co}\p{Zl}\p{Zp}]"
_TEXTS = ("typo", "corrected")


def validate(rows: pl.DataFrame, scanner: Scanner) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split `rows` (a frame of ROWS_SCHEMA) into those to train on, of the same schema, and their quarantine.

    Every row is in exactly one of the two, in the order of `rows`. What is kept has no white space around its texts,
    and a lower-case domain. Personal data is in neither: texts in the quarantine have it replaced.
    """
    rows = rows.match_to_schema(ROWS_SCHEMA)
    beginnings = rows.select(pl.col(*_TEXTS, "domain").str.head(TEXT_CHARACTERS))
    findings = {name: scanner.scan(beginnings[name]) for name in beginnings.columns}
    personal = pl.Series(
        [row for name in _TEXTS for row in findings[name]["row"]], dtype=rows.select(pl.row_index()).dtypes[0]
    )
    redacted = pl.DataFrame([replace(beginnings[name], findings[name]) for name in beginnings.columns])

    tidy = rows.with_columns(
        pl.col(*_TEXTS).str.strip_chars(), pl.col("domain").str.strip_chars().str.to_lowercase()
    )
    reasons = _reasons_of_rows(rows, tidy, personal)
    good = reasons.is_null()
    against = contradictory(tidy.filter(good))
    reasons = reasons.scatter(
        good.arg_true().filter(against),
        pl.repeat("contradictory", int(against.sum()), dtype=pl.String, eager=True),
    )

    refused = rows.select("row_number").with_columns(reasons.alias("reason"), redacted.to_struct("text"))
    quarantine = quarantine_rows(
        refused.lazy(),
        stage=STAGE,
        reason=pl.col("reason"),
        detail=pl.col("reason").replace_strict(REASONS, return_dtype=pl.String),
        text=pl.col("text").struct.json_encode(),
    )
    return tidy.filter(reasons.is_null()), quarantine.collect().match_to_schema(QUARANTINE_SCHEMA)


def contradictory(pairs: pl.DataFrame) -> pl.Series:
    """Which of `pairs` (typo, corrected, domain) are outvoted, as booleans.

    Where one typo of one domain has several corrections, the one that most rows agree on stays (more than all others
    together); without such a majority none of them does. Texts that are normalised alike are the same.
    """
    typo, corrected = (_normalised(pairs[name]) for name in _TEXTS)
    votes = pl.DataFrame({"typo": typo, "corrected": corrected, "domain": pairs["domain"]})
    of_typo = pl.len().over("typo", "domain")
    of_correction = pl.len().over("typo", "corrected", "domain")
    return votes.select(2 * of_correction.cast(pl.Int64) <= of_typo.cast(pl.Int64)).to_series()


def _reasons_of_rows(rows: pl.DataFrame, tidy: pl.DataFrame, personal: pl.Series) -> pl.Series:
    """The first reason against each row on its own, null for none; `personal` holds the places of rows with finds."""
    same = (_normalised(tidy["typo"]) == _normalised(tidy["corrected"])).alias("same")
    empty = [pl.col(name).fill_null("").str.len_chars() == 0 for name in _TEXTS]
    long = [pl.col(name).str.len_chars() > MAX_CHARACTERS for name in _TEXTS]
    invisible = [pl.col(f"raw_{name}").str.contains(_INVISIBLE) for name in _TEXTS]
    refused_by = {
        "empty": pl.any_horizontal(empty),
        "too_long": pl.any_horizontal(long),
        "control_characters": pl.any_horizontal(invisible),
        "unknown_domain": ~pl.col("domain").is_in(DOMAINS).fill_null(False),
        "identical": pl.col("same"),
        "personal_data": pl.row_index().is_in(personal.implode()),
    }
    raw = rows.select(pl.col(*_TEXTS).name.prefix("raw_"))
    return (
        tidy.with_columns(same, *raw.get_columns())
        .select(
            pl.coalesce(
                pl.when(refused).then(pl.lit(reason)) for reason, refused in refused_by.items()
            ).alias("reason")
        )
        .to_series()
    )


def _normalised(texts: pl.Series) -> pl.Series:
    distinct = texts.unique().drop_nulls()
    forms = [normalised(text) for text in distinct]
    return texts.replace_strict(
        distinct, pl.Series(forms, dtype=pl.String), default=None, return_dtype=pl.String
    )
