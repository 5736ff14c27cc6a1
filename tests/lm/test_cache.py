import math
import os
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import DataError
from asyndbt.lm import Answer, AnswerCache, Prompt, Usage, request_key

FLOATS = st.floats(allow_nan=False, width=64)
ANSWERS = st.builds(
    Answer,
    st.none() | st.lists(FLOATS, min_size=1, max_size=4).map(tuple),
    st.none() | st.text(st.characters()),
    st.builds(
        Usage,
        st.integers(0, 3),
        st.integers(0, 10**9),
        st.integers(0, 10**6),
        st.floats(0, 100, allow_nan=False),
    ),
)


@given(st.dictionaries(st.binary(min_size=32, max_size=32), ANSWERS, max_size=8))
def test_an_answer_comes_back_exactly(answers: dict[bytes, Answer]) -> None:
    with AnswerCache(":memory:") as cache:
        cache.put_many(answers)
        assert cache.get_many([*answers, b"unknown"]) == answers
        assert len(cache) == len(answers)
        assert cache.total() == sum((answer.usage for answer in answers.values()), Usage())


def test_lone_surrogates_and_odd_floats_survive(tmp_path: Path) -> None:
    odd = Answer((math.nextafter(-0.1, 0), -math.inf, 5e-324), "broken \ud83d", Usage(1, 2, 3, 0.1))
    key = request_key("m", Prompt((), "broken \ud83d"), ["a"])
    with AnswerCache(tmp_path / "c.sqlite") as cache:
        cache.put_many({key: odd})
    with AnswerCache(tmp_path / "c.sqlite") as cache:
        assert cache.get_many([key]) == {key: odd}


def test_the_key_tells_all_that_an_answer_depends_on_apart() -> None:
    plain = Prompt((), "q Answer:")
    shots = Prompt((("a Answer:", "yes"),), "q Answer:")
    as_text = Prompt((), shots.text)
    keys = {
        request_key("m", plain, ["yes", "no"]),
        request_key("n", plain, ["yes", "no"]),
        request_key("m", plain, ["no", "yes"]),
        request_key("m", plain, ["yesno"]),
        request_key("m", plain, ["yes", "no"], sample=1),
        request_key("m", shots, ["yes", "no"]),
        request_key("m", as_text, ["yes", "no"]),
    }
    assert len(keys) == 7


def test_the_key_of_a_request_never_changes() -> None:
    """A change here throws every stored answer of every user away."""
    key = request_key("m", Prompt((("é Answer:", "yes"),), "q Answer:"), ("yes", "no"))
    assert key.hex() == "9124329392a58f69b083162a2e79bc4a79e70260a2f613f676c102ba17835cd9"


def test_each_payer_counts_what_it_paid_and_finds_what_others_paid(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    first, second = Answer((-1.0,), None, Usage(1, 5, 1)), Answer((-2.0,), None, Usage(1, 7, 1))
    with AnswerCache(path, "a") as a, AnswerCache(path, "b") as b:
        a.put_many({b"x": first})
        assert b.get_many([b"x"]) == {b"x": first}
        assert b.total() == Usage()
        # Both sent the same request before either had its answer: both paid.
        b.put_many({b"x": second, b"y": second})
        assert a.get_many([b"x"]) == b.get_many([b"x"]) == {b"x": first}
        assert (a.total(), b.total()) == (Usage(1, 5, 1), Usage(2, 14, 2))
        assert len(a) == len(b) == 2
    with AnswerCache(path, "b") as again:
        assert again.total() == Usage(2, 14, 2)


def test_a_request_that_two_of_one_payer_pay_for_is_counted_twice_and_stored_once(
    tmp_path: Path,
) -> None:
    """As a run and its copy do, with a cache that both share."""
    key, usage = request_key("m", Prompt((), "q"), ["a"]), Usage(1, 10, 2, 0.5)
    first, second = Answer((-0.1,), None, usage), Answer((-0.2,), None, usage)
    caches = [AnswerCache(tmp_path / "c.sqlite", "run") for _ in range(2)]
    for cache, answer in zip(caches, (first, second), strict=True):
        cache.attempts.begin(key, Usage(1, 99, 99, 9.0))
        cache.put_many({key: answer})
        assert cache.get_many([key]) == {key: first}
        assert cache.total() + cache.attempts.lost() == usage
        assert cache.attempts.reasons() == ({"answered twice": 1} if answer is second else {})
        cache.close()
    with AnswerCache(tmp_path / "c.sqlite", "run") as cache:
        assert cache.total() + cache.attempts.lost() == usage + usage


def test_money_adds_up_to_the_same_float_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    with AnswerCache(path) as cache:
        for index in range(50):
            batch = {
                f"{index}-{part}".encode(): Answer(None, "", Usage(1, 1, 1, 0.1 / (index + part)))
                for part in (1, 2, 3)
            }
            cache.put_many(batch)
        total, part = cache.total(), cache.total_of_first(100)
    with AnswerCache(path) as cache:
        assert (cache.total(), cache.total_of_first(100)) == (total, part)
        rest = cache.paid_after(100)
        assert sum(rest.values(), part) == total
        assert next(iter(rest)) == b"33-2"


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    answer = Answer((-1.0,), None, Usage(1, 5, 1))
    with AnswerCache(tmp_path / "c.sqlite") as cache:
        cache.put_many({b"x": answer})
        with pytest.raises(DataError, match="answer cache"):
            cache.put_many({b"y": answer, None: answer})  # type: ignore[dict-item]
        assert cache.get_many([b"y"]) == {}
        assert cache.total() == answer.usage


def test_many_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    start = Barrier(8)

    def use(number: int) -> None:
        for attempt in range(20):
            start.wait(60)
            with AnswerCache(tmp_path / f"{attempt}.sqlite", str(number)) as cache:
                cache.put_many({b"key": Answer((-0.1,), None, Usage(1))})

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(use, range(8)))
    with AnswerCache(tmp_path / "19.sqlite") as cache:
        assert len(cache) == 1


@pytest.mark.parametrize("content", [b"not a database " * 200, None])
def test_an_unusable_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / ("folder/c.sqlite" if content is None else "notes.txt")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=path.name):
        AnswerCache(path)


def test_a_file_of_another_format_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 7")
    other.close()
    before = path.read_bytes()
    with pytest.raises(DataError, match="cache format 7"):
        AnswerCache(path)
    assert path.read_bytes() == before


WRITER = """
import sys
from asyndbt.lm._cache import AnswerCache
from asyndbt.lm._base import Answer, Usage

cache = AnswerCache(sys.argv[1])
for batch in range(10**6):
    cache.put_many({
        f"{batch}/{row}".encode(): Answer((-batch / 7, -row / 3), "x" * 500, Usage(1, batch, row))
        for row in range(20)
    })
    print(batch, flush=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_a_killed_process_loses_no_committed_batch(tmp_path: Path) -> None:
    path = tmp_path / "c.sqlite"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for line in writer.stdout:
            if int(line) >= 60:
                writer.send_signal(signal.SIGKILL)
                break
        committed = max([int(line), *map(int, writer.stdout.read().split())])
    with AnswerCache(path) as cache:
        expected = {
            f"{batch}/{row}".encode(): Answer(
                (-batch / 7, -row / 3), "x" * 500, Usage(1, batch, row)
            )
            for batch in range(committed + 1)
            for row in range(20)
        }
        assert cache.get_many(expected) == expected
        # At most the batch whose commit was not yet reported.
        assert len(cache) - len(expected) in (0, 20)
        assert cache.total().calls == len(cache)
