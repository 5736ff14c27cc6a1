"""Requests that were sent and brought no answer, on disk beside the answers."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final

from asyndbt.lm.protocol import Usage

__all__ = ["ATTEMPTS_SCHEMA", "Attempts"]

ATTEMPTS_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS attempts (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    payer TEXT NOT NULL,
    why TEXT,
    calls INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    money REAL NOT NULL
)"""


class Attempts:
    """The requests of one payer that brought no answer, and what they may have cost.

    A row is written before a request is sent, with the most that it may cost, and taken out in the
    transaction that stores its answer.  So answers and attempts together are all requests that were
    ever sent, and a request that was under way when a process was killed counts as spent.

    Parameters
    ----------
    db : sqlite3.Connection
        Of the `AnswerCache` that this belongs to; has the table of `ATTEMPTS_SCHEMA`.
    payer : str
    explained : callable
        Makes the context that turns SQLite's errors into DataError.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        payer: str,
        explained: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._db, self._payer, self._explained = db, payer, explained
        self._open: dict[bytes, int] = {}
        with self._explained(), self._db:
            self._db.execute(
                "UPDATE attempts SET why = 'interrupted' WHERE payer = ? AND why IS NULL", (payer,)
            )
            row = self._db.execute(
                "SELECT COUNT(*), TOTAL(calls), TOTAL(tokens_in), TOTAL(tokens_out), TOTAL(money) "
                "FROM attempts WHERE payer = ?",
                (payer,),
            ).fetchone()
        self._count = int(row[0])
        self._lost = Usage(int(row[1]), int(row[2]), int(row[3]), float(row[4]))

    def begin(self, key: bytes, bound: Usage) -> None:
        """Write down a request that is about to be sent, with the most that it may cost."""
        with self._explained(), self._db:
            cursor = self._db.execute(
                "INSERT INTO attempts (key, payer, calls, tokens_in, tokens_out, money) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (key, self._payer, bound.calls, bound.tokens_in, bound.tokens_out, bound.money),
            )
        assert cursor.lastrowid is not None
        self._open[key] = cursor.lastrowid

    def end(self, key: bytes, why: str, cost: Usage) -> None:
        """Close a request without an answer: why, in a word or two, and what it may have cost."""
        row = self._open.pop(key)
        with self._explained(), self._db:
            self._db.execute(
                "UPDATE attempts SET why = ?, calls = ?, tokens_in = ?, tokens_out = ?, money = ? "
                "WHERE id = ?",
                (why, cost.calls, cost.tokens_in, cost.tokens_out, cost.money, row),
            )
        self._count += 1
        self._lost += cost

    def take_out(self, keys: Iterable[bytes]) -> None:
        """Forget open requests whose answers are being stored; within that transaction."""
        rows = [(self._open.pop(key),) for key in keys if key in self._open]
        if rows:
            self._db.executemany("DELETE FROM attempts WHERE id = ?", rows)

    def __len__(self) -> int:
        """Count the requests that ended without an answer."""
        return self._count

    def lost(self) -> Usage:
        """Return the most that they may have cost."""
        return self._lost

    def reasons(self) -> dict[str, int]:
        """Count them by why they brought no answer, most frequent first."""
        with self._explained():
            rows = self._db.execute(
                "SELECT why, COUNT(*) FROM attempts WHERE payer = ? AND why IS NOT NULL "
                "GROUP BY why ORDER BY COUNT(*) DESC, why",
                (self._payer,),
            ).fetchall()
        return dict(rows)
