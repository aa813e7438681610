"""Alerts against a Slack on loopback: delivered, or logged in full, and never an exception."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest

from automend_assets.connectors.slack import SlackResource
from automend_assets.contracts.anomalies import Alert
from automend_assets_tests.servers.slack import SlackServer

TOKEN = "xoxb-not-a-real-token"
ALERT = Alert("glaive", "v0003", "mean_turns", "12.5", "at most 10", "Check <turns> & calls")
LOG = logging.getLogger("alerts")


@pytest.fixture(autouse=True)
def _no_slack_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL", "SLACK_WEBHOOK_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


def bot(slack: SlackServer) -> SlackResource:
    return SlackResource(bot_token=TOKEN, channel="#data", base_url=slack.base_url, timeout_seconds=1)


def webhook(slack: SlackServer) -> SlackResource:
    return SlackResource(webhook_url=slack.webhook_url, timeout_seconds=1)


@pytest.mark.parametrize("resource", [bot, webhook])
def test_an_alert_says_everything(
    resource: type[SlackResource], slack: SlackServer, caplog: pytest.LogCaptureFixture
) -> None:
    assert resource(slack).send(ALERT, LOG)
    (message,) = slack.messages
    assert message["text"] == (
        "Anomaly in glaive v0003: mean_turns\n"
        "Observed: 12.5\n"
        "Threshold: at most 10\n"
        "Recommendation: Check &lt;turns&gt; &amp; calls"
    )
    assert message.get("channel") == ("#data" if resource is bot else None)
    assert caplog.records == []


@pytest.mark.parametrize("resource", [bot, webhook])
def test_a_short_rate_limit_is_waited_for(resource: type[SlackResource], slack: SlackServer) -> None:
    slack.faults = ["rate_limit", "rate_limit"]
    assert resource(slack).send(ALERT, LOG)
    assert slack.requests == 3


@pytest.mark.parametrize("resource", [bot, webhook])
@pytest.mark.parametrize(
    ("faults", "retry_after", "reason"),
    [
        (["rate_limit"] * 9, "0", "ratelimited"),
        (["rate_limit"], "3600", "ratelimited"),
        (["rate_limit"], "soon", "ratelimited"),
        (["not_ok"], "0", ""),
        (["error"], "0", "500"),
        (["hang"] * 2, "0", "timed out"),
        (["drop"] * 9, "0", "RemoteDisconnected"),
        (["garbage"], "0", ""),
    ],
    ids=["rate limit", "long rate limit", "odd rate limit", "not ok", "500", "hang", "drop", "garbage"],
)
def test_what_slack_does_not_take_is_logged(
    resource: type[SlackResource],
    faults: list[str],
    retry_after: str,
    reason: str,
    slack: SlackServer,
    caplog: pytest.LogCaptureFixture,
) -> None:
    slack.faults = list(faults)
    slack.retry_after = retry_after
    started = time.monotonic()
    with caplog.at_level(logging.DEBUG):
        assert not resource(slack).send(ALERT, LOG)
    assert time.monotonic() - started < 20
    assert slack.messages == []
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    logged = record.getMessage()
    assert ALERT.text in logged
    assert "Slack did not take this alert" in logged
    assert reason in logged


@pytest.mark.parametrize("resource", [bot, webhook])
@pytest.mark.parametrize("fault", ["echo", "drop", "garbage", "not_ok", "error", None])
def test_no_secret_is_ever_logged(
    resource: type[SlackResource], fault: str | None, slack: SlackServer, caplog: pytest.LogCaptureFixture
) -> None:
    slack.faults = [fault] * 3 if fault else []
    with caplog.at_level(logging.DEBUG):
        resource(slack).send(ALERT, LOG)
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert TOKEN not in logged
    assert "secretpart" not in logged


def test_nothing_listening_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/"
    assert not SlackResource(bot_token=TOKEN, channel="#data", base_url=url).send(ALERT, LOG)
    assert not SlackResource(webhook_url=f"{url}services/secretpart").send(ALERT, LOG)
    refused = [record.getMessage() for record in caplog.records]
    assert len(refused) == 2
    assert all("Connection refused" in message and "secretpart" not in message for message in refused)


def test_a_webhook_that_is_no_url_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert not SlackResource(webhook_url="secretpart").send(ALERT, LOG)
    (record,) = caplog.records
    assert ALERT.text in record.getMessage()
    assert "secretpart" not in record.getMessage()


def test_without_slack_the_alert_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert not SlackResource().send(ALERT, LOG)
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    assert ALERT.text in record.getMessage()
    assert "set SLACK_BOT_TOKEN and SLACK_CHANNEL, or SLACK_WEBHOOK_URL" in record.getMessage()


def test_a_token_without_a_channel_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    assert not SlackResource().send(ALERT, LOG)
    assert "SLACK_CHANNEL is not" in caplog.text


def test_the_environment_is_read_when_an_alert_is_sent(
    slack: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = SlackResource(base_url=slack.base_url)
    monkeypatch.setenv("SLACK_BOT_TOKEN", TOKEN)
    monkeypatch.setenv("SLACK_CHANNEL", "C0123")
    assert resource.send(ALERT, LOG)
    monkeypatch.delenv("SLACK_BOT_TOKEN")
    monkeypatch.setenv("SLACK_WEBHOOK_URL", slack.webhook_url)
    assert resource.send(ALERT, LOG)
    assert [message.get("channel") for message in slack.messages] == ["C0123", None]


def test_secrets_are_not_in_the_repr() -> None:
    shown = repr(SlackResource(bot_token=TOKEN, channel="#data", webhook_url="https://hooks/secretpart"))
    assert TOKEN not in shown
    assert "secretpart" not in shown
