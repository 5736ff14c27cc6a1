"""Rewards: how good an answer in words is beside the expected one, from 0 to 1."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any, Final, Self

from asyndbt._spelling import caseless
from asyndbt._text import did_you_mean, listed
from asyndbt.errors import ConfigError, DataError, Setting
from asyndbt.task._example import Example

RewardFunction = Callable[[Example, str], float]
"""From an example, whose label is the expected answer, and a model's answer to the reward."""
_BEFORE: Final = "\"'([{<*_;:!?¡¿…"
_AFTER: Final = "\"')]}>*_;:!?….,。，、；：！？।"
_PATTERN: Final = "regex"
JUDGE: Final = "judge"


@dataclass(frozen=True)
class Reward:
    r"""How good an answer in words is, from 0 to 1.

    Texts are compared word by word: words are what white space divides, whatever their case, the
    marks around them and the form of their letters. A minus or a percent sign stays.

    Parameters
    ----------
    name : str
        ``exact``: 1 if the answer has the words of the expected one, else 0. ``contains``: 1 if it
        has them among others, in a row. ``token_f1``: harmonic mean of the share of its words that
        are expected and the share of the expected ones that it has. ``regex``: ``exact`` of what
        `pattern` finds last in either text, or of the whole expected one if it finds nothing there.
        ``module:function``: a function of an importable module, ``function(example, answer)``; the
        expected answer is ``example.label``. ``judge``: a language model, which only a run asks.
    pattern : str, optional
        Regular expression of ``regex``; its first group, if it has one, is compared.

    Raises
    ------
    ConfigError
        If there is no such reward, or the pattern is none.

    Examples
    --------
    >>> capital = Example({"country": "France"}, "Paris")
    >>> Reward("exact")(capital, "*Paris*."), Reward("contains")(capital, "It is Paris.")
    (1.0, 1.0)
    >>> round(Reward("token_f1")(Example({}, "the city of Paris"), "Paris, the capital"), 3)
    0.571
    >>> Reward("regex", r"#### (\S+)")(Example({}, "6 x 7 #### 42"), "That makes #### 42")
    1.0
    """

    name: str
    pattern: str | None = None

    def __post_init__(self) -> None:
        if (self.name == _PATTERN) != (self.pattern is not None):
            need = "is missing" if self.pattern is None else "is given"
            raise ConfigError(
                Setting("pattern"),
                f": it {need}, and the reward is {self.name!r}; {_PATTERN!r} and no other has one",
            )
        try:
            re.compile(self.pattern or "")
        except re.error as error:
            raise ConfigError(
                Setting("pattern"),
                f": not a regular expression ({error}); TOML takes it in single quotes",
            ) from None
        if self.name not in REWARDS and ":" not in self.name:
            raise ConfigError(
                Setting("reward"),
                f" = {self.name!r} is unknown; there are {listed(REWARDS)} and module:function"
                f"{did_you_mean(self.name, REWARDS)}",
            )

    def __call__(self, example: Example, answer: str) -> float:
        """Return the reward of an answer.

        Raises
        ------
        DataError
            If the function fails, or returns anything but a number from 0 to 1. The text has its
            name and the origin of the example, and nothing of what it says.
        """
        function = self.function
        try:
            value = float(function(example, answer))
        except Exception as error:
            fault = f"raised {type(error).__name__}"
        else:
            if 0.0 <= value <= 1.0:
                return value
            fault = "returned NaN" if math.isnan(value) else f"returned {value:g}"
        # Raised here, not above: its context would hold the texts of the row.
        raise DataError(
            f"{example.origin or 'an example'}: the reward {self.name!r} {fault}; it is a number "
            "from 0 to 1 for every answer"
        )

    @cached_property
    def function(self) -> RewardFunction:
        """The function that is called.

        Raises
        ------
        ConfigError
            If its module cannot be imported, or has no such function, or the reward is that of a
            judge.
        """
        if self.name == JUDGE:
            raise ConfigError(Setting("reward"), " = 'judge' asks a language model: tune by a run")
        if self.pattern is not None:
            found = re.compile(self.pattern)
            return lambda example, answer: _matched(found, example.label, answer)
        if self.name in REWARDS:
            compare = _COMPARISONS[self.name]
            return lambda example, answer: compare(example.label, answer)
        return _imported(self.name)

    @property
    def is_judge(self) -> bool:
        """Whether a language model is asked, and there is no function."""
        return self.name == JUDGE

    def to_dict(self) -> dict[str, str]:
        """Return JSON-ready data."""
        return {"name": self.name} | ({} if self.pattern is None else {"pattern": self.pattern})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict`; imports nothing."""
        return cls(str(data["name"]), str(data["pattern"]) if "pattern" in data else None)


def words_of(text: str) -> list[str]:
    """Return the words of a text, in one spelling; of a text of marks alone, these.

    Examples
    --------
    >>> words_of("**Well-known**, costs $5.00 (-3 %)."), words_of("?")
    (['well-known', 'costs', '$5.00', '-3', '%'], ['?'])
    """
    parts = caseless(text).split()
    words = [word.lstrip(_BEFORE).rstrip(_AFTER) for word in parts]
    return [word for word in words if word] or parts


def _exact(expected: str, answer: str) -> float:
    return float(words_of(expected) == words_of(answer))


def _contains(expected: str, answer: str) -> float:
    wanted, said = words_of(expected), words_of(answer)
    starts = range(len(said) - len(wanted) + 1)
    return float(any(said[start : start + len(wanted)] == wanted for start in starts if wanted))


def _token_f1(expected: str, answer: str) -> float:
    wanted, said = Counter(words_of(expected)), Counter(words_of(answer))
    if not wanted or not said:
        return float(wanted == said)
    return 2.0 * (wanted & said).total() / (wanted.total() + said.total())


def _matched(pattern: re.Pattern[str], expected: str, answer: str) -> float:
    said = _last(pattern, answer)
    return _exact(_last(pattern, expected) or expected, said) if said else 0.0


def _last(pattern: re.Pattern[str], text: str) -> str:
    """Return what a pattern finds last in a text; the empty text if it finds nothing."""
    matches = list(pattern.finditer(text))
    if not matches:
        return ""
    return (matches[-1][1] if pattern.groups else matches[-1][0]) or ""


_COMPARISONS: Final[Mapping[str, Callable[[str, str], float]]] = {
    "exact": _exact,
    "contains": _contains,
    "token_f1": _token_f1,
}
REWARDS: Final = (*_COMPARISONS, _PATTERN, JUDGE)
"""Names of the rewards of this package."""


def _imported(name: str) -> RewardFunction:
    module, _, attribute = name.partition(":")
    try:
        function = getattr(import_module(module), attribute)
    except Exception as error:
        raise ConfigError(
            Setting("reward"),
            f" = {name!r} cannot be imported: {error}; name a function of a module that is "
            "installed or on PYTHONPATH, as module:function",
        ) from error
    if not callable(function):
        raise ConfigError(Setting("reward"), f" = {name!r} is no function")
    found: RewardFunction = function
    return found
