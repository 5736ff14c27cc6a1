"""The optimizer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from asyndbt._api import tune
from asyndbt._text import listed, shorten
from asyndbt.dspy._model import FIELD, ProgramModel
from asyndbt.dspy._program import Choice, choice_of
from asyndbt.errors import ConfigError, DataError, MissingExtraError

try:
    from dspy.teleprompt import Teleprompter
except ImportError:
    Teleprompter = None

_LABEL, _SITE = "the label", "the site"


class AsynDBT(Teleprompter or object):  # type: ignore[misc]
    """Tune the demonstrations and a note below the instructions of a program with one choice.

    Prompts are rendered and answers read by DSPy's own adapter, and asked of the program's ``lm``
    or that of ``dspy.settings``: what is scored is what the program sends. Whether a choice is
    right is all that counts, so there is no metric.

    Parameters
    ----------
    calls : int
        Most requests that `compile` sends.
    site_field : str, optional
        Field of the examples that names their site; one site without.
    method, data, federation : mapping, optional
        Further tables of the configuration, such as ``method={"fragment_length": 4}``; rows,
        columns and sites are set by `compile`.
    seed : int
        Of every random draw.

    Attributes
    ----------
    programs : dict of str to dspy.Module
        What the latest `compile` has made, by site.

    Raises
    ------
    MissingExtraError
        If DSPy is not installed.
    """

    def __init__(
        self,
        calls: int = 1000,
        *,
        site_field: str | None = None,
        method: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        federation: Mapping[str, Any] | None = None,
        seed: int = 0,
    ) -> None:
        if Teleprompter is None:
            raise MissingExtraError("dspy", "dspy")
        super().__init__()
        self.calls, self.site_field, self.seed = calls, site_field, seed
        self.method, self.data, self.federation = method, data, federation
        self.programs: dict[str, Any] = {}

    def compile(
        self, student: Any, *, trainset: Sequence[Any], valset: Sequence[Any] | None = None
    ) -> Any:
        """Return a copy of a program with tuned demonstrations and instructions.

        With several sites it has the words that all share, or those that the site has kept, and
        the demonstrations of the site with most examples; `programs` has those of all sites.

        Parameters
        ----------
        student : dspy.Module
            With one ``dspy.Predict``, whose only output is a ``Literal``; its demonstrations are
            replaced.
        trainset : sequence of dspy.Example
            Queries and candidates for demonstrations, with the right choice.
        valset : sequence of dspy.Example, optional
            To choose between prompts at the end; part of `trainset` without.

        Raises
        ------
        ConfigError
            If the program is of another form, or a setting cannot be used.
        DataError
            If an example lacks inputs, choice or site, or there are too few.
        BudgetError
            If `calls` are too few.
        ModelError
            If no request can succeed.
        """
        choice = choice_of(student)
        if (self.method or {}).get("neighbours"):
            raise ConfigError(
                "method.neighbours finds demonstrations for every query, and a program of DSPy has "
                "the same for all: remove it, or use dspy.KNNFewShot"
            )
        known = _Examples(choice, self.site_field)
        train = known.rows("trainset", trainset)
        parts = {"train": train, **({"validation": known.rows("valset", valset)} if valset else {})}
        model = ProgramModel(student, known.examples)
        self.programs = self._tuned(model, _labels(train), parts)
        (most, _), *_ = Counter(row.get(_SITE) for row in train).most_common(1)
        return self.programs[most or next(iter(self.programs))]

    def _tuned(
        self, model: ProgramModel, labels: Sequence[str], parts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return the programs by site."""
        fewest = min(Counter((row.get(_SITE), row[_LABEL]) for row in parts["train"]).values())
        given = {
            "task": {"instruction": f"{{{FIELD}}}", "labels": {label: label for label in labels}},
            "data": {
                "pool_per_class": min(20, max(2, fewest // 3)),
                **(self.data or {}),
                **parts,
                "label_column": _LABEL,
                **({"site_column": _SITE} if self.site_field else {}),
            },
            "lm": {"feedback": "text"},
            "budget": {"calls": self.calls},
            **({"method": self.method} if self.method else {}),
            **({"federation": self.federation} if self.federation else {}),
        }
        with TemporaryDirectory() as folder:
            run = {"dir": str(Path(folder) / "run"), "seed": self.seed}
            result = tune({**given, "run": run}, model=model)
            prompts = {site: result.prompt(site) for site in result.sites}
        programs = {
            site: model.program_of(prompt.render(**{FIELD: "0"}))
            for site, prompt in prompts.items()
        }
        for program in programs.values():
            program._compiled = True
        return programs


class _Examples:
    """Examples by number, equal inputs under one, and rows that name them."""

    def __init__(self, choice: Choice, site_field: str | None) -> None:
        self.examples: list[Any] = []
        self._choice, self._site_field = choice, site_field
        self._numbers: dict[str, int] = {}

    def rows(self, part: str, examples: Sequence[Any]) -> list[dict[str, str]]:
        """Return a row for every example of a part; raises DataError."""
        return [
            dict(self._row(f"{part} example {number}", example))
            for number, example in enumerate(examples, start=1)
        ]

    def _row(self, origin: str, example: Any) -> Iterator[tuple[str, str]]:
        field = self._choice.field
        if field not in example or (place := self._choice.index(example[field])) is None:
            found = shorten(example[field]) if field in example else "nothing"
            choices = listed(map(str, self._choice.values))
            raise DataError(f"{origin}: {field!r} is {found}, not one of {choices}")
        yield FIELD, str(self._number(origin, example))
        yield _LABEL, str(place)
        if self._site_field is not None:
            if self._site_field not in example:
                raise DataError(f"{origin}: no field {self._site_field!r}, which names its site")
            yield _SITE, str(example[self._site_field])

    def _number(self, origin: str, example: Any) -> int:
        try:
            inputs = example.inputs().toDict()
        except ValueError:
            raise DataError(f"{origin}: which fields are inputs? call with_inputs(...)") from None
        content = repr(sorted((name, repr(value)) for name, value in inputs.items()))
        number = self._numbers.setdefault(content, len(self.examples))
        if number == len(self.examples):
            self.examples.append(example)
        return number


def _labels(rows: Sequence[Mapping[str, str]]) -> list[str]:
    """Return the choices that occur, in their order; raises DataError if they are not several."""
    found = sorted({row[_LABEL] for row in rows}, key=int)
    if len(found) < 2:
        raise DataError("trainset: give examples of two choices or more")
    return found
