"""Errors pass between processes: text, attributes and class survive."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.failing import lost

import asyndbt
from asyndbt.errors import AsyndbtError, ConfigError, ModelError, Setting
from asyndbt.lm import Limits, Usage

for module in pkgutil.walk_packages(asyndbt.__path__, "asyndbt."):
    if "_process" not in module.name and "__main__" not in module.name:
        importlib.import_module(module.name)


def tree(kind: type[AsyndbtError] = AsyndbtError) -> Iterator[type[AsyndbtError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from tree(below)


KINDS = sorted(set(tree()), key=lambda kind: kind.__qualname__)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "str": st.text(),
    "int": st.integers(),
    "float": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "None": st.none(),
    "Usage": st.builds(Usage, calls=st.integers(0), tokens_in=st.integers(0)),
    "Limits": st.builds(Limits, calls=st.none() | st.integers(0)),
}


def made(data: st.DataObject, kind: type[AsyndbtError]) -> AsyndbtError:
    """Return an error with arguments of the types that its class names."""
    if kind.__init__ is AsyndbtError.__init__:
        parts = st.text() | st.text().map(Setting)
        return kind(*data.draw(st.lists(parts, max_size=3)))
    inline: list[Any] = []
    named: dict[str, Any] = {}
    for name, of in inspect.signature(kind).parameters.items():
        value = data.draw(st.one_of(VALUES[part] for part in of.annotation.split(" | ")))
        if of.kind is of.KEYWORD_ONLY:
            named[name] = value
        else:
            inline.append(value)
    return kind(*inline, **named)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15)
@given(data=st.data())
def test_every_error_survives_pickle_with_all_that_it_says(
    kind: type[AsyndbtError], data: st.DataObject
) -> None:
    error = made(data, kind)
    error.add_note("go on with: ...")
    protocols = range(pickle.HIGHEST_PROTOCOL + 1)
    for again in [
        copy.copy(error),
        *(pickle.loads(pickle.dumps(error, number)) for number in protocols),
    ]:
        assert type(again) is kind
        assert (str(again), again.args, vars(again)) == (str(error), error.args, vars(error))


def test_the_name_of_a_setting_can_be_replaced_after_a_process() -> None:
    error = pickle.loads(pickle.dumps(ConfigError(Setting("max_chars"), ": 0 given")))
    assert [type(part) for part in error.args] == [Setting, str]


def test_a_process_passes_its_error_on() -> None:
    with (
        ProcessPoolExecutor(1, get_context("spawn")) as pool,
        pytest.raises(ModelError, match="lost") as caught,
    ):
        pool.submit(lost).result()
    assert vars(caught.value) == {
        "provider": "openai",
        "status": 502,
        "kind": "timeout",
        "charged": True,
        "retry_after": None,
    }
