"""Slack as a Dagster resource: where alerts go.

What an alert says is decided in `contracts/anomalies.py`, when there is one in `contracts/checks.py`. It is
never lost and never fails a run: it is logged at CRITICAL without Slack, or when Slack does not take it.
"""

from __future__ import annotations

import http.client
import logging
from typing import TYPE_CHECKING

from dagster import ConfigurableResource
from pydantic import Field

from automend_assets.settings import Settings, revealed

if TYPE_CHECKING:
    from slack_sdk.http_retry import RetryHandler

    from automend_assets.contracts.anomalies import Alert

_LONGEST_WAIT_SECONDS = 30
"""A run does not wait longer than this for a rate limit; the alert is logged in that case."""


class AlertNotDelivered(Exception):
    """Slack did not take an alert; says why, without the token and the webhook URL."""


class SlackResource(ConfigurableResource["SlackResource"]):
    """Sends alerts with a bot token to a channel, or else to an incoming webhook.

    What is not given is read from SLACK_BOT_TOKEN, SLACK_CHANNEL and SLACK_WEBHOOK_URL when an alert is sent,
    so that no secret is part of a run's configuration. With neither a token and a channel nor a webhook,
    alerts are logged at CRITICAL.
    """

    bot_token: str | None = Field(
        default=None, repr=False, description="Token of a bot that may post; unset: SLACK_BOT_TOKEN."
    )
    channel: str | None = Field(
        default=None, description="Channel that the bot posts to, by name or id; unset: SLACK_CHANNEL."
    )
    webhook_url: str | None = Field(
        default=None, repr=False, description="An incoming webhook; unset: SLACK_WEBHOOK_URL."
    )
    base_url: str = Field(default="https://slack.com/api/", description="Root of Slack's Web API.")
    timeout_seconds: int = Field(default=10, ge=1, description="How long one request may take.")

    def send(self, alert: Alert, log: logging.Logger) -> bool:
        """Send an alert, or log it at CRITICAL; tell whether Slack took it. Never raises for Slack's sake."""
        try:
            delivered = self._deliver(alert.text)
        except AlertNotDelivered as failure:
            log.critical("%s\n(Slack did not take this alert: %s)", alert.text, failure)
            return False
        if not delivered:
            log.critical(
                "%s\n(Slack is not configured: set SLACK_BOT_TOKEN and SLACK_CHANNEL, or SLACK_WEBHOOK_URL)",
                alert.text,
            )
        return delivered

    def _deliver(self, text: str) -> bool:
        """Post a text; False when nothing is configured. Raises AlertNotDelivered."""
        settings = Settings()
        token = self.bot_token or revealed(settings.slack_bot_token)
        channel = self.channel or settings.slack_channel
        webhook_url = self.webhook_url or revealed(settings.slack_webhook_url)
        if not (token and channel) and not webhook_url:
            if token:
                raise AlertNotDelivered("SLACK_BOT_TOKEN is set but SLACK_CHANNEL is not")
            return False

        from slack_sdk.errors import SlackClientError

        try:
            if token and channel:
                self._post_message(token, channel, text)
            elif webhook_url:
                self._post_to_webhook(webhook_url, text)
        # OSError: no connection, or too slow. ValueError: an answer that is no JSON, an URL that is none.
        except (SlackClientError, OSError, http.client.HTTPException, ValueError) as error:
            status = getattr(getattr(error, "response", None), "status_code", None)
            status = f" (HTTP {status})" if status else ""
            reason = f"{type(error).__name__}{status}: {error}"
            for secret in (token, webhook_url):
                if secret:
                    reason = reason.replace(secret, "<secret>")
            raise AlertNotDelivered(" ".join(reason.split())[:500]) from None
        return True

    def _post_message(self, token: str, channel: str, text: str) -> None:
        from slack_sdk import WebClient

        client = WebClient(
            token=token,
            base_url=self.base_url,
            timeout=self.timeout_seconds,
            retry_handlers=_retry_handlers(),
            logger=_silent_logger(),
        )
        client.chat_postMessage(channel=channel, text=_escaped(text))

    def _post_to_webhook(self, url: str, text: str) -> None:
        from slack_sdk.webhook import WebhookClient

        client = WebhookClient(
            url, timeout=self.timeout_seconds, retry_handlers=_retry_handlers(), logger=_silent_logger()
        )
        answer = client.send(text=_escaped(text))
        if answer.status_code != 200 or answer.body != "ok":
            raise ValueError(f"the webhook answered {answer.status_code}: {answer.body[:200]}")


def _retry_handlers() -> list[RetryHandler]:
    """Once more after a lost connection, twice more after a rate limit that ends soon."""
    from slack_sdk.http_retry import HttpRequest, HttpResponse, RetryState
    from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, RateLimitErrorRetryHandler

    class ShortRateLimit(RateLimitErrorRetryHandler):
        def _can_retry(
            self,
            *,
            state: RetryState,
            request: HttpRequest,
            response: HttpResponse | None = None,
            error: Exception | None = None,
        ) -> bool:
            if response is None or response.status_code != 429:
                return False
            headers = {name.lower(): value for name, value in response.headers.items()}
            # slack_sdk sleeps as long as the header says, in the middle of the run.
            seconds = (headers.get("retry-after") or ["1"])[0]
            return seconds.isdecimal() and int(seconds) <= _LONGEST_WAIT_SECONDS

    return [ConnectionErrorRetryHandler(max_retry_count=1), ShortRateLimit(max_retry_count=2)]


def _silent_logger() -> logging.Logger:
    """A logger for slack_sdk that says nothing: at DEBUG it logs whole requests, webhook URL included."""
    logger = logging.getLogger("automend_assets.connectors.slack.requests")
    logger.propagate = False
    logger.disabled = True
    return logger


def _escaped(text: str) -> str:
    """The three characters that Slack gives a meaning to."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
