"""The table of rules: every example is found, every counter-example is not, and both engines read every pattern."""

from __future__ import annotations

import re
from collections import Counter

import polars as pl
import pytest

from automend_assets.privacy.examples import expand
from automend_assets.privacy.rules import PERSONAL_KINDS, RULES, SECRET_KINDS, Rule
from automend_assets.privacy.scanner import InvalidRule, Scanner
from automend_assets.privacy.validators import LOCATORS, VALIDATORS

BY_ID = {rule.id: rule for rule in RULES}
# What the issue asks for at least, and the rules that answer.
WANTED = {
    "email": {"email", "obfuscated-email"},
    "ip_address": {"ipv4", "ipv6"},
    "phone": {"international-phone", "local-phone", "worded-phone"},
    "card": {"card"},
    "ssn": {"us-ssn"},
    "iban": {"iban"},
    "mac_address": {"mac-address"},
}


@pytest.mark.parametrize("rule", RULES, ids=[rule.id for rule in RULES])
def test_finds_its_examples_and_nothing_in_its_counter_examples(rule: Rule) -> None:
    scanner = Scanner([rule], engine="re2")

    found = scanner.scan(pl.Series([expand(text) for text in rule.examples]))
    refused = scanner.scan(pl.Series([expand(text) for text in rule.counter_examples]))

    assert len(rule.examples) >= 1
    assert len(rule.counter_examples) >= 1
    assert found["row"].to_list() == list(range(len(rule.examples)))
    assert set(found["kind"]) == {rule.kind}
    assert refused.is_empty()


def test_all_rules_together_find_every_example(scanner: Scanner) -> None:
    examples = [(rule, expand(text)) for rule in RULES for text in rule.examples]

    found = scanner.scan(pl.Series([text for _, text in examples]))

    assert found["row"].unique().sort().to_list() == list(range(len(examples)))


def test_the_table_is_sound() -> None:
    assert [name for name, number in Counter(rule.id for rule in RULES).items() if number > 1] == []
    for rule in RULES:
        assert rule.kind in SECRET_KINDS | PERSONAL_KINDS
        assert 0 < rule.confidence <= 1
        assert rule.validator is None or rule.validator in VALIDATORS
        assert rule.locator is None or rule.locator in LOCATORS
        # What hyperscan and google-re2 read differently.
        for pattern in (rule.pattern, rule.anchor or ""):
            assert pattern.isascii()
            assert not re.search(r"\\[sSAzZ]|\(\?[=!<]|\\\d", pattern.replace("\\\\", "")), rule.id
    assert {name for names in WANTED.values() for name in names} <= set(BY_ID)


def test_no_example_is_a_secret_before_it_is_expanded(scanner: Scanner) -> None:
    # Hosting services block pushes of texts that look like live tokens.
    tokens = [rule for rule in RULES if rule.kind == "api_key"]
    found = scanner.scan(pl.Series([text for rule in tokens for text in rule.examples]))

    assert found.filter(pl.col("kind") == "api_key").is_empty()


def test_a_rule_with_an_unknown_validator_is_refused() -> None:
    rule = Rule("mine", "token", "x", ("x",), ("y",), validator="nobody_knows")

    with pytest.raises(InvalidRule, match=r"'mine'.*'nobody_knows'"):
        Scanner([rule])


@pytest.mark.parametrize("engine", ["hyperscan", "re2"])
def test_a_rule_that_the_engines_cannot_read_is_refused(engine: str) -> None:
    rule = Rule("mine", "token", r"(?=look)ahead", ("x",), ("y",))

    with pytest.raises(InvalidRule, match="mine"):
        Scanner([rule], engine=engine)  # type: ignore[arg-type]


def test_a_keyword_has_to_stand_nearby() -> None:
    rule = Rule("near", "token", r"\b\d{6}\b", (), (), keywords=("code",))
    far = "code" + " " * 80 + "123456"

    found = Scanner([rule]).scan(pl.Series(["the CODE is 123456", "123456 is the code", far, "123456"]))

    assert found["row"].to_list() == [0, 1]


def test_examples_are_the_same_in_every_process() -> None:
    assert expand("ghp_<alnum:8>") == expand("ghp_<alnum:8>")
    assert expand("<hex:16>") != expand("x<hex:16>")
    assert len(expand("<b32:20>")) == 20
    assert expand("<base64:a:b>") == "YTpi"
