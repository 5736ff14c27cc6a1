"""A local model of the `transformers` library as a language model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from typing import Any, ClassVar, Literal

from asyndbt._section import Section, key
from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.lm._base import Answer, Feedback, LanguageModel, Prompt, Send, Usage
from asyndbt.lm.providers.huggingface._loading import PROVIDER, Loaded, load
from asyndbt.lm.providers.huggingface._scorers import make_scorer
from asyndbt.lm.providers.huggingface._tokens import Reader, Reading, Tokens

__all__ = ["HuggingFaceLanguageModel"]


class HuggingFaceOptions(Section):
    """Options: a model on this machine."""

    leading: ClassVar[tuple[str, ...]] = ("model",)

    model: str = key(
        ...,
        "A folder, or a name on the Hugging Face hub.",
        example="Qwen/Qwen2.5-0.5B-Instruct",
        min_length=1,
    )
    system: str | None = key(
        None,
        "First message, where there is a chat template; {labels} stands for the label words. Left "
        "out, none is sent.",
        example="Answer with one of: {labels}.",
        kind="text",
    )
    device: str | None = key(
        None, "Where the model computes; left out, a GPU if there is one.", example="cuda:0"
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = key(
        "auto", "Number format of the weights; auto is that of the files.", example="bfloat16"
    )
    kind: Literal["auto", "causal", "masked", "seq2seq"] = key(
        "auto", "Architecture; auto reads it from the files.", example="causal"
    )
    chat_template: bool | None = key(
        None,
        "Whether the model reads the prompt as chat turns; left out, if its files have a template "
        "for them.",
        example=False,
        kind="true or false",
    )
    batch_tokens: int = key(
        16_384, "Tokens that are read at once; fewer need less memory.", example=4096, ge=1
    )


class HuggingFaceLanguageModel(LanguageModel):
    """A model on this machine that gives the log-probability of every label.

    Three kinds of models are read: causal ones, where a label continues the prompt; masked ones,
    where masks stand for it; and encoder-decoders, which write it as the whole answer.  What a
    label's tokens are is said at `Reader`, how they are scored at the scorers.  A causal model
    reads demonstrations that prompts have in common once, where it allows that.

    `score` never suspends.  Code that comes with a model is never run.

    Parameters
    ----------
    feedback : {"logprobs"}
    **options
        Keys of `HuggingFaceOptions`; ``model`` is required.

    Raises
    ------
    ConfigError
        If a setting is out of range or does not fit the model.
    MissingExtraError
        If `torch` or `transformers` is not installed.
    ModelError
        If the model is not there or cannot be loaded.
    """

    provider = "huggingface"
    Options = HuggingFaceOptions
    batch = 512
    options: HuggingFaceOptions

    def __init__(self, feedback: Feedback | None = None, **options: Any) -> None:
        super().__init__(feedback, **options)
        own = self.options
        loaded = load(own.model, kind=own.kind, dtype=own.dtype, device=own.device)
        self._loaded = loaded
        self._chat = _chat(loaded, own.chat_template)
        if own.system and not self._chat:
            raise ConfigError("lm.system has no effect without a chat template: remove it")
        self._reader = Reader(loaded.tokenizer, loaded.kind, self._chat, own.system)
        self._scorer = make_scorer(loaded, own.batch_tokens)
        self._labels: tuple[str, ...] = ()
        traits = (str(loaded.network.dtype), loaded.kind, str(self._chat), own.system or "")
        identity = "\0".join((loaded.digest, *traits)).encode()
        self._name = f"{PROVIDER}/{loaded.label}/{hashlib.sha256(identity).hexdigest()[:16]}"

    @property
    def name(self) -> str:
        """Identity: model, and a digest of weights, number format, kind, template and system."""
        return self._name

    def max_usage(self, prompt: Prompt) -> Usage:
        """Exactly what one request for `prompt` costs.

        Its tokens, those of the longest label, no money.  The labels are those that were passed to
        `check`, `detect_capabilities` or `score` last; before that, a label counts as one token.
        """
        return self._usage(self._reader.read(prompt, self._labels), self._labels)

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Find unusable labels and too long prompts without a request.

        Raises
        ------
        DataError
            If the vocabulary lacks a label, two labels have the same tokens, or a prompt with its
            longest label is longer than the model's context.
        """
        self._labels = tuple(labels)
        readings = [self._reader.read(prompt, labels) for prompt in prompts]
        samples = readings or [self._reader.read(Prompt((), "Answer:"), labels)]
        for tail in {reading.tail: reading for reading in samples}.values():
            self._check_labels(self._reader.label_tokens(tail, labels), labels)
        longest = max((self._length(reading, labels) for reading in readings), default=0)
        context = self._loaded.context
        if context is not None and longest > context:
            raise DataError(
                f"the longest prompt with its label has {longest} tokens and {self._loaded.label} "
                f"reads at most {context}; use fewer demonstrations, a shorter fragment or shorter "
                "texts"
            )

    async def detect_capabilities(
        self, prompts: Sequence[Prompt], labels: Sequence[str], send: Send
    ) -> Mapping[str, Any]:
        """Say what was loaded and how it is read; nothing is asked."""
        import torch
        import transformers

        self._labels = tuple(labels)
        network = self._loaded.network
        return {
            "architecture": type(network).__name__,
            "kind": self._loaded.kind,
            "device": str(network.device),
            "dtype": str(network.dtype).removeprefix("torch."),
            "chat_template": self._chat,
            "context": self._loaded.context,
            "shared_beginnings": self._scorer.obstacle or "read once",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt; one that is too long for the model is refused alone.

        Raises
        ------
        ModelError
            If the model cannot compute: for lack of memory, or numbers out of range.
        """
        self._labels = tuple(labels)
        answers: list[Answer | None] = [None] * len(prompts)
        alike: dict[tuple[Tokens, ...], list[tuple[int, Reading]]] = {}
        for index, prompt in enumerate(prompts):
            reading = self._reader.read(prompt, labels)
            if self._length(reading, labels) > (self._loaded.context or math.inf):
                answers[index] = Answer(None, None, Usage(calls=1), "too long")
            else:
                tokens = self._reader.label_tokens(reading, labels)
                alike.setdefault(tokens, []).append((index, reading))
        for tokens, asked in alike.items():
            read = [reading.tokens for _, reading in asked]
            scores = self._scores(read, [prompts[index].shots for index, _ in asked], tokens)
            for (index, reading), row in zip(asked, scores, strict=True):
                answers[index] = Answer(tuple(row), None, self._usage(reading, labels))
        return answers

    def _scores(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        import torch

        with _explained(), torch.inference_mode():
            scores = self._scorer.score(prompts, groups, labels)
        if any(math.isnan(value) for row in scores for value in row):
            raise ModelError(
                f"{self._loaded.label} computes no numbers in {self._loaded.network.dtype}; set "
                "lm.dtype to bfloat16 or float32",
                provider=PROVIDER,
            )
        return scores

    def _usage(self, reading: Reading, labels: Sequence[str]) -> Usage:
        return Usage(1, len(reading.tokens), self._longest_label(reading, labels))

    def _length(self, reading: Reading, labels: Sequence[str]) -> int:
        """Most tokens that are in the model's context at once for this prompt."""
        written = self._longest_label(reading, labels)
        if self._loaded.kind == "seq2seq":
            return max(len(reading.tokens), written)
        return len(reading.tokens) + written - (self._loaded.kind == "masked")

    def _longest_label(self, reading: Reading, labels: Sequence[str]) -> int:
        return max(map(len, self._reader.label_tokens(reading, labels)), default=1)

    def _check_labels(self, tokens: Sequence[Tokens], labels: Sequence[str]) -> None:
        for label, spelled in zip(labels, tokens, strict=True):
            if self._reader.unknown(spelled):
                raise DataError(
                    f"label {label!r}: the vocabulary of {self._loaded.label} lacks it; use "
                    "another word"
                )
        for (one, first), (other, second) in combinations(zip(labels, tokens, strict=True), 2):
            if first == second:
                raise DataError(
                    f"labels {one!r} and {other!r} are the same tokens to {self._loaded.label}; "
                    "use different words"
                )


def _chat(loaded: Loaded, wanted: bool | None) -> bool:
    """Whether prompts go through the chat template."""
    possible = loaded.kind == "causal" and bool(loaded.tokenizer.chat_template)
    if wanted and not possible:
        raise ConfigError(
            f"lm.chat_template = true, but {loaded.label} is a {loaded.kind} model "
            "without a template that it could use; set it to false or leave it out"
        )
    return possible if wanted is None else wanted


@contextmanager
def _explained() -> Iterator[None]:
    """Turn failures of the device into errors for the user."""
    try:
        yield
    except RuntimeError as error:
        said = str(error).strip().split("\n")[0]
        raise ModelError(
            f"the model stopped: {said}; if it is short of memory, lower lm.batch_tokens",
            provider=PROVIDER,
        ) from error
