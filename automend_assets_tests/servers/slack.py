"""A Slack on loopback: `chat.postMessage` and incoming webhooks, with the ways in which the real one fails."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

TOKEN_PREFIX = "Bearer xoxb-"
WEBHOOK_PATH = "/services/T000/B000/secretpart"


class SlackServer:
    """`messages` holds what was delivered, `requests` counts all of them.

    Each request takes the first of `faults`, when there is one: `rate_limit` (429 with Retry-After of
    `retry_after` seconds), `not_ok` (200 that is a refusal), `error` (500), `hang` (no answer until the server
    stops), `drop` (the connection is closed), `garbage` (200 that is no JSON), `echo` (an error that repeats the
    request's headers and path).
    """

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.requests = 0
        self.retry_after = "0"
        self._stopped = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def base_url(self) -> str:
        return f"{self.root}/api/"

    @property
    def webhook_url(self) -> str:
        return self.root + WEBHOOK_PATH

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_until_stopped(self) -> None:
        self._stopped.wait(30)


def _handler(server: SlackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            server.requests += 1
            fault = server.faults.pop(0) if server.faults else None
            webhook = self.path.startswith("/services/")
            match fault:
                case "rate_limit":
                    self._answer(
                        429, {"ok": False, "error": "ratelimited"}, {"Retry-After": server.retry_after}
                    )
                case "not_ok" if webhook:
                    self._answer(200, "invalid_payload")
                case "not_ok":
                    self._answer(200, {"ok": False, "error": "channel_not_found"})
                case "error":
                    self._answer(500, "internal error")
                case "hang":
                    server.wait_until_stopped()
                case "drop":
                    self.close_connection = True
                case "garbage":
                    self._answer(200, "<html>maintenance</html>")
                case "echo":
                    seen = f"{self.headers.get('Authorization')} {server.root}{self.path}"
                    self._answer(200, seen if webhook else {"ok": False, "error": seen})
                case _ if webhook:
                    self._webhook(body)
                case _:
                    self._post_message(body)

        def _post_message(self, body: bytes) -> None:
            if self.path != "/api/chat.postMessage":
                self._answer(404, {"ok": False, "error": "unknown_method"})
            elif not (self.headers.get("Authorization") or "").startswith(TOKEN_PREFIX):
                self._answer(200, {"ok": False, "error": "invalid_auth"})
            else:
                message = _parsed(self.headers.get("Content-Type") or "", body)
                if not message.get("channel") or not message.get("text"):
                    self._answer(200, {"ok": False, "error": "no_text"})
                else:
                    server.messages.append(message)
                    self._answer(200, {"ok": True, "ts": "1.0", "channel": message["channel"]})

        def _webhook(self, body: bytes) -> None:
            if self.path != WEBHOOK_PATH:
                self._answer(404, "no_service")
            else:
                message = json.loads(body)
                server.messages.append(message)
                self._answer(200, "ok")

        def _answer(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _parsed(content_type: str, body: bytes) -> dict[str, Any]:
    if content_type.startswith("application/json"):
        parsed: dict[str, Any] = json.loads(body)
        return parsed
    return {name: values[0] for name, values in parse_qs(body.decode()).items()}
