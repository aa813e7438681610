"""The model that is served: loading the one in use, and taking another one when it is promoted.

What belongs here: watching the ledger and swapping models. What does not: which model is good (the gate), HTTP
(`app.py`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from automend_assets.datasets.typos.lookup import Lookup
from automend_assets.storage.store import Store
from automend_assets.versions.promotions import Promotions

DATASET = "typos"
MODEL_FILE = "finetuned_model.zip"

_LOG = logging.getLogger(__name__)
# A model that could not be loaded is tried again, but not at every look.
_LOOKS_BETWEEN_TRIES = 10


@dataclass(frozen=True)
class Served:
    """A version that is ready to answer."""

    version: str
    lookup: Lookup
    facts: dict[str, Any]


class ModelInUse:
    """The model that the ledger says is in use, as soon as it is loaded; None before the first one.

    `current` changes at once and as a whole, so whoever read it goes on with what was read. A model that cannot be
    loaded leaves the one before in place, and its error in `error`.
    """

    def __init__(
        self,
        promotions: Promotions,
        store: Store,
        *,
        poll_seconds: float,
        on_change: Callable[[Served], None] = lambda served: None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.current: Served | None = None
        self.error: str | None = None
        self._promotions, self._store, self._poll_seconds = promotions, store, poll_seconds
        self._on_change, self._on_failure = on_change, on_failure
        self._wait = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model-in-use", daemon=True)

    def start(self) -> None:
        """Load what is in use now, and watch for another from then on."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> None:
        """Look once; every failure ends in `error` and is no reason to stop serving."""
        try:
            version = self._promotions.in_use(DATASET)
        except Exception as error:
            self._failed(error)
            return
        served = self.current.version if self.current else None
        if version is None or version == served:
            self.error = None
            return
        if self._wait:
            self._wait -= 1
            return
        try:
            loaded = load(self._store, version)
        except Exception as error:
            self._wait = _LOOKS_BETWEEN_TRIES
            self._failed(error)
            return
        self.current, self.error = loaded, None
        self._on_change(loaded)
        _LOG.info("serving %s %s", DATASET, version)

    def _failed(self, error: Exception) -> None:
        if self.error != str(error):
            _LOG.error("the model in use cannot be taken: %s", error)
        self.error = str(error)
        self._on_failure()

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_seconds):
            self.look()


def load(store: Store, version: str) -> Served:
    """The model of a version with an index of its corrections; raises what `read_artifact` and the store do."""
    import torch

    from automend_assets.datasets.typos.artifact import read_artifact
    from automend_assets.datasets.typos.encoder import encode_with

    # One query is too small to share among threads.
    torch.set_num_threads(1)
    with store.local_copy(DATASET, version, MODEL_FILE) as file:
        artifact = read_artifact(file)
    lookup = Lookup(artifact.entries, encode_with(artifact.model))
    for domain in {entry.domain for entry in artifact.entries}:
        lookup.find("warm up", domain)
    return Served(version, lookup, artifact.facts)
