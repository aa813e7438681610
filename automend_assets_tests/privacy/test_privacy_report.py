"""The report counts, and holds no value; nor does anything else that leaves the room."""

from __future__ import annotations

import json
import logging

import polars as pl
import pytest

from automend_assets.privacy.examples import expand
from automend_assets.privacy.replacement import redact
from automend_assets.privacy.report import PrivacyReport
from automend_assets.privacy.rules import RULES
from automend_assets.privacy.scanner import Scanner


def test_counts_by_rule_and_kind_over_batches(scanner: Scanner) -> None:
    report = PrivacyReport()
    for batch in (["a@web-mail.org b@web-mail.org", "x", None], ["a@web-mail.org", "86.121.97.248"]):
        texts = pl.Series(batch)
        report.add(texts, scanner.scan(texts))

    assert report.as_dict() == {
        "documents": 5,
        "characters": 57,
        "documents_with_findings": 3,
        "share_with_findings": 0.6,
        "findings": 4,
        "kinds": {"email": 3, "ip_address": 1},
        "rules": [
            {"rule": "email", "kind": "email", "findings": 3, "documents": 2, "share": 0.4},
            {"rule": "ipv4", "kind": "ip_address", "findings": 1, "documents": 1, "share": 0.2},
        ],
    }


def test_an_empty_report_has_no_shares() -> None:
    assert PrivacyReport().as_dict()["share_with_findings"] == 0.0


def test_no_value_leaves_the_room(
    scanner: Scanner, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    texts = pl.Series([expand(text) for rule in RULES for text in rule.examples])
    report = PrivacyReport()

    replaced, findings = redact(texts, scanner)
    report.add(texts, findings)
    values = {texts[row][start:end] for row, start, end in findings.select("row", "start", "end").iter_rows()}
    printed = capfd.readouterr()
    shown = "".join(
        [
            json.dumps(report.as_dict()),
            repr(report),
            repr(scanner),
            findings.write_json(),
            caplog.text,
            *printed,
        ]
    )

    assert len(values) > 300
    assert [value for value in values if len(value) > 5 and value in shown] == []
    secrets = [value for value in values if len(value) > 12]
    joined = "\n".join(replaced)
    assert [value for value in secrets if value in joined] == []
