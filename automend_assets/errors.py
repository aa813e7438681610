"""The roots of the project's exceptions; each room defines its own below them, beside the code that raises them."""

from __future__ import annotations


class AutomendError(Exception):
    """Something that a user can act on: the message says what is wrong, where, and what to do."""


class PermanentError(AutomendError):
    """Trying again cannot help: wrong input, missing rights, a version that does not exist."""


class TransientError(AutomendError):
    """Trying again may help: a server or a network that is down."""
