"""Paid answers on disk, and the requests that brought none: no answer is paid for twice."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from os import PathLike
from typing import Any, Final, Self

from asyndbt.errors import DataError
from asyndbt.lm._base import Answer, Prompt, Usage

_VERSION: Final = 2
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS answers (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL,
    payer TEXT NOT NULL,
    scores BLOB,
    text BLOB,
    calls INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL,
    money REAL NOT NULL,
    refusal TEXT,
    UNIQUE (key, payer)
)"""
_COLUMNS: Final = "scores, text, calls, tokens_in, tokens_out, money, refusal"
_WAIT: Final = 30.0
"""Seconds to wait for others that write to the same file."""
_PAUSE: Final = 0.01


def request_key(model: str, prompt: Prompt, labels: Sequence[str], sample: int = 0) -> bytes:
    """SHA-256 of the canonical JSON of everything that an answer depends on.

    `model` is a `LanguageModel.name`; the prompt is hashed as text and as chat turns.

    Examples
    --------
    >>> prompt = Prompt((), "Great or not? Answer:")
    >>> first = request_key("m", prompt, ["yes", "no"])
    >>> first == request_key("m", prompt, ["yes", "no"], sample=1), len(first)
    (False, 32)
    """
    request = {
        "model": model,
        "text": prompt.text,
        "turns": prompt.messages,
        "labels": list(labels),
        "sample": sample,
    }
    if prompt.most_tokens is not None:
        request["most_tokens"] = prompt.most_tokens
    # ASCII escapes also encode lone surrogates of a broken text file.
    canonical = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode("ascii")).digest()


class AnswerCache:
    """A SQLite file of answers, each with the run that paid for it.

    A batch is one transaction of a write-ahead log: a killed process loses no committed batch and
    leaves a readable file.  Runs may share a file: each finds all answers and counts only its own
    payments; two that pay for the same request at the same time keep a row each.  Not for two
    threads at once.

    Parameters
    ----------
    path : str or path
        The file, created if it is missing; ``":memory:"`` keeps nothing.
    payer : str
        Identity of the run and of the site within it, whose payments `total` sums.

    Raises
    ------
    DataError
        From every method, if the file cannot be used: not a cache, not writable, disk full.

    Examples
    --------
    >>> key = request_key("m", Prompt((), "Great or not? Answer:"), ["yes", "no"])
    >>> with AnswerCache(":memory:") as cache:
    ...     cache.put_many({key: Answer((-0.1, -2.3), None, Usage(1, 6, 1))})
    ...     cache.get_many([key])[key].label_log_probabilities, cache.total().tokens
    ((-0.1, -2.3), 7)
    """

    def __init__(self, path: str | PathLike[str], payer: str = "run") -> None:
        self.path = str(path)
        self.payer = payer
        with self._explained():
            # A notebook may build a run in one thread and drive its event loop in another.
            self._db = sqlite3.connect(path, timeout=_WAIT, check_same_thread=False)
        try:
            self._open()
        except DataError:
            self._db.close()
            raise

    def _open(self) -> None:
        with self._explained():
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise DataError(
                    f"{self.path}: written by another version of asyndbt (cache format {version}, "
                    f"this is {_VERSION}); name another file"
                )
            self._switch_to_log()
            # With WAL this survives a killed process; only a power cut may cost the last batches.
            self._db.execute("PRAGMA synchronous = NORMAL")
            with self._db:
                self._db.execute(_SCHEMA)
                self._db.execute(ATTEMPTS_SCHEMA)
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
            refused = self._db.execute(
                "SELECT refusal, COUNT(*) FROM answers WHERE payer = ? AND refusal IS NOT NULL "
                "GROUP BY refusal",
                (self.payer,),
            ).fetchall()
        self._refused = Counter(dict(refused))
        self._total = self.total_of_first(-1)
        self.attempts = Attempts(self._db, self.payer, self._explained)

    def _switch_to_log(self) -> None:
        """Switch the file to a write-ahead log.

        For this SQLite does not wait by itself where others open the file for the first time.
        """
        end = time.monotonic() + _WAIT
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                    raise
                time.sleep(_PAUSE)

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Answer]:
        """Return the stored answers among `keys`, of any payer."""
        query = f"SELECT {_COLUMNS} FROM answers WHERE key = ? ORDER BY id LIMIT 1"
        with self._explained():
            rows = {key: self._db.execute(query, (key,)).fetchone() for key in keys}
            return {key: _answer(row) for key, row in rows.items() if row is not None}

    def put_many(self, answers: Mapping[bytes, Answer]) -> None:
        """Store paid answers in one transaction; a second one to a request counts as lost."""
        insert = (
            f"INSERT INTO answers (key, payer, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING"
        )
        stored = []
        with self._explained(), self._db:
            for key, answer in answers.items():
                if self._db.execute(insert, (key, self.payer, *_row(answer))).rowcount:
                    stored.append(key)
            self.attempts.take_out(stored)
        kept = [answers[key] for key in stored]
        self._total = sum((answer.usage for answer in kept), self._total)
        self._refused.update(answer.refusal for answer in kept if answer.refusal is not None)
        for key in answers:
            if key in self.attempts:
                self.attempts.end(key, "answered twice", answers[key].usage)

    def total(self) -> Usage:
        """Return the total usage of this payer."""
        return self._total

    def total_of_first(self, count: int) -> Usage:
        """Return the usage of the first `count` answers of this payer; -1 for all."""
        # Summed in the order of payment, so that money is the same float after a resume.
        return sum((usage for _, usage in self._payments(count, 0)), Usage())

    def refused(self) -> dict[str, int]:
        """Count this payer's refused prompts by reason, most frequent first."""
        return dict(sorted(self._refused.items(), key=lambda item: (-item[1], item[0])))

    def paid_after(self, count: int) -> dict[bytes, Usage]:
        """Return the usage of this payer's answers after the first `count` by key, oldest first."""
        return dict(self._payments(-1, count))

    def _payments(self, limit: int, offset: int) -> list[tuple[bytes, Usage]]:
        with self._explained():
            rows = self._db.execute(
                "SELECT key, calls, tokens_in, tokens_out, money FROM answers WHERE payer = ? "
                "ORDER BY id LIMIT ? OFFSET ?",
                (self.payer, limit, offset),
            ).fetchall()
            return [(key, _usage(*amounts)) for key, *amounts in rows]

    def __len__(self) -> int:
        """Count the requests with an answer, of any payer."""
        with self._explained():
            count = self._db.execute("SELECT COUNT(DISTINCT key) FROM answers").fetchone()[0]
        return int(count)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(f"{self.path}: the answer cache cannot be used: {error}") from error
        except (TypeError, ValueError, struct.error) as error:
            raise DataError(
                f"{self.path}: the answer cache is damaged: move it away, and its answers are "
                "paid again"
            ) from error


def _row(answer: Answer) -> tuple[Any, ...]:
    scores, usage = answer.label_log_probabilities, answer.usage
    packed = None if scores is None else struct.pack(f"<{len(scores)}d", *scores)
    text = None if answer.text is None else answer.text.encode("utf-8", "surrogatepass")
    return (packed, text, *_amounts(usage), answer.refusal)


def _amounts(usage: Usage) -> tuple[int, int, int, float]:
    return usage.calls, usage.tokens_in, usage.tokens_out, usage.money


def _answer(row: tuple[Any, ...]) -> Answer:
    scores, text, calls, tokens_in, tokens_out, money, refusal = row
    return Answer(
        None if scores is None else struct.unpack(f"<{len(scores) // 8}d", scores),
        None if text is None else text.decode("utf-8", "surrogatepass"),
        _usage(calls, tokens_in, tokens_out, money),
        refusal,
    )


def _usage(calls: Any, tokens_in: Any, tokens_out: Any, money: Any) -> Usage:
    """Return amounts as they were stored; ValueError or TypeError if they are no numbers."""
    return Usage(int(calls), int(tokens_in), int(tokens_out), float(money))


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
    """Requests of one payer without an answer, and what they may have cost.

    A row is written before a request is sent, with the most that it may cost, and removed in the
    transaction that stores its answer.  So answers and attempts together are all requests ever
    sent, and a request in flight when a process is killed counts as spent.
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
        """Record a request that is about to be sent, with the most that it may cost."""
        with self._explained(), self._db:
            cursor = self._db.execute(
                "INSERT INTO attempts (key, payer, calls, tokens_in, tokens_out, money) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (key, self._payer, *_amounts(bound)),
            )
        assert cursor.lastrowid is not None
        self._open[key] = cursor.lastrowid

    def end(self, key: bytes, why: str, cost: Usage) -> None:
        """Close a request without an answer, with the reason and what it may have cost."""
        row = self._open.pop(key)
        with self._explained(), self._db:
            self._db.execute(
                "UPDATE attempts SET why = ?, calls = ?, tokens_in = ?, tokens_out = ?, money = ? "
                "WHERE id = ?",
                (why, *_amounts(cost), row),
            )
        self._count += 1
        self._lost += cost

    def take_out(self, keys: Iterable[bytes]) -> None:
        """Delete open requests whose answers are being stored, in the same transaction."""
        rows = [(self._open.pop(key),) for key in keys if key in self._open]
        if rows:
            self._db.executemany("DELETE FROM attempts WHERE id = ?", rows)

    def __contains__(self, key: bytes) -> bool:
        """Whether a request is open."""
        return key in self._open

    def __len__(self) -> int:
        """Count the requests that ended without an answer."""
        return self._count

    def lost(self) -> Usage:
        """Return the most that they may have cost."""
        return self._lost

    def reasons(self) -> dict[str, int]:
        """Count them by reason, most frequent first."""
        with self._explained():
            rows = self._db.execute(
                "SELECT why, COUNT(*) FROM attempts WHERE payer = ? AND why IS NOT NULL "
                "GROUP BY why ORDER BY COUNT(*) DESC, why",
                (self._payer,),
            ).fetchall()
        return dict(rows)
