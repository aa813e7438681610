"""The scanner: places, engines, overlaps, allow-lists, and texts that are made to break it."""

from __future__ import annotations

import sys
import time
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automend_assets.privacy.examples import expand
from automend_assets.privacy.rules import RULES
from automend_assets.privacy.scanner import FINDINGS_SCHEMA, EngineMissing, Scanner

SNIPPETS = [expand(text) for rule in RULES for text in (*rule.examples[:1], *rule.counter_examples[:1])]
GLUE = st.sampled_from(
    [" ", "\n", "\r", "\t", '"', "'", "`", "=", ": ", "é", "日本", "\0", "a", "0", "-", "_", "@", "::", "x"]
)
DOCUMENTS = st.lists(st.one_of(st.sampled_from(SNIPPETS), GLUE, st.text(max_size=12)), max_size=12).map(
    "".join
)


def rules_in(scanner: Scanner, text: str) -> list[str]:
    return scanner.scan(pl.Series([text]))["rule"].to_list()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(DOCUMENTS, max_size=6))
def test_both_engines_find_the_same(scanner: Scanner, re2_scanner: Scanner, texts: list[str]) -> None:
    series = pl.Series(texts, dtype=pl.String)

    assert scanner.scan(series).equals(re2_scanner.scan(series))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.text(max_size=30), after=st.text(max_size=30))
def test_places_are_characters_of_the_text(scanner: Scanner, before: str, after: str) -> None:
    address = "jane.doe@web-mail.org"
    text = f"{before} <{address}> {after}"

    found = scanner.scan(pl.Series([text])).filter(pl.col("rule") == "email")

    assert address in [text[start:end] for start, end in found.select("start", "end").iter_rows()]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=DOCUMENTS)
def test_findings_lie_in_the_text_in_order_and_apart(scanner: Scanner, text: str) -> None:
    found = scanner.scan(pl.Series([text]))

    reach = 0
    for start, end in found.select("start", "end").iter_rows():
        assert reach <= start < end <= len(text)
        reach = end


def test_the_frame_has_its_schema_with_and_without_findings(scanner: Scanner) -> None:
    assert scanner.scan(pl.Series([], dtype=pl.String)).schema == FINDINGS_SCHEMA
    assert scanner.scan(pl.Series([None, "", "nothing"])).schema == FINDINGS_SCHEMA
    assert scanner.scan(pl.Series([None, "jane.doe@web-mail.org"])).rows() == [
        (1, 0, 21, "email", "email", 0.95)
    ]


@pytest.mark.parametrize(
    "texts",
    [
        pa.array(["x", None, "jane.doe@web-mail.org"]),
        pa.array(["x", None, "jane.doe@web-mail.org"], pa.large_string()),
        pa.array(["y", "x", None, "jane.doe@web-mail.org"]).slice(1),
        pa.chunked_array([["x", None], ["jane.doe@web-mail.org"]]),
        pl.Series(["x", None, "jane.doe@web-mail.org"]),
        pl.Series(["y", "x", None, "jane.doe@web-mail.org"]).slice(1),
        pl.concat([pl.Series(["x", None]), pl.Series(["jane.doe@web-mail.org"])], rechunk=False),
    ],
)
def test_rows_count_from_the_beginning_of_the_batch(scanner: Scanner, texts: Any) -> None:
    assert scanner.scan(texts)["row"].to_list() == [2]


def test_the_first_rule_wins_where_findings_overlap(scanner: Scanner) -> None:
    token = expand("ghp_<alnum:36>")

    assert rules_in(scanner, f'api_key = "{token}"') == ["github-token"]
    assert rules_in(scanner, "postgres://app:s3cret77@db.web-mail.org/x") == ["url-credentials"]


@pytest.mark.parametrize(
    "text",
    [
        "mail someone@example.com, a@b.test, x@y.invalid, root@localhost",
        "192.0.2.1 198.51.100.7 203.0.113.9 2001:db8::1",
        "127.0.0.1 ::1 0.0.0.0 10.96.0.1 172.17.0.2 192.168.1.1 169.254.169.254",
        "version 1.16.0.2, image: nginx:1.25.100.3, chart-101.2.3.4, ==52.31.40.11",
        "nameserver 8.8.8.8 1.1.1.1 9.9.9.9",
        "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
        "password: ${DB_PASSWORD}\npassword: {{ .Values.password }}\npassword: $(DB_PASSWORD)",
        "password = os.environ['DB_PASSWORD']\ntoken = os.getenv('TOKEN')",
        "- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db\n      key: password",
        "@app.route('/login')\n@pytest.mark.parametrize\ndef f(): ...",
        "org.slf4j:slf4j-api:1.7.36 lodash@4.17.21 github.com/a/b@v1.2.3.4",
        "see https://kubernetes.io/docs/concepts/#secret and https://host:8443/@v1",
        "std::vector<int> add::foo a::b 12:34:56 a[1:2:3]",
        "secret:\n  secretName: database\n  defaultMode: 420",
    ],
)
def test_what_keeps_its_meaning_is_let_through(scanner: Scanner, text: str) -> None:
    assert rules_in(scanner, text) == []


def test_hyperscan_missing_falls_back_or_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hyperscan", None)

    assert Scanner(RULES[:2]).engine == "re2"
    with pytest.raises(EngineMissing, match="pip install hyperscan"):
        Scanner(RULES[:2], engine="hyperscan")


def test_control_characters_and_lone_carriage_returns_hide_nothing(scanner: Scanner) -> None:
    text = "\0\0jane.doe@web-mail.org\0\rDB_PASSWORD=hunter22\r\nX=1\r"

    assert rules_in(scanner, text) == ["email"]
    assert rules_in(scanner, "A=1\r\nDB_PASSWORD=hunter22\r\nX=1\r\n") == ["bare-password"]


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    "unit",
    [
        *(
            "a",
            "1",
            "1 ",
            "1.",
            "-",
            "\0",
            "\r",
            "é",
            '"',
            ":",
            "a:",
            "x@",
            "a.b@c.",
            "eyJ.",
            "(12) ",
            " at a dot ",
        ),
        *(
            "token=",
            "authorization=",
            'password="',
            "curl -u ",
            "bearer ",
            "basic ",
            "http://a:b",
            "password = hunter22\r",
        ),
        *(
            "kind: Secret\ndata:\n",
            "- name: X_TOKEN\n  value: ",
            "-----BEGIN PRIVATE KEY-----",
            "machine a login b ",
        ),
    ],
)
def test_a_text_that_is_made_to_be_slow_is_not(scanner: Scanner, unit: str) -> None:
    text = unit * (MEGABYTE // len(unit))

    started = time.process_time()
    scanner.scan(pl.Series([text]))

    # 50 MB in two minutes at the very worst; all but a few take a hundredth of that.
    assert time.process_time() - started < 2.5


def test_a_line_of_50_megabytes_is_scanned_and_its_findings_placed(scanner: Scanner) -> None:
    text = "é" + "x" * 25 * MEGABYTE + " jane.doe@web-mail.org " + "y " * (12 * MEGABYTE)

    started = time.process_time()
    found = scanner.scan(pl.Series([text]))

    assert time.process_time() - started < 10
    assert [text[start:end] for start, end in found.select("start", "end").iter_rows()] == [
        "jane.doe@web-mail.org"
    ]
