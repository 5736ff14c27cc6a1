"""A program of DSPy as a language model: what is scored is what the program sends.

A run tunes a task whose only text is the number of an example. So its prompts are short texts such
as ``Question: 7 Note: think twice. Answer:``, from which the program that they stand for is made:
the note goes below the instructions of its signature, the numbers become examples. DSPy renders and
reads what is sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from copy import copy
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final

from asyndbt.dspy._program import choice_of, predictor_of, with_prompt
from asyndbt.errors import ConfigError, ExampleError, ModelError, RateLimitError, TransientError
from asyndbt.lm import Answer, LanguageModel, Prompt, Usage

FIELD: Final = "row"
"""The task's only field: the number of an example."""
_BLOCK: Final = re.compile(r"Question: (\d+)(?: (.+))? Answer:", re.DOTALL)
_PROGRAMS: Final = 64
"""Programs that are kept: a local step asks with some, on the same queries."""


class ProgramModel(LanguageModel):
    """Answers with a label's word, the number of the choice that a program has made.

    A request is one call of the program, which sends one to the language model: an answer that the
    adapter cannot read names no label, and is not asked for in another form.

    Parameters
    ----------
    program : dspy.Module
        With one predictor; asked with its own ``lm``, or that of ``dspy.settings``.
    examples : sequence of dspy.Example
        What the numbers in prompts stand for.

    Raises
    ------
    ConfigError
        If the program does not make one choice, or there is no ``lm``.
    """

    provider = "dspy"
    feedbacks = ("text",)
    is_remote = True

    def __init__(self, program: Any, examples: Sequence[Any]) -> None:
        import dspy

        super().__init__()
        self._program, self._examples = program, examples
        self._choice = choice_of(program)
        self._lm = predictor_of(program).lm or dspy.settings.lm
        if self._lm is None:
            raise ConfigError("no language model: dspy.configure(lm=dspy.LM(...))")
        self._adapter = _asking_once(dspy.settings.adapter or dspy.ChatAdapter())
        self._made = lru_cache(_PROGRAMS)(self._make)

    @property
    def name(self) -> str:
        """The language model's; answers are kept for one compilation only."""
        return f"dspy/{self._lm.model}"

    def max_usage(self, prompt: Prompt) -> Usage:
        """One call."""
        return Usage(calls=1)

    def program_of(self, prompt: Prompt) -> Any:
        """Return the program that a prompt stands for, whatever its query."""
        return self._make(*_parts(prompt))

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt by one call of its program, in a thread.

        Raises
        ------
        ModelError
            As DSPy's errors are: of the language model alone, others are raised as they are.
        """
        return [await asyncio.to_thread(self._answer, prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> Answer:
        from dspy.utils.exceptions import AdapterParseError, ContextWindowExceededError, LMError

        import dspy

        query = self._examples[_block(prompt.query)[0]]
        program = self._made(*_parts(prompt))
        usage = self.max_usage(prompt)
        try:
            with dspy.context(lm=self._lm, adapter=self._adapter):
                chosen = program(**query.inputs())[self._choice.field]
        except AdapterParseError:
            return Answer(None, "", usage)
        except ContextWindowExceededError:
            return Answer(None, None, usage, refusal="too long")
        except LMError as error:
            raise _explained(error) from error
        place = self._choice.index(chosen)
        return Answer(None, "" if place is None else str(place), usage)

    def _make(self, note: str, shown: tuple[tuple[int, int], ...]) -> Any:
        field, values = self._choice.field, self._choice.values
        demos = [{**self._examples[row], field: values[place]} for row, place in shown]
        return with_prompt(self._program, note, demos)


def _parts(prompt: Prompt) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Return the note of a prompt, and example and choice of every demonstration by number."""
    shown = tuple((_block(block)[0], int(word)) for block, word in prompt.shots)
    return _block(prompt.query)[1], shown


def _block(text: str) -> tuple[int, str]:
    found = _BLOCK.fullmatch(text)
    assert found is not None, text
    return int(found[1]), found[2] or ""


def _asking_once(adapter: Any) -> Any:
    """Return an adapter that does not ask again in another form what it cannot read."""
    once = copy(adapter)
    if hasattr(once, "use_json_adapter_fallback"):
        once.use_json_adapter_fallback = False
    return once


def _explained(error: Any) -> ModelError:
    """Return the error of this package that an error of DSPy's language models is."""
    from dspy.utils import exceptions as of_dspy

    about: dict[str, Any] = {"provider": ProgramModel.provider, "status": error.status}
    lasting = (
        of_dspy.LMAuthError,
        of_dspy.LMBillingError,
        of_dspy.LMConfigurationError,
        of_dspy.LMUnsupportedModelError,
    )
    if isinstance(error, of_dspy.LMRateLimitError):
        return RateLimitError(str(error), retry_after=error.retry_after, **about)
    if isinstance(error, lasting) or error.status == HTTPStatus.NOT_FOUND:
        return ModelError(str(error), **about)
    if isinstance(error, of_dspy.LMInvalidRequestError):
        return ExampleError(str(error), **about)
    return TransientError(str(error), kind=error.code, charged=True, **about)
