"""What a model reads: prompts and labels as token numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from asyndbt.errors import ModelError
from asyndbt.lm._base import Prompt
from asyndbt.lm.providers.huggingface._loading import PROVIDER, Kind

__all__ = ["Reader", "Reading", "Tokens"]

Tokens = tuple[int, ...]

_KEPT: Final = 8192
"""Prompts whose tokens are remembered."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A prompt as a model reads it.

    Parameters
    ----------
    tokens : tuple of int
        Special tokens included; of a masked model, with one mask where the label stands.
    tail : str
        The last word of the prompt's text with what follows it: a label's tokens depend on it.
    """

    tokens: Tokens
    tail: str


class Reader:
    """Prompts and labels as one model's tokens.

    A prompt is its text, followed by a space and the label.  With a chat template it is the turns
    that the template writes, up to where the answer begins, followed by the label without a space.
    The label's tokens are those that the tokeniser adds when the label follows the prompt's last
    word; where it would join the two into one token, the label is tokenised by itself.  What an
    encoder-decoder writes is the label as the tokeniser writes targets, its end mark included.

    Parameters
    ----------
    tokenizer
        Of the `transformers` library.
    kind : {"causal", "masked", "seq2seq"}
    chat : bool
        Whether prompts go through the tokeniser's chat template; templates that know of thinking
        are told that there is none.
    system : str or None
        Chat only: first message; ``{labels}`` in it stands for the label words.
    """

    def __init__(self, tokenizer: Any, kind: Kind, chat: bool, system: str | None) -> None:
        self._tokenizer = tokenizer
        self._kind = kind
        self._chat = chat
        self._system = system or ""
        self._read = lru_cache(maxsize=_KEPT)(self._read_anew)
        self._continuation = lru_cache(maxsize=_KEPT)(self._continuation_anew)

    def read(self, prompt: Prompt, labels: Sequence[str]) -> Reading:
        """Tokens of a prompt; the labels matter where the system message names them.

        Raises
        ------
        ModelError
            If the chat template refuses the messages.
        """
        return self._read(prompt, self._system.replace("{labels}", ", ".join(labels)))

    def label_tokens(self, reading: Reading, labels: Sequence[str]) -> tuple[Tokens, ...]:
        """Tokens of every label after a prompt."""
        return tuple(self._continuation(reading.tail, label) for label in labels)

    def unknown(self, tokens: Tokens) -> bool:
        """Whether the tokens of a label do not spell it."""
        return not tokens or self._tokenizer.unk_token_id in tokens

    def _read_anew(self, prompt: Prompt, system: str) -> Reading:
        text = self._chat_text(prompt, system) if self._chat else prompt.text
        tail = _last_word(text)
        if self._kind == "masked":
            masked = f"{text} {self._tokenizer.mask_token}"
            return Reading(self._encode(masked, special=True), tail)
        tokens = self._encode(text, special=not self._chat)
        ended = tokens[-1:] == (self._tokenizer.eos_token_id,)
        if ended and self._kind == "causal" and not self._chat:
            tokens = tokens[:-1]
        return Reading(tokens, tail)

    def _continuation_anew(self, tail: str, label: str) -> Tokens:
        if self._kind == "seq2seq":
            return tuple(self._tokenizer(text_target=label)["input_ids"])
        following = label if self._chat else f" {label}"
        before = self._encode(tail, special=False)
        whole = self._encode(tail + following, special=False)
        if before and whole[: len(before)] == before:
            return whole[len(before) :]
        return self._encode(following, special=False)

    def _encode(self, text: str, *, special: bool) -> Tokens:
        read = self._tokenizer(text, add_special_tokens=special, verbose=False)
        return tuple(read["input_ids"])

    def _chat_text(self, prompt: Prompt, system: str) -> str:
        from jinja2 import TemplateError

        first = [{"role": "system", "content": system}] if system else []
        try:
            text: str = self._tokenizer.apply_chat_template(
                [*first, *prompt.messages],
                add_generation_prompt=True,
                tokenize=False,
                enable_thinking=False,
            )
        except TemplateError as error:
            raise ModelError(
                f"the model's chat template refuses the prompt: {error}; leave out lm.system, or "
                "set lm.chat_template = false",
                provider=PROVIDER,
            ) from error
        return text


def _last_word(text: str) -> str:
    """Last word of a text with the white space behind it.

    Examples
    --------
    >>> _last_word("the last word: ")
    'word: '
    """
    words = text.rsplit(maxsplit=1)
    return text[len(text.rstrip()) - len(words[-1]) :] if words else text
