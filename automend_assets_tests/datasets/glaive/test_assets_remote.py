"""The whole graph with everything elsewhere: rows from a gated Hub repository, store on S3, ledger on Postgres."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import pytest
import sqlalchemy as sa

from automend_assets_tests.datasets.glaive.rows import mostly_without_calls
from automend_assets_tests.servers.hub import LoopbackHub, User
from automend_assets_tests.servers.s3 import S3Server
from automend_assets_tests.servers.slack import WEBHOOK_PATH, SlackServer
from automend_assets_tests.workplace import FILES, Workplace

ROWS = 300
REPO = "team/quiet"
RESOURCES = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
    allTopLevelResourceDetails { name configuredValues { key value type } } } } } }"""
HUB_TOKEN = "hf_tokenThatNobodyMaySee"
SLACK_TOKEN = "xoxb-token-that-nobody-may-see"
LEDGER_PASSWORD = "password-that-nobody-may-see"


class Remote(NamedTuple):
    """A workplace in which v0001 was cut and materialised by processes, and what they printed."""

    workplace: Workplace
    printed: str
    s3: S3Server
    bucket: str
    slack: SlackServer


@pytest.fixture
def remote(tmp_path: Path, s3_environment: S3Server, bucket: str, postgres_url: str) -> Iterator[Remote]:
    ledger = sa.make_url(postgres_url).set(password=LEDGER_PASSWORD).render_as_string(hide_password=False)
    with LoopbackHub(tokens={HUB_TOKEN: User("bob")}) as hub, SlackServer() as slack:
        rows = orjson.dumps(mostly_without_calls(ROWS))
        hub.add_files("datasets", REPO, {"rows.json": rows})
        hub.restrict("datasets", REPO, gated=True, allowed={"bob"})
        slack.faults = ["echo"]  # a refusal that repeats the address, which is a secret
        workplace = Workplace(
            tmp_path,
            **hub.environment(tmp_path / "hf_home", token=HUB_TOKEN),
            AUTOMEND_STORE=f"s3://{bucket}/store",
            AUTOMEND_LEDGER=ledger,
            SLACK_BOT_TOKEN=SLACK_TOKEN,
            SLACK_WEBHOOK_URL=slack.webhook_url,
        )
        cut = workplace.process("automend", "cut", "glaive", "--source", "hub", "--repo", REPO)
        assert (cut.code, cut.out) == (0, "v0001\n"), cut.err
        made = workplace.dagster_materialize("v0001")
        assert made.code == 0, made.err[-4000:]
        settings = workplace.automend("settings")
        printed = "".join(told.out + told.err for told in (cut, made, settings))
        yield Remote(workplace, printed, s3_environment, bucket, slack)


def test_everything_works_elsewhere_and_nothing_tells_a_secret(remote: Remote, tmp_path: Path) -> None:
    workplace = remote.workplace
    keys = set(remote.s3.keys(remote.bucket))
    assert keys == {f"store/glaive/v0001/{name}" for name in FILES}
    assert set(workplace.frame("v0001", "raw_sample.parquet")["row_number"]) == set(range(ROWS))

    pins = workplace.folder / "pins" / remote.bucket / "store" / "glaive" / "v0001"
    assert {pin.stem for pin in pins.glob("*.dvc")} == set(FILES) - {"release.json"}

    # Slack refused one alert, which was logged then; of another run it would take it.
    assert remote.slack.requests == 1
    assert "CRITICAL" in remote.printed
    assert "no_call_rate" in remote.printed

    # The same version in a folder: the same bytes.
    local = Workplace(tmp_path / "local", **_without_places(workplace.environment))
    local.build("--source", "hub", "--repo", REPO)
    assert local.artifacts("v0001") == workplace.artifacts("v0001")
    (message,) = remote.slack.messages
    assert "no_call_rate" in message["text"]

    shown = workplace.process("dagster-graphql", "-m", "automend_assets.definitions", "-t", RESOURCES)
    answer = next(line for line in shown.out.splitlines() if line.startswith("{"))
    (repository,) = json.loads(answer)["data"]["repositoriesOrError"]["nodes"]
    resources = {each["name"]: each["configuredValues"] for each in repository["allTopLevelResourceDetails"]}
    assert resources["ledger"] == [{"key": "url", "value": "AUTOMEND_LEDGER", "type": "ENV_VAR"}]

    secrets = {
        "the Hub's token": HUB_TOKEN,
        "Slack's token": SLACK_TOKEN,
        "Slack's webhook": WEBHOOK_PATH,
        "the ledger's password": LEDGER_PASSWORD,
        "the S3 key": remote.s3.secret_key,
    }
    places = {"the terminal": remote.printed.encode(), "the UI": shown.out.encode()}
    places |= {f"s3 {key}": workplace.bytes("v0001", key.rpartition("/")[2]) for key in keys}
    for path in workplace.folder.rglob("*"):
        if path.is_file():
            places[str(path)] = path.read_bytes()
            if path.suffix == ".db":
                places[f"values of {path}"] = b"\n".join(_values(path))
    seen = [content for place, content in places.items() if place.startswith("values of")]
    assert any(b"no_call_rate" in content for content in seen), "the databases were not read"
    found = [
        f"{name} in {place}"
        for place, content in places.items()
        for name, secret in secrets.items()
        if secret.encode() in content
    ]
    assert found == []


def _without_places(environment: dict[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if name not in ("AUTOMEND_STORE", "AUTOMEND_LEDGER", "AUTOMEND_PINS", "DAGSTER_HOME")
    }


def _values(database: Path) -> Iterator[bytes]:
    """Every value in a SQLite database, unpacked where Dagster compressed it."""
    with sqlite3.connect(database) as connection:
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'").fetchall():
            for row in connection.execute(f'select * from "{table}"'):  # noqa: S608
                for value in row:
                    data = value if isinstance(value, bytes) else str(value).encode()
                    try:
                        yield zlib.decompress(data)
                    except zlib.error:
                        yield data
