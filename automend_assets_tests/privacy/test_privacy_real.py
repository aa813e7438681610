"""Real code, real YAML and the labelled texts of other tools."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import warnings
from pathlib import Path

import polars as pl
import pytest
import yaml

from automend_assets.privacy.replacement import Style, redact
from automend_assets.privacy.scanner import Scanner

PROJECT = Path(__file__).resolve().parents[2]
REALDATA = PROJECT.parent / "shared" / "realdata"


def parses(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return False
    return True


@pytest.mark.parametrize("style", ["placeholder", "stand_in"])
def test_two_thousand_python_files_still_parse(scanner: Scanner, style: Style) -> None:
    texts = pl.read_parquet(
        REALDATA / "code" / "python" / "files.parquet", columns=["content"], n_rows=2_000
    )["content"]

    replaced, findings = redact(texts, scanner, style)

    changed = findings["row"].unique().to_list()
    assert len(texts) == 2_000
    assert len(changed) > 20
    assert (texts == replaced).sum() == 2_000 - len(changed)
    assert [row for row in changed if parses(texts[row]) and not parses(replaced[row])] == []
    assert scanner.scan(replaced).is_empty()


def shape(value: object) -> object:
    """Keys and types of a parsed document."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value).__name__


def documents(text: str) -> object:
    try:
        return [shape(document) for document in yaml.load_all(text, yaml.CSafeLoader)]
    except (yaml.YAMLError, ValueError, TypeError):
        return None


@pytest.mark.parametrize("style", ["placeholder", "stand_in"])
def test_real_yaml_keeps_its_structure(scanner: Scanner, style: Style) -> None:
    shards = REALDATA / "hub" / "datasets" / "bigcode" / "the-stack-dedup" / "data" / "yaml" / "*.parquet"
    texts = pl.read_parquet(shards, columns=["content"])["content"]

    replaced, findings = redact(texts, scanner, style)

    changed = findings["row"].unique().to_list()
    assert len(changed) > 100
    before = {row: documents(texts[row]) for row in changed}
    assert [row for row, was in before.items() if was is not None and documents(replaced[row]) != was] == []
    assert scanner.scan(replaced.gather(changed)).is_empty()


def test_the_engines_agree_on_real_files(scanner: Scanner, re2_scanner: Scanner) -> None:
    for language in ("python", "cpp"):
        texts = pl.read_parquet(
            REALDATA / "code" / language / "files.parquet", columns=["content"], n_rows=600
        )["content"]
        assert scanner.scan(texts).equals(re2_scanner.scan(texts))
    for name in ("gitleaks_fixtures", "noseyparker_examples", "detect_secrets_cases", "presidio_synthetic"):
        texts = pl.read_parquet(REALDATA / "secrets" / f"{name}.parquet", columns=["text"])["text"]
        assert scanner.scan(texts).equals(re2_scanner.scan(texts))


@pytest.mark.parametrize("style", ["placeholder", "stand_in"])
def test_labelled_texts_hold_nothing_after_redaction(scanner: Scanner, style: Style) -> None:
    for path in sorted((REALDATA / "secrets").glob("*.parquet")):
        texts = pl.read_parquet(path, columns=["text"])["text"]
        replaced, _ = redact(texts, scanner, style)
        assert scanner.scan(replaced).is_empty()


def test_recall_and_precision_reach_their_aims() -> None:
    run = subprocess.run(
        [sys.executable, PROJECT / "benchmarks" / "privacy.py", "--recall"],
        capture_output=True,
        text=True,
        check=True,
    )
    measured = {
        name: float(value) for value, name in re.findall(r"^ratio: ([\d.]+) (.*)$", run.stdout, re.MULTILINE)
    }

    assert measured["recall on labelled secrets vs 0.85"] >= 0.85
    assert measured["precision on labelled non-secrets vs 0.95"] >= 0.95
    for kind, aim in {
        "email": 0.98,
        "ip_address": 0.98,
        "ssn": 0.98,
        "iban": 0.98,
        "card": 0.85,
        "phone": 0.9,
    }.items():
        assert measured[f"recall of {kind} vs {aim}"] >= aim
    assert measured["of texts without personal data touched vs 0.02"] < 0.02
    # No value of the fixtures is printed.
    texts = pl.read_parquet(REALDATA / "secrets" / "noseyparker_examples.parquet").filter(
        pl.col("secret_span").is_not_null()
    )
    values = [text[span[0] : span[1]] for text, span in texts.select("text", "secret_span").iter_rows()]
    assert [value for value in values if len(value) > 16 and value in run.stdout] == []
