"""Replacement: what it puts where, that it is stable, and that nothing is found in what it writes."""

from __future__ import annotations

import ast
import json
import re

import phonenumbers
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automend_assets.privacy.examples import expand
from automend_assets.privacy.personal import iban_checksum, luhn
from automend_assets.privacy.replacement import FindingsMismatch, Style, redact, replace
from automend_assets.privacy.rules import RULES
from automend_assets.privacy.scanner import FINDINGS_SCHEMA, Scanner

STYLES: list[Style] = ["placeholder", "stand_in"]
EXAMPLES = [(rule.id, expand(text)) for rule in RULES for text in rule.examples]
SNIPPETS = [text for _, text in EXAMPLES]
GLUE = st.sampled_from(
    [" ", "\n", "\r\n", "\t", '"', "'", "=", ": ", "é", "日本", "\0", "a", "0", "-", "@", "# ", "- "]
)
DOCUMENTS = st.lists(st.one_of(st.sampled_from(SNIPPETS), GLUE, st.text(max_size=8)), max_size=10).map(
    "".join
)


def redacted(scanner: Scanner, text: str, style: Style = "placeholder") -> str:
    return redact(pl.Series([text]), scanner, style)[0][0]


@pytest.mark.parametrize("style", STYLES)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=DOCUMENTS)
def test_nothing_is_found_afterwards_and_a_second_time_changes_nothing(
    scanner: Scanner, style: Style, text: str
) -> None:
    once, _ = redact(pl.Series([text]), scanner, style)
    twice, found = redact(once, scanner, style)

    assert found.is_empty()
    assert once.equals(twice)
    # Quotes and line breaks stay.
    assert re.findall(r"[\r\n\"'`]", once[0]) == re.findall(r"[\r\n\"'`]", text)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(("rule", "text"), EXAMPLES, ids=[rule for rule, _ in EXAMPLES])
def test_one_pass_is_enough_for_every_example(scanner: Scanner, style: Style, rule: str, text: str) -> None:
    texts = pl.Series([text])

    replaced = replace(texts, scanner.scan(texts), style)

    assert replaced[0] != text
    assert scanner.scan(replaced).is_empty()


def test_tags_name_the_kind_and_number_the_values(scanner: Scanner) -> None:
    text = "to jane.doe@web-mail.org, cc bob@firma.de, from jane.doe@web-mail.org at 86.121.97.248"

    assert redacted(scanner, text) == "to <EMAIL_1>, cc <EMAIL_2>, from <EMAIL_1> at <IP_ADDRESS_1>"


def test_numbers_go_on_where_an_earlier_replacement_stopped(scanner: Scanner) -> None:
    assert redacted(scanner, "<EMAIL_3> and bob@firma.de") == "<EMAIL_3> and <EMAIL_4>"


def test_documents_do_not_know_of_each_other(scanner: Scanner) -> None:
    texts = pl.Series("body", ["a@web-mail.org", None, "b@web-mail.org", "x"])

    replaced, _ = redact(texts, scanner)

    assert replaced.to_list() == ["<EMAIL_1>", None, "<EMAIL_1>", "x"]
    assert replaced.name == "body"


def test_stand_ins_have_the_shape_of_what_they_stand_for(scanner: Scanner) -> None:
    token = expand("ghp_<alnum:36>")
    stand_in = redacted(scanner, f"token = '{token}'", "stand_in").split("'")[1]
    card = redacted(scanner, "card 4012-8888-8888-1881", "stand_in").removeprefix("card ")
    iban = redacted(scanner, "GB29NWBK60161331926819", "stand_in")
    phone = redacted(scanner, "call +1 (212) 736-5000", "stand_in").removeprefix("call ")

    assert re.fullmatch(r"ghp_[A-Za-z0-9]{36}", stand_in)
    assert stand_in != token
    assert re.fullmatch(r"9\d{3}-\d{4}-\d{4}-\d{4}", card)
    assert luhn(card.replace("-", ""))
    assert re.fullmatch(r"GB\d\dXXXX0{11}001", iban)
    assert iban_checksum(iban) == 1
    assert re.fullmatch(r"\+1 \(\d{3}\) 555-01\d\d", phone)
    assert phonenumbers.is_possible_number(phonenumbers.parse(phone))
    assert redacted(scanner, "86.121.97.248", "stand_in") == "192.0.2.1"
    assert redacted(scanner, "ip 2400:c401::5054:ff:fe1b:b031", "stand_in") == "ip 2001:db8::1"
    assert redacted(scanner, "a jane.doe@web-mail.org", "stand_in") == "a user1@example.com"
    assert redacted(scanner, "SSN 460-89-9847", "stand_in") == "SSN 000-00-0001"
    assert redacted(scanner, "00:1A:2B:3C:4D:5E", "stand_in") == "00:00:5E:00:53:01"


@pytest.mark.parametrize("style", STYLES)
def test_a_private_key_keeps_its_lines(scanner: Scanner, style: Style) -> None:
    key = expand(
        "-----BEGIN RSA PRIVATE KEY-----\n  <b64:64>\n  <b64:64>\n  <b64:30>==\n  -----END RSA PRIVATE KEY-----\n"
    )
    text = f"tls.key: |\n  {key}other: x\n"

    replaced = redacted(scanner, text, style)

    assert len(replaced.splitlines()) == len(text.splitlines())
    assert replaced.splitlines()[:2] == ["tls.key: |", "  -----BEGIN RSA PRIVATE KEY-----"]
    assert all(line not in replaced for line in text.splitlines()[2:5])
    escaped = json.dumps({"private_key": key})
    assert set(json.loads(redacted(scanner, escaped, style))) == {"private_key"}


@pytest.mark.parametrize("style", STYLES)
def test_a_number_in_a_program_stays_a_number(scanner: Scanner, style: Style) -> None:
    replaced = redacted(
        scanner, "my_card = 4012888888881881\nssn = [460899847, 1]\n# card 4012888888881881\n", style
    )

    ast.parse(replaced)
    assert "4012888888881881" not in replaced


@pytest.mark.parametrize(
    "row",
    [(0, 5, 90, "email", "email", 0.9), (3, 0, 1, "email", "email", 0.9), (1, 0, 1, "email", "email", 0.9)],
)
def test_findings_of_other_texts_are_refused(row: tuple[object, ...]) -> None:
    findings = pl.DataFrame([row], schema=FINDINGS_SCHEMA, orient="row")

    with pytest.raises(FindingsMismatch, match="Pass the texts that the findings were made from"):
        replace(pl.Series(["hunter2 stays unseen", None]), findings)


def test_errors_hold_no_text(scanner: Scanner) -> None:
    findings = pl.DataFrame([(0, 0, 99, "email", "email", 0.9)], schema=FINDINGS_SCHEMA, orient="row")

    with pytest.raises(FindingsMismatch) as refused:
        replace(pl.Series(["jane.doe@web-mail.org"]), findings)
    assert "jane" not in str(refused.value)
