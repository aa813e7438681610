"""Redaction changes values and never structure: what is replaced, what stays, and that a change of anything else
shows."""

from __future__ import annotations

import base64

import polars as pl
import pytest
import yaml

from automend_assets.datasets.iac.documents import Limits, parse
from automend_assets.datasets.iac.redaction import Redacted, Redactor, same_structure

LIMITS = Limits()
PASSWORD = "zQ7" + "h4rK9wPx2"  # in parts, as nothing that looks like a secret belongs into a repository
TOKEN = "ghp_" + "a8Kd03jfLq92mZxWc7Rt5vBn1PsYh6UeGo4D"
MAIL = "jane.doe" + "@" + "acme-widgets.com"
ADDRESS = ".".join(("81", "47", "120", "33"))


@pytest.fixture(scope="module")
def redactor() -> Redactor:
    return Redactor(LIMITS)


def redact(redactor: Redactor, text: str) -> Redacted:
    (result,) = redactor.redact([text], [parse(text, LIMITS)])
    (without_places,) = redactor.redact([text], [parse(text, LIMITS, places=False)])
    assert (without_places.text, without_places.rules, without_places.refused) == (
        result.text,
        result.rules,
        result.refused,
    )
    if result.refused is None:
        assert redactor.count_findings(pl.Series([result.text])).sum() == 0
        assert same_structure(parse(text, LIMITS), parse(result.text, LIMITS), set(range(10_000)))
        assert result.parsed.documents == parse(result.text, LIMITS).documents
    return result


def test_a_named_value_is_replaced_and_the_name_stays(redactor: Redactor) -> None:
    text = f"env:\n- name: DB_PASSWORD\n  value: {PASSWORD}\n- name: REPLICAS\n  value: '3'\n"
    result = redact(redactor, text)
    assert result.parsed.documents == [
        {"env": [{"name": "DB_PASSWORD", "value": "<PASSWORD_1>"}, {"name": "REPLICAS", "value": "3"}]}
    ]
    assert result.rules.total() == 1


@pytest.mark.parametrize("password", ["z5M#UDz" + "He3uLE", "z!R8K8zQ" + "rviny3", "zRbtrGNtt" + "Ui6nRk8q%"])
def test_a_password_is_one_whatever_characters_it_has(redactor: Redactor, password: str) -> None:
    for text in (
        "env:\n- name: DB_PASSWORD\n  value: {}\n",
        "db:\n  adminPassword: {}\n",
        "a: {{token: '{}'}}\n",
    ):
        assert password not in redact(redactor, text.format(password)).text


def test_the_order_of_name_and_value_does_not_matter(redactor: Redactor) -> None:
    result = redact(redactor, f'env:\n- value: "{PASSWORD}"\n  name: DB_PASSWORD\n')
    assert PASSWORD not in result.text
    assert result.parsed.documents == [{"env": [{"value": "<PASSWORD_1>", "name": "DB_PASSWORD"}]}]


@pytest.mark.parametrize(
    "text",
    [
        'env:\n- "na\\x6de": "DB_PASSW\\x4fRD"\n  "val\\u0075e": "{}"\n',
        '"adminP\\x61ssword": {}\n',
        "env:\n- name: >-\n    DB_PASSWORD\n  value: {}\n",
        "? adminPassword\n# whose\n: {}\n",
        "adminPassword: {}\nadminPassword: none\n",
        "base: &base\n  adminPassword: {}\nuse:\n  <<: *base\n  adminPassword: none\n",
        "use:\n  <<: {{adminPassword: '{}'}}\n  adminPassword: none\n",
        "env: [{{name: &n DB_PASSWORD, value: &v '{}'}}, {{name: *n, value: *v}}]\n",
        "kind: Secret\nstringData:\n  any: {}\n",
        "a:\n- - clientSecret: !!str {}\n",
    ],
)
def test_a_secret_is_found_however_its_name_is_written(redactor: Redactor, text: str) -> None:
    password = "z5M#UDz" + "He3uLE"
    assert password not in redact(redactor, text.format(password)).text


def test_the_same_value_gets_the_same_tag(redactor: Redactor) -> None:
    other = "jim" + "@" + "acme-widgets.com"
    result = redact(redactor, f"a: {MAIL}\nb: {other}\nc: [{MAIL}]\n")
    assert result.parsed.documents == [{"a": "<EMAIL_1>", "b": "<EMAIL_2>", "c": ["<EMAIL_1>"]}]


@pytest.mark.parametrize(
    "text",
    [
        "contact: {}\n",
        "contact: '{}'\n",
        'contact: "{}"\n',
        "contact: &x {}\nagain: *x\n",
        "contact: !!str {}\n",
        "contacts: [{}, b]\n",
        '{{"contact": "{}"}}\n',
        "text: |\n  write to\n  {}\n  soon\n",
        "text: >-\n  write to {}\n  soon\n",
        "text: |2-\n    {}\n",
        "- {} # mail\n",
        "text: write\n  to {} soon\n",
    ],
)
def test_every_style_of_scalar_keeps_its_style(redactor: Redactor, text: str) -> None:
    text = text.format(MAIL)
    result = redact(redactor, text)
    assert result.refused is None
    assert result.text == text.replace(MAIL, "<EMAIL_1>")


def test_a_secret_loses_all_of_its_data_and_stays_base64(redactor: Redactor) -> None:
    plain, encoded = "correct horse", base64.b64encode(b"battery staple").decode()
    text = (
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n"
        f"data:\n  pin: {encoded}\n  again: {encoded}\nstringData:\n  note: {plain}\n"
    )
    result = redact(redactor, text)
    (secret,) = result.parsed.documents
    assert secret["metadata"] == {"name": "db"}
    assert secret["data"]["pin"] == secret["data"]["again"] == "xxxx0001"
    base64.b64decode(secret["data"]["pin"], validate=True)
    assert secret["stringData"] == {"note": "<SECRET_2>"} or secret["stringData"] == {"note": "<SECRET_1>"}


def test_a_secret_whose_values_are_filled_in_elsewhere_stays(redactor: Redactor) -> None:
    head = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\n"
    text = head + "stringData:\n  a: ${PASSWORD}\n  b: $(cat x)\n  c: ''\n"
    assert redact(redactor, text).text == text


@pytest.mark.parametrize(
    "text",
    [
        "volumes:\n- name: tls\n  secret:\n    secretName: my-tls-secret\n",
        "image: registry.example.com/a/b:1.16.0.2\n",
        "env:\n- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      name: db\n      key: password\n",
        "env:\n- name: DB_PASSWORD\n  value: $(OTHER)\n",
        "env:\n- name: DB_SECRET\n  value: my-secret-1\n",
        "secret: db-credentials-v2.1\ntoken: path/to/token-1\n",
        "secret:\n  optional: true\n",
        "env:\n- name: PASSWORD_FILE\n  value: /etc/Secrets/db-1\n",
        "env:\n- name: TOKEN_AUDIENCE\n  value: Kubernetes-API-v1\n",
        "env:\n- name: DB_PASSWORD\n  value: <Your-Password-1>\n",
        "host: 127.0.0.1\nresolver: 8.8.8.8\ncluster: 10.96.0.10\n",
        "password:\n  fieldRef: x\n",
    ],
)
def test_what_is_no_secret_keeps_its_meaning(redactor: Redactor, text: str) -> None:
    assert redact(redactor, text).text == text


def test_a_comment_is_redacted_too(redactor: Redactor) -> None:
    result = redact(redactor, f"# ask {MAIL}\na: 1 # or {ADDRESS}\n")
    assert MAIL not in result.text
    assert ADDRESS not in result.text
    assert result.parsed.documents == [{"a": 1}]


def test_a_private_key_in_a_block_leaves_a_block(redactor: Redactor) -> None:
    body = "\n".join("    " + "MIIEvQ" + "Ab3" * 19 + "x" for _ in range(5))
    lines = (
        "data:",
        "  tls.key: |",
        "    -----BEGIN PRIVATE KEY-----",
        body,
        "    -----END PRIVATE KEY-----",
    )
    text = "\n".join((*lines, "  other: kept", ""))
    result = redact(redactor, text)
    assert result.refused is None
    assert "MIIEvQ" not in result.text
    (document,) = result.parsed.documents
    assert document["data"]["other"] == "kept"
    assert document["data"]["tls.key"] == "<PRIVATE_KEY_1>\n"


def test_credentials_in_an_address_go_with_their_user(redactor: Redactor) -> None:
    result = redact(redactor, f"url: postgresql://app:{PASSWORD}@db.svc:5432/x\n")
    assert result.parsed.documents == [{"url": "postgresql://<PASSWORD_1>@db.svc:5432/x"}]


def test_a_finding_in_a_key_refuses_the_file(redactor: Redactor) -> None:
    assert redact(redactor, f"owners:\n  {MAIL}: admin\n").refused == "finding_in_key"


def test_several_documents_keep_their_borders(redactor: Redactor) -> None:
    text = f"a: {MAIL}\n---\nb: {TOKEN}\n---\nc: {ADDRESS}\n"
    result = redact(redactor, text)
    assert [list(document) for document in result.parsed.documents] == [["a"], ["b"], ["c"]]
    for secret in (MAIL, TOKEN, ADDRESS):
        assert secret not in result.text


def test_the_originals_corruption_does_not_happen(redactor: Redactor) -> None:
    """Its pattern ran over the line break: `secret:` ate the key of the next line."""
    text = f"volumes:\n- secret:\n    secretName: x\n  name: tls\ntoken:\n  path: z\npassword: {PASSWORD}\n"
    result = redact(redactor, text)
    (document,) = result.parsed.documents
    assert document["volumes"] == [{"secret": {"secretName": "x"}, "name": "tls"}]
    assert document["token"] == {"path": "z"}
    assert PASSWORD not in result.text


def test_redacting_twice_changes_nothing(redactor: Redactor) -> None:
    text = (
        f"a: {MAIL}\nenv:\n- name: DB_PASSWORD\n  value: {PASSWORD}\n---\napiVersion: v1\nkind: Secret\n"
        f"metadata: {{name: x}}\nstringData: {{a: {PASSWORD}}}\n"
        f"data: {{b: {base64.b64encode(b'hunter22!').decode()}}}\n"
    )
    once = redact(redactor, text).text
    assert redact(redactor, once).text == once


@pytest.mark.parametrize(
    "after",
    [
        "a: 1\nb: x\nc: [1, 2]\n",
        "a: 1\nb: y\nc: [1, 2, 3]\n",
        "a: 1\nd: y\nc: [1, 2]\n",
        "a: '1'\nb: y\nc: [1, 2]\n",
        "a: 1\nb: y\nc: [1, 2]\n---\nd: 1\n",
        "a: 1\nb: {y: 1}\nc: [1, 2]\n",
        "a: 1\nb: &y y\nc: [1, 2]\n",
    ],
)
def test_every_change_of_structure_or_of_another_value_shows(after: str) -> None:
    before = parse("a: 1\nb: y\nc: [1, 2]\n", LIMITS)
    assert same_structure(before, parse("a: 1 # comments\nb:   y\nc: [1,\n  2]\n", LIMITS), set())
    assert not same_structure(before, parse(after, LIMITS), set())


def test_only_the_scalars_that_were_touched_may_differ() -> None:
    before, after = parse("a: x\nb: y\n", LIMITS), parse("a: z\nb: y\n", LIMITS)
    assert same_structure(before, after, {1})
    assert not same_structure(before, after, {0, 2, 3})


def test_a_redacted_manifest_is_read_alike_by_another_parser(redactor: Redactor) -> None:
    text = f"a: {MAIL}\nb: |\n  {ADDRESS}\n  x\nc: '{TOKEN}'\nd: [1, true, null, 2.5]\n"
    result = redact(redactor, text)
    assert list(yaml.safe_load_all(result.text)) == result.parsed.documents
