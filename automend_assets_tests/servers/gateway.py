"""Supabase's API gateway on loopback, in front of a real PostgREST, for the unmodified client.

It takes Supabase's keys (`sb_secret_...`, `sb_publishable_...`) as `apikey`, puts the JWT of the key's role in place of
the client's `Authorization`, and passes `/rest/v1/...` on; everything else of Supabase is missing. Faults on demand.
A proxy of our own and not nginx: it needs no package of the system, and it can fail when a test wants it to.
"""

from __future__ import annotations

import http.client
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from automend_assets_tests.servers.postgrest import PostgrestServer

PREFIX = "/rest/v1/"
_HOP_HEADERS = {
    "host",
    "connection",
    "keep-alive",
    "transfer-encoding",
    "content-length",
    "apikey",
    "authorization",
}
NO_KEY = {
    "message": "No API key found in request",
    "hint": "No `apikey` request header or url param was found.",
}
WRONG_KEY = {
    "message": "Invalid API key",
    "hint": "Double check your Supabase `anon` or `service_role` API key.",
}


class SupabaseGateway:
    """The gateway; use it as a context manager. `requests` holds method and path of all requests, in order.

    Each request takes the first of `faults`, when there is one: an HTTP status to answer with, or `drop` (the
    connection is closed without an answer), `cut` (half of the answer's body) or `html` (200 that is no JSON).
    """

    def __init__(self, postgrest: PostgrestServer) -> None:
        self.service_key = f"sb_secret_{secrets.token_urlsafe(24)}"
        self.anon_key = f"sb_publishable_{secrets.token_urlsafe(24)}"
        self.requests: list[tuple[str, str]] = []
        self.faults: list[int | str] = []
        self.upstream = urlsplit(postgrest.url).netloc
        self.tokens = {
            self.service_key: postgrest.token("service_role"),
            self.anon_key: postgrest.token("anon"),
        }
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        """What SUPABASE_URL is set to."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, *, anon: bool = False) -> dict[str, str]:
        """The variables with which the project finds the gateway."""
        key = {"SUPABASE_ANON_KEY": self.anon_key} if anon else {"SUPABASE_SERVICE_KEY": self.service_key}
        return {"SUPABASE_URL": self.url, **key}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(gateway: SupabaseGateway) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            gateway.requests.append((self.command, self.path))
            fault = gateway.faults.pop(0) if gateway.faults else None
            key = self.headers.get("apikey")
            if fault == "drop":
                self.close_connection = True
            elif fault == "html":
                self._answer(200, b"<html>maintenance</html>", {"Content-Type": "text/html"})
            elif isinstance(fault, int):
                self._answer(fault, b"upstream connect error", {"Content-Type": "text/plain"})
            elif key is None:
                self._refuse(NO_KEY)
            elif key not in gateway.tokens:
                self._refuse(WRONG_KEY)
            elif not self.path.startswith(PREFIX):
                self._answer(404, b"{}", {"Content-Type": "application/json"})
            else:
                self._forward(gateway.tokens[key], body, cut=fault == "cut")

        do_GET = do_HEAD = do_POST = do_PATCH = do_DELETE = _handle

        def _forward(self, token: str, body: bytes, *, cut: bool) -> None:
            upstream = http.client.HTTPConnection(gateway.upstream, timeout=60)
            headers = {
                name: value for name, value in self.headers.items() if name.lower() not in _HOP_HEADERS
            }
            headers["Authorization"] = f"Bearer {token}"
            try:
                upstream.request(self.command, self.path.removeprefix(PREFIX[:-1]), body or None, headers)
                answer = upstream.getresponse()
                content = answer.read()
            except OSError:
                self._answer(
                    502, b'{"message":"An invalid response was received from the upstream server"}', {}
                )
                return
            finally:
                upstream.close()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in _HOP_HEADERS}
            self._answer(answer.status, content, kept, cut=cut)

        def _refuse(self, body: dict[str, str]) -> None:
            self._answer(401, json.dumps(body).encode(), {"Content-Type": "application/json"})

        def _answer(self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if cut:
                self.close_connection = True
                body = body[: len(body) // 2]
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
