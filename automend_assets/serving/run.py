"""Running the service: the socket, the processes, the environment that they need before anything is imported."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable
from functools import partial

from automend_assets.errors import PermanentError

_NEEDED = ("fastapi", "limits", "prometheus_client", "uvicorn")


class ServiceMissing(PermanentError):
    """What the service needs is not installed."""


class PortTaken(PermanentError):
    """The address cannot be listened on."""


def serve(host: str, port: int, workers: int, *, on_listening: Callable[[str], None]) -> None:
    """Serve until told to stop; `on_listening` gets the address as soon as connections are taken.

    Port 0 is a free one. Raises ServiceMissing, PortTaken.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise ServiceMissing(
            f"The service needs {', '.join(missing)}: install it with pip install 'automend-assets[serve]'."
        )
    # Libraries read these when they are imported, and a look-up is too small to share among threads.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    with tempfile.TemporaryDirectory(prefix="automend-metrics-") as metrics:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = metrics
        import uvicorn

        from automend_assets.serving.workers import Workers

        config = uvicorn.Config(
            "automend_assets.serving.app:create_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=10,
            # The name of the server's software helps nobody but attackers.
            server_header=False,
        )
        try:
            socket = config.bind_socket()
        except SystemExit:  # uvicorn has told why
            raise PortTaken(f"{host}:{port} cannot be listened on: choose another --port.") from None
        address = socket.getsockname()
        # From here on whoever connects waits for the model instead of being refused.
        if workers == 1:
            socket.listen(config.backlog)
            run: Callable[[], None] = partial(uvicorn.Server(config).run, sockets=[socket])
        else:
            run = Workers(config, socket).run
        on_listening(f"http://{address[0]}:{address[1]}")
        run()
    sys.stderr.flush()
