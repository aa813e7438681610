"""Several processes that serve one address, each with its share of the connections.

What belongs here: which process listens on what. What does not: starting, watching and stopping them, which uvicorn
does.
"""

from __future__ import annotations

import platform
import socket

import uvicorn
from uvicorn.supervisors import Multiprocess

_SPREADS = platform.system() == "Linux"


class Workers(Multiprocess):
    """Processes that each listen on a socket of their own, among which Linux spreads connections (SO_REUSEPORT).

    From one socket for all, the process that wakes first takes whatever waits: one may work while the others idle.
    Other systems do not spread them, so there it stays at that.
    """

    def __init__(self, config: uvicorn.Config, bound: socket.socket) -> None:
        """`bound` has the address; where each process gets a socket of its own it is closed."""
        self._family, self._address = bound.family, bound.getsockname()
        super().__init__(config, [bound])
        if _SPREADS:
            self._unused = [self._own_socket() for _ in range(config.workers)]
            # Not before they are bound: someone else might take the port.
            bound.close()
            for unused in self._unused:
                unused.listen(config.backlog)
        else:
            bound.listen(config.backlog)

    @property
    def sockets(self) -> list[socket.socket]:
        """What the next process listens on; asked for once per process.

        No other may hold it, this one included: connections to a process that died would wait for ever. The socket of
        a process that replaces another begins to listen when that process is ready; the others take its share until
        then.
        """
        if _SPREADS:
            return [self._unused.pop() if self._unused else self._own_socket()]
        return self._shared

    @sockets.setter
    def sockets(self, shared: list[socket.socket]) -> None:
        self._shared = shared

    def _own_socket(self) -> socket.socket:
        own = socket.socket(self._family, socket.SOCK_STREAM)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        own.bind(self._address)
        return own
