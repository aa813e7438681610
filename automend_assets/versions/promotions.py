"""Which version of a dataset's model is in use, and every decision about that: an append-only table of the ledger.

Here: the record of decisions and what is in use after them, in one transaction each. Not here: whether a model is
good enough (the dataset's gate), what serves it (`serving`), what a version is (`ledger.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import sqlalchemy as sa

from automend_assets.errors import PermanentError, TransientError
from automend_assets.versions.database import LedgerDatabase
from automend_assets.versions.ledger import Ledger

Action = Literal["promoted", "not_promoted", "promoted_by_hand", "rolled_back"]
_OF_GATE: tuple[Action, ...] = ("promoted", "not_promoted")

_DECISIONS = sa.Table(
    "decisions",
    sa.MetaData(),
    sa.Column("dataset", sa.String(63), nullable=False),
    sa.Column("sequence", sa.Integer, nullable=False),
    sa.Column("version", sa.String(20), nullable=False),
    sa.Column("action", sa.String(20), nullable=False),
    sa.Column("before", sa.String(20)),
    sa.Column("in_use", sa.String(20)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("dataset", "sequence"),
)


class InUseChanged(TransientError):
    """A version was compared with a model that is not in use any more; `in_use` is the one that is."""

    def __init__(self, message: str, in_use: str | None) -> None:
        super().__init__(message)
        self.in_use = in_use


class NothingToRollBackTo(PermanentError):
    """No model was in use before the one that is."""


@dataclass(frozen=True)
class Decision:
    """One decision: about which version, what was in use `before` it, and what is `in_use` after it."""

    dataset: str
    sequence: int
    version: str
    action: Action
    before: str | None
    in_use: str | None
    reason: str
    created_at: datetime


class Promotions:
    """The decisions about the models of all datasets, in the ledger's database at `url`.

    Like the ledger it keeps no connection, and reading never creates anything. Every method raises LedgerUnavailable.
    """

    def __init__(self, url: str) -> None:
        self._database = LedgerDatabase(url, _DECISIONS)
        self._ledger = Ledger(url)

    def __repr__(self) -> str:
        return f"Promotions({str(self._database)!r})"

    def in_use(self, dataset: str) -> str | None:
        """The version whose model is in use, or None."""
        if not self._database.exists():
            return None
        with self._database.transaction() as connection:
            return _in_use(connection, dataset)

    def decision_on(self, dataset: str, version: str) -> Decision | None:
        """What the gate decided on a version, if it did."""
        if not self._database.exists():
            return None
        with self._database.transaction() as connection:
            return _gate_decision(connection, dataset, version)

    def history(self, dataset: str) -> list[Decision]:
        """All decisions of a dataset, the oldest first."""
        if not self._database.exists():
            return []
        query = sa.select(_DECISIONS).where(_DECISIONS.c.dataset == dataset).order_by(_DECISIONS.c.sequence)
        with self._database.transaction() as connection:
            return [_decision(row) for row in connection.execute(query)]

    def decide(
        self, dataset: str, version: str, *, against: str | None, promoted: bool, reason: str
    ) -> Decision:
        """Record what the gate found about a version that was compared with the model of `against`.

        A version is decided on once: a second decision is the first one, whatever it would be. Raises VersionNotFound,
        and InUseChanged when another model is in use by now.
        """
        self._ledger.get(dataset, version)
        self._database.create()
        with self._transaction(dataset) as connection:
            earlier = _gate_decision(connection, dataset, version)
            if earlier is not None:
                return earlier
            current = _in_use(connection, dataset)
            if current != against:
                raise InUseChanged(
                    f"{dataset} {version} was compared with {against or 'nothing'}, and {current or 'nothing'} is in"
                    f" use by now. Compare it with that: materialise {dataset}/evaluation and {dataset}/promotion"
                    " again.",
                    current,
                )
            action: Action = "promoted" if promoted else "not_promoted"
            return _record(connection, dataset, version, action, version if promoted else current, reason)

    def promote(self, dataset: str, version: str, reason: str) -> Decision:
        """Put a version's model in use by hand. Raises VersionNotFound."""
        self._ledger.get(dataset, version)
        self._database.create()
        with self._transaction(dataset) as connection:
            return _record(connection, dataset, version, "promoted_by_hand", version, reason)

    def rollback(self, dataset: str, reason: str) -> Decision:
        """Put the model in use again that was before the one that is; once more goes further back.

        Raises NothingToRollBackTo.
        """
        self._database.create()
        with self._transaction(dataset) as connection:
            stack = _stack(connection, dataset)
            if len(stack) < 2:
                raise NothingToRollBackTo(
                    f"No model of {dataset} was in use before {stack[-1]}, so there is none to go back to."
                    if stack
                    else f"No model of {dataset} is in use, so there is nothing to roll back."
                )
            return _record(connection, dataset, stack[-1], "rolled_back", stack[-2], reason)

    def _transaction(self, dataset: str) -> Any:
        return self._database.transaction(lock=f"automend decisions of {dataset}")


def _in_use(connection: sa.Connection, dataset: str) -> str | None:
    newest = (
        sa.select(_DECISIONS.c.in_use)
        .where(_DECISIONS.c.dataset == dataset)
        .order_by(_DECISIONS.c.sequence.desc())
        .limit(1)
    )
    found: str | None = connection.execute(newest).scalar()
    return found


def _gate_decision(connection: sa.Connection, dataset: str, version: str) -> Decision | None:
    query = sa.select(_DECISIONS).where(
        _DECISIONS.c.dataset == dataset,
        _DECISIONS.c.version == version,
        _DECISIONS.c.action.in_(_OF_GATE),
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else _decision(row)


def _stack(connection: sa.Connection, dataset: str) -> list[str]:
    """The models that are or were in use, the one in use last, without those that were rolled back."""
    query = (
        sa.select(_DECISIONS.c.action, _DECISIONS.c.version)
        .where(_DECISIONS.c.dataset == dataset, _DECISIONS.c.action != "not_promoted")
        .order_by(_DECISIONS.c.sequence)
    )
    stack: list[str] = []
    for action, version in connection.execute(query):
        if action == "rolled_back":
            stack.pop()
        else:
            stack.append(version)
    return stack


def _record(
    connection: sa.Connection, dataset: str, version: str, action: Action, in_use: str | None, reason: str
) -> Decision:
    last = connection.execute(
        sa.select(sa.func.max(_DECISIONS.c.sequence)).where(_DECISIONS.c.dataset == dataset)
    ).scalar()
    decision = Decision(
        dataset=dataset,
        sequence=(last or 0) + 1,
        version=version,
        action=action,
        before=_in_use(connection, dataset),
        in_use=in_use,
        reason=reason,
        created_at=datetime.now(UTC),
    )
    connection.execute(_DECISIONS.insert().values(**decision.__dict__))
    return decision


def _decision(row: sa.Row[tuple[Any, ...]]) -> Decision:
    values = dict(row._mapping)
    if values["action"] not in get_args(Action):
        raise ValueError(f"{values['action']!r} is no decision")
    # SQLite keeps no time zone; what was written is UTC.
    at = values["created_at"]
    values["created_at"] = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return Decision(**values)
