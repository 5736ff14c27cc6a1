"""A language model that answers from a script, for tests and documentation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from asyndbt.errors import ModelError
from asyndbt.lm import Answer, LanguageModel, Prompt, Usage

ScriptedReply = Sequence[float] | str | None
"""Label log-probabilities, or a text, or None for a failed request."""

Script = Callable[[Prompt, Sequence[str]], ScriptedReply] | Mapping[str, ScriptedReply]
"""A function of prompt and labels, or replies by what the prompt's text contains."""


class ScriptedLanguageModel(LanguageModel):
    """Answers from a function or a table, and records what it was asked.

    A request costs one call, its words as tokens, and one token for the answer.

    Parameters
    ----------
    script : callable or mapping
        ``script(prompt, labels)`` returns label log-probabilities, a text, or None for a request
        that fails, and may raise `ModelError` and what is derived from it.  Of a mapping, the
        first key that the prompt's text contains gives the reply.
    delay : float
        Seconds that every call of `score` takes; 0 never suspends.
    failing : collection of int
        Requests that fail, counted from 0 over the model's life.
    price : float
        Money per request.
    name : str
        Identity for the cache.
    is_remote : bool
        Whether requests are sent one by one, limited and retried, as to an endpoint.

    Attributes
    ----------
    asked : list of Prompt
        Every request received, in order, failed ones included.
    charged : Usage
        What the answered requests cost.

    Examples
    --------
    >>> model = ScriptedLanguageModel({"fun": "great", "": "terrible"}, failing={2})
    >>> prompts = [Prompt((), f"It was {word}. Answer:") for word in ("fun", "dull", "fun")]
    >>> answers = asyncio.run(model.score(prompts, ["great", "terrible"]))
    >>> [answer.text if answer else None for answer in answers], model.charged.calls
    (['great', 'terrible', None], 2)
    """

    writes = True

    def __init__(
        self,
        script: Script,
        *,
        delay: float = 0.0,
        failing: Collection[int] = (),
        price: float = 0.0,
        name: str = "scripted",
        is_remote: bool = False,
    ) -> None:
        super().__init__()
        self._script = script
        self._delay = delay
        self._failing = failing
        self._price = price
        self._name = name
        self.is_remote = is_remote
        self.batch = 1 if is_remote else 64
        self.asked: list[Prompt] = []
        self.charged = Usage()

    @property
    def name(self) -> str:
        """Identity for the cache."""
        return self._name

    def max_usage(self, prompt: Prompt) -> Usage:
        """Exact cost of one request."""
        return Usage(1, len(prompt.text.split()), 1, self._price)

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt by the script.

        Raises
        ------
        ModelError
            If the table has no reply to a prompt, or the function raises it.
        """
        first = len(self.asked)
        self.asked += prompts
        if self._delay > 0:
            await asyncio.sleep(self._delay)
        answers = [
            None if first + index in self._failing else self._answer(prompt, labels)
            for index, prompt in enumerate(prompts)
        ]
        self.charged = sum((answer.usage for answer in answers if answer), self.charged)
        return answers

    def _answer(self, prompt: Prompt, labels: Sequence[str]) -> Answer | None:
        if isinstance(self._script, Mapping):
            reply = self._look_up(prompt, self._script)
        else:
            reply = self._script(prompt, labels)
        if reply is None:
            return None
        if isinstance(reply, str):
            return Answer(None, reply, self.max_usage(prompt))
        return Answer(tuple(map(float, reply)), None, self.max_usage(prompt))

    def _look_up(self, prompt: Prompt, table: Mapping[str, ScriptedReply]) -> ScriptedReply:
        for key, reply in table.items():
            if key in prompt.text:
                return reply
        raise ModelError(
            f"the script has no reply to {prompt.text!r}; add a key that it contains, or ''",
            provider="scripted",
        )
