"""Prompts and labels as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from asyndbt.errors import ModelError
from asyndbt.lm._base import Prompt
from asyndbt.lm.providers.huggingface._networks import PROVIDER, Kind

Tokens = tuple[int, ...]

_CACHED: Final = 8192
"""Prompts, and pairs of a context and a label, whose tokens are cached."""


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """A prompt as a model reads it, for a masked model with one mask in the label's place.

    `tail` is the last word of the text and what follows it, on which a label's tokens depend.
    """

    tokens: Tokens
    tail: str


class PromptTokenizer:
    """Tokenizes prompts and labels for one model.

    A prompt is its text, followed by a space and the label.  With a chat template it is the turns
    that the template writes, up to the start of the answer, followed by the label without a space.
    A label's tokens are those that the tokenizer appends when the label follows the prompt's last
    word; if it would merge the two into one token, the label is tokenized by itself.  For an
    encoder-decoder a label is a target: its end-of-sequence token is included.

    Parameters
    ----------
    tokenizer
        A tokenizer of the `transformers` library.
    kind : {"causal", "masked", "seq2seq"}
    chat : bool
        Whether to apply the chat template, with its thinking mode, if any, switched off.
    system : str or None
        Chat only: the system message; ``{labels}`` in it stands for the label words.
    """

    def __init__(self, tokenizer: Any, kind: Kind, chat: bool, system: str | None) -> None:
        self._tokenizer = tokenizer
        self._kind = kind
        self._chat = chat
        self._system = system
        self._cached_prompt = lru_cache(maxsize=_CACHED)(self._tokenize_prompt)
        self._cached_label = lru_cache(maxsize=_CACHED)(self._tokenize_label)

    def prompt(self, prompt: Prompt, labels: Sequence[str]) -> TokenizedPrompt:
        """Tokenize a prompt; raises ModelError if the chat template refuses the messages.

        The system message is about labels: before a text is written there is none.
        """
        system = system_text(self._system, labels) if prompt.most_tokens is None else ""
        return self._cached_prompt(prompt, system)

    def labels(self, tail: str, labels: Sequence[str]) -> tuple[Tokens, ...]:
        """Tokenize every label as the continuation of a prompt with this `tail`."""
        return tuple(self._cached_label(tail, label) for label in labels)

    def is_unknown(self, tokens: Tokens) -> bool:
        """Whether the tokens of a label do not spell it."""
        return not tokens or self._tokenizer.unk_token_id in tokens

    def _tokenize_prompt(self, prompt: Prompt, system: str) -> TokenizedPrompt:
        text = self._chat_text(prompt, system) if self._chat else prompt.text
        tail = _last_word(text)
        if self._kind == "masked":
            masked = f"{text} {self._tokenizer.mask_token}"
            return TokenizedPrompt(self._encode(masked, special=True), tail)
        tokens = self._encode(text, special=not self._chat)
        ended = tokens[-1:] == (self._tokenizer.eos_token_id,)
        if ended and self._kind == "causal" and not self._chat:
            tokens = tokens[:-1]
        return TokenizedPrompt(tokens, tail)

    def _tokenize_label(self, tail: str, label: str) -> Tokens:
        if self._kind == "seq2seq":
            return tuple(self._tokenizer(text_target=label)["input_ids"])
        following = label if self._chat else f" {label}"
        before = self._encode(tail, special=False)
        whole = self._encode(tail + following, special=False)
        if before and whole[: len(before)] == before:
            return whole[len(before) :]
        return self._encode(following, special=False)

    def _encode(self, text: str, *, special: bool) -> Tokens:
        encoded = self._tokenizer(text, add_special_tokens=special, verbose=False)
        return tuple(encoded["input_ids"])

    def _chat_text(self, prompt: Prompt, system: str) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._tokenizer.apply_chat_template(
                chat_messages(prompt, system),
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


def system_text(system: str | None, labels: Sequence[str]) -> str:
    """Return the system message with the label words in their place; empty if there is none."""
    return (system or "").replace("{labels}", ", ".join(labels))


def chat_messages(prompt: Prompt, system: str) -> list[dict[str, str]]:
    """Return what a chat template is given, with a system message unless it is empty."""
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *prompt.messages]


def _last_word(text: str) -> str:
    """Last word of a text with the white space behind it.

    Examples
    --------
    >>> _last_word("the last word: ")
    'word: '
    """
    words = text.rsplit(maxsplit=1)
    return text[len(text.rstrip()) - len(words[-1]) :] if words else text


def common_prefix(rows: Sequence[Tokens]) -> Tokens:
    """Return the longest common prefix of some token sequences.

    Examples
    --------
    >>> common_prefix([(1, 2, 3), (1, 2, 4, 5)])
    (1, 2)
    """
    first, last = min(rows), max(rows)
    for position, (one, other) in enumerate(zip(first, last, strict=False)):
        if one != other:
            return first[:position]
    return first


def forced_inputs(labels: Sequence[Tokens]) -> list[Tokens]:
    """Return the inputs by which teacher forcing scores all labels.

    A label's last token is only predicted, so its input is the tokens before it.  An input that
    another one continues is left out: labels that begin alike share one.

    Examples
    --------
    >>> forced_inputs([(4,), (5, 6, 7), (5, 6), (8, 9)])
    [(5, 6), (8,)]
    >>> forced_inputs([(4,), (5,)])
    [()]
    """
    heads = sorted({label[:-1] for label in labels}, key=lambda head: (-len(head), head))
    inputs: list[Tokens] = []
    for head in heads:
        if not any(longer[: len(head)] == head for longer in inputs):
            inputs.append(head)
    return inputs


def labels_by_input(labels: Sequence[Tokens], inputs: Sequence[Tokens]) -> list[list[int]]:
    """Return for every forced input the indices of the labels that it scores."""
    members: list[list[int]] = [[] for _ in inputs]
    for index, label in enumerate(labels):
        head = label[:-1]
        number = next(n for n, longer in enumerate(inputs) if longer[: len(head)] == head)
        members[number].append(index)
    return members
