"""The language model that runs a model of the `transformers` library."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import ValidationInfo, field_validator

from asyndbt._section import Section, key
from asyndbt._spelling import without_tilde
from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.lm._base import Answer, Feedback, LanguageModel, Prompt, Send, Usage
from asyndbt.lm.providers.huggingface._loading import LoadedModel, load
from asyndbt.lm.providers.huggingface._networks import PROVIDER
from asyndbt.lm.providers.huggingface._scorers import make_scorer
from asyndbt.lm.providers.huggingface._tokenization import (
    PromptTokenizer,
    TokenizedPrompt,
    Tokens,
    chat_messages,
    system_text,
)
from asyndbt.lm.providers.huggingface._writing import write


class HuggingFaceOptions(Section):
    """Options: a model on this machine."""

    leading: ClassVar[tuple[str, ...]] = ("model",)

    model: str = key(
        ...,
        'A folder, a GGUF file, "package:NAME" for the GGUF file in an installed Python package, '
        "or a name on the Hugging Face hub.",
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
        "auto",
        "Number format of the weights; auto is that of the files, except on a processor: what is "
        "shorter than float32 is computed there in bfloat16 if it has instructions for it, else "
        "in float32.",
        example="bfloat16",
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

    @field_validator("model")
    @classmethod
    def _from_here(cls, model: str, info: ValidationInfo) -> str:
        """Make the path of what is in the configuration's folder absolute; leave other names."""
        path = Path((info.context or {}).get("base", ".")) / without_tilde(model)
        return str(path.resolve()) if path.exists() else model


class HuggingFaceLanguageModel(LanguageModel):
    """A local model that gives the log-probability of every label, and writes texts.

    There are three kinds of models: causal ones, where a label continues the prompt; masked ones,
    where it takes the place of masks; and encoder-decoders, where it is the target.
    `PromptTokenizer` defines a label's tokens, the scorers how they are scored.  A causal model
    computes demonstrations that prompts share once, if a trial shows that its answers stay the
    same; otherwise a warning is logged, and `detect_capabilities` tells the reason.

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
        If the model is not found or cannot be loaded.
    """

    provider = PROVIDER
    Options = HuggingFaceOptions
    batch = 512
    options: HuggingFaceOptions

    def __init__(self, feedback: Feedback | None = None, **options: Any) -> None:
        super().__init__(feedback, **options)
        own = self.options
        loaded = load(own.model, kind=own.kind, dtype=own.dtype, device=own.device)
        self._loaded = loaded
        self._chat = _uses_chat(loaded, own.chat_template)
        if own.system and not self._chat:
            raise ConfigError("lm.system has no effect without a chat template: remove it")
        self._tokenizer = PromptTokenizer(loaded.tokenizer, loaded.kind, self._chat, own.system)
        self._scorer = make_scorer(loaded, own.batch_tokens)
        self._labels: tuple[str, ...] = ()
        self.writes = loaded.kind != "masked"
        traits = (str(loaded.network.dtype), loaded.kind, str(self._chat), own.system or "")
        identity = "\0".join((loaded.digest, *traits)).encode()
        self._name = f"{PROVIDER}/{loaded.label}/{hashlib.sha256(identity).hexdigest()[:16]}"

    @property
    def name(self) -> str:
        """Model, and a digest of weights, data type, kind, chat template and system message."""
        return self._name

    @classmethod
    def messages(
        cls, options: Section, facts: Mapping[str, Any], prompt: Prompt, labels: Sequence[str]
    ) -> list[dict[str, str]] | None:
        """Return what the chat template is given; None where the model reads plain text."""
        assert isinstance(options, HuggingFaceOptions)
        if not facts["chat_template"]:
            return None
        return chat_messages(prompt, system_text(options.system, labels))

    def max_usage(self, prompt: Prompt) -> Usage:
        """Usage of one request: its tokens, those of the longest label or text, and no money.

        The labels are those last passed to `check`, `detect_capabilities` or `score`; before that,
        a label counts as one token.
        """
        tokenized = self._tokenizer.prompt(prompt, self._labels)
        if prompt.most_tokens is not None:
            return Usage(1, len(tokenized.tokens), prompt.most_tokens)
        return self._usage(tokenized, self._labels)

    def check(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> None:
        """Check that labels are distinct tokens and that prompts fit; raises DataError."""
        self._labels = tuple(labels)
        scored = [prompt for prompt in prompts if prompt.most_tokens is None]
        tokenized = [self._tokenizer.prompt(prompt, labels) for prompt in scored]
        samples = tokenized or [self._tokenizer.prompt(Prompt((), "Answer:"), labels)]
        for tail in {sample.tail: None for sample in samples}:
            self._check_labels(self._tokenizer.labels(tail, labels), labels)
        longest = self._room(prompts, labels)
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
        """Report what was loaded and how it is computed; no prompt is scored."""
        import torch
        import transformers

        self._labels = tuple(labels)
        network = self._loaded.network
        with self._loaded.lock, _device_errors():
            sharing = self._scorer.describe_sharing(self._room(prompts, labels))
        return {
            "architecture": type(network).__name__,
            "kind": self._loaded.kind,
            "device": str(network.device),
            "dtype": str(network.dtype).removeprefix("torch."),
            "chat_template": self._chat,
            "context": self._loaded.context,
            "shared_beginnings": sharing,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        }

    async def score(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> list[Answer | None]:
        """Answer every prompt; one that is too long for the model is refused.

        Raises ModelError if the forward pass fails, for lack of memory or by numbers out of range.
        """
        answers: list[Answer | None] = [None] * len(prompts)
        by_labels: dict[tuple[Tokens, ...], list[tuple[int, TokenizedPrompt]]] = {}
        for index, prompt in enumerate(prompts):
            tokenized = self._tokenizer.prompt(prompt, labels)
            if self._room([prompt], labels) > (self._loaded.context or math.inf):
                answers[index] = Answer(None, None, Usage(calls=1), "too long")
            elif prompt.most_tokens is not None:
                answers[index] = self._written(tokenized.tokens, prompt.most_tokens)
            else:
                self._labels = tuple(labels)
                tokens = self._tokenizer.labels(tokenized.tail, labels)
                by_labels.setdefault(tokens, []).append((index, tokenized))
        for tokens, members in by_labels.items():
            groups = [prompts[index].shots for index, _ in members]
            scores = self._scores([tokenized.tokens for _, tokenized in members], groups, tokens)
            for (index, tokenized), row in zip(members, scores, strict=True):
                answers[index] = Answer(tuple(row), None, self._usage(tokenized, labels))
        return answers

    def _written(self, tokens: Tokens, most_tokens: int) -> Answer:
        import torch

        with self._loaded.lock, _device_errors(), torch.inference_mode():
            text, count = write(self._loaded, tokens, most_tokens)
        return Answer(None, text, Usage(1, len(tokens), count))

    def _scores(
        self, prompts: Sequence[Tokens], groups: Sequence[Hashable], labels: Sequence[Tokens]
    ) -> list[list[float]]:
        import torch

        with self._loaded.lock, _device_errors(), torch.inference_mode():
            scores = self._scorer.score(prompts, groups, labels)
        if any(math.isnan(value) for row in scores for value in row):
            raise ModelError(
                f"{self._loaded.label} computes no numbers in {self._loaded.network.dtype}; set "
                "lm.dtype to bfloat16 or float32",
                provider=PROVIDER,
            )
        return scores

    def _usage(self, tokenized: TokenizedPrompt, labels: Sequence[str]) -> Usage:
        return Usage(1, len(tokenized.tokens), self._longest_label(tokenized, labels))

    def _room(self, prompts: Sequence[Prompt], labels: Sequence[str]) -> int:
        """Most tokens that the model's context has to hold for any of the prompts; 0 for none."""
        tokenized = [self._tokenizer.prompt(prompt, labels) for prompt in prompts]
        pairs = [
            (len(each.tokens), prompt.most_tokens or self._longest_label(each, labels))
            for prompt, each in zip(prompts, tokenized, strict=True)
        ]
        if self._loaded.kind == "seq2seq":
            return max((max(pair) for pair in pairs), default=0)
        return max((sum(pair) - (self._loaded.kind == "masked") for pair in pairs), default=0)

    def _longest_label(self, tokenized: TokenizedPrompt, labels: Sequence[str]) -> int:
        return max(map(len, self._tokenizer.labels(tokenized.tail, labels)), default=1)

    def _check_labels(self, tokens: Sequence[Tokens], labels: Sequence[str]) -> None:
        for label, spelled in zip(labels, tokens, strict=True):
            if self._tokenizer.is_unknown(spelled):
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


def _uses_chat(loaded: LoadedModel, wanted: bool | None) -> bool:
    possible = loaded.kind == "causal" and bool(loaded.tokenizer.chat_template)
    if wanted and not possible:
        raise ConfigError(
            f"lm.chat_template = true, but {loaded.label} is a {loaded.kind} model "
            "without a template that it could use; set it to false or leave it out"
        )
    return possible if wanted is None else wanted


@contextmanager
def _device_errors() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[0]
        raise ModelError(
            f"the model stopped: {reason}; if it is short of memory, lower lm.batch_tokens",
            provider=PROVIDER,
        ) from error
