"""`PocketModel`: next-word probabilities and greedy answers of the shipped model."""

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from asyndbt.pocket._tokenizer import NEWLINE, START, Tokenizer
from asyndbt.pocket._transformer import Array, Prefix, Transformer

WEIGHTS_FILE: Final = Path(__file__).with_name("weights.npz")
SPECIAL_TOKENS: Final = 7
LENGTH_STEP: Final = 8
"""Queries are padded to a multiple of this many tokens."""
TOKENS_PER_PASS: Final = 2048
PREFIXES_KEPT: Final = 48
BEGINNINGS_KEPT: Final = 512
QUERIES_KEPT: Final = 2048
_TURN: Final = threading.Lock()
"""The number of threads of a BLAS is one for the whole process."""


class PocketModel:
    """A very small language model for demos and tests (see ``docs/pocket-model.md``).

    Use `PocketModel.load`.  The *prefix* of a prompt is everything up to its last newline; prompts
    with the same prefix share its computation, and a few dozen prefixes are kept between calls.

    The results for a prompt do not depend on the other prompts of the call, on their order, on
    earlier calls, or on the number of threads of the BLAS: they are equal bit for bit on one
    machine with one NumPy and BLAS (to about 1e-5 elsewhere).  An instance may be used from several
    threads; they take turns.

    Parameters
    ----------
    weights : Path
        File written by the training script.
    """

    def __init__(self, weights: Path) -> None:
        with np.load(weights) as arrays:
            self._network = Transformer(arrays)
            self._tokenizer = Tokenizer(json.loads(arrays["words"].tobytes()))
        self._prefixes: OrderedDict[str, Prefix] = OrderedDict()
        self._beginning_ids = lru_cache(BEGINNINGS_KEPT)(self._encode_beginning)
        self._query_ids = lru_cache(QUERIES_KEPT)(self._encode_query)

    @classmethod
    def load(cls) -> "PocketModel":
        """Return the shipped model, which is loaded once per process."""
        return _shipped()

    @property
    def context(self) -> int:
        """Longest prompt in tokens, including the start token."""
        return self._network.context

    @property
    def words(self) -> tuple[str, ...]:
        """All possible answers, in the order of `next_word_log_probabilities`."""
        return self._tokenizer.words[SPECIAL_TOKENS:]

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a prompt, including the start token."""
        beginning, rest = _cut(text)
        return len(self._beginning_ids(beginning)) + len(self._query_ids(rest))

    def unknown_share(self, texts: Iterable[str]) -> float:
        """Return the share of unknown words in some texts, punctuation aside."""
        counts = [self._tokenizer.unknown_words(text) for text in texts]
        return sum(unknown for unknown, _ in counts) / max(1, sum(words for _, words in counts))

    def label_log_probabilities(
        self, prompts: Sequence[str], labels: Sequence[str]
    ) -> NDArray[np.float64]:
        """Log-probability of each label word as the next word of each prompt.

        Parameters
        ----------
        prompts : sequence of str
            Whole prompts.
        labels : sequence of str
            Label words, single known words that differ from each other (case does not matter).

        Returns
        -------
        array [prompts, labels]
            Natural logarithms over the whole vocabulary, not renormalised over the labels.

        Raises
        ------
        ValueError
            When a label is not one known word, two labels are the same word, or a prompt is
            longer than the context.
        """
        columns = self._label_ids(labels)
        result = np.zeros((len(prompts), len(columns)), np.float64)
        for rows, logits in self._passes(prompts):
            scores = logits.astype(np.float64)
            result[rows] = scores[:, columns] - _log_total(scores)
        return result

    def next_word_log_probabilities(self, prompts: Sequence[str]) -> NDArray[np.float64]:
        """Log-probability of each of `words` as the next word of each prompt.

        The same numbers as `label_log_probabilities` gives for these words.

        Parameters
        ----------
        prompts : sequence of str
            Whole prompts.

        Returns
        -------
        array [prompts, words]
            Natural logarithms over the whole vocabulary: without the special tokens, which are
            never answered, they add up to a little less than one.

        Raises
        ------
        ValueError
            When a prompt is longer than the context.
        """
        result = np.zeros((len(prompts), len(self.words)), np.float64)
        for rows, logits in self._passes(prompts):
            scores = logits.astype(np.float64)
            result[rows] = scores[:, SPECIAL_TOKENS:] - _log_total(scores)
        return result

    def complete(self, prompts: Sequence[str]) -> list[str]:
        """Most probable next word of each prompt, in lower case.

        Raises
        ------
        ValueError
            When a prompt is longer than the context.
        """
        answers = [""] * len(prompts)
        for rows, logits in self._passes(prompts):
            best = logits[:, SPECIAL_TOKENS:].argmax(1) + SPECIAL_TOKENS
            for row, token in zip(rows, best, strict=True):
                answers[row] = self._tokenizer.words[token]
        return answers

    def _label_ids(self, labels: Sequence[str]) -> list[int]:
        ids = [self._tokenizer.id_of(label) for label in labels]
        for index, token in enumerate(ids):
            first = ids.index(token)
            if first != index:
                raise ValueError(
                    f"labels {labels[first]!r} and {labels[index]!r} are the same word to the "
                    "pocket model; use different words"
                )
        return ids

    def _passes(self, prompts: Sequence[str]) -> Iterator[tuple[list[int], Array]]:
        """Yield the indices of some prompts and their scores, until all are done."""
        groups: dict[tuple[str, int], list[tuple[int, tuple[int, ...]]]] = {}
        for index, prompt in enumerate(prompts):
            beginning, rest = _cut(prompt)
            query = self._query_ids(rest) or (NEWLINE,)
            self._check_length(index, len(self._beginning_ids(beginning)) + len(query))
            padded = -(-len(query) // LENGTH_STEP) * LENGTH_STEP
            groups.setdefault((beginning, padded), []).append((index, query))
        for (beginning, padded), members in groups.items():
            size = max(1, TOKENS_PER_PASS // padded)
            for start in range(0, len(members), size):
                part = members[start : start + size]
                with _one_blas_thread():
                    scores = self._scores(part, padded, self._prefix(beginning))
                yield [index for index, _ in part], scores

    def _check_length(self, index: int, tokens: int) -> None:
        if tokens > self.context:
            raise ValueError(
                f"prompt {index} has {tokens} tokens, the pocket model reads at most "
                f"{self.context}; use fewer demonstrations or a shorter note"
            )

    def _scores(
        self, part: list[tuple[int, tuple[int, ...]]], padded: int, prefix: Prefix
    ) -> Array:
        """Scores [queries, vocabulary] after queries that continue one prefix."""
        ids = np.zeros((len(part), padded), np.int64)
        for row, (_, query) in enumerate(part):
            ids[row, : len(query)] = query
        lengths = np.array([len(query) for _, query in part])
        return self._network.logits(self._network.last_states(ids, lengths, prefix))

    def _encode_beginning(self, beginning: str) -> tuple[int, ...]:
        return (START, *self._tokenizer.encode(beginning))

    def _encode_query(self, query: str) -> tuple[int, ...]:
        return tuple(self._tokenizer.encode(query))

    def _prefix(self, beginning: str) -> Prefix:
        if beginning not in self._prefixes:
            self._prefixes[beginning] = self._network.prefix(self._beginning_ids(beginning))
            if len(self._prefixes) > PREFIXES_KEPT:
                self._prefixes.popitem(last=False)
        self._prefixes.move_to_end(beginning)
        return self._prefixes[beginning]


def _log_total(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the summed exponentials [rows, 1] of scores [rows, vocabulary]."""
    top = scores.max(1, keepdims=True)
    total: NDArray[np.float64] = np.log(np.exp(scores - top).sum(1, keepdims=True)) + top
    return total


def _cut(prompt: str) -> tuple[str, str]:
    """Everything up to the last newline, and the rest."""
    head, newline, rest = prompt.rpartition("\n")
    return head + newline, rest


@contextmanager
def _one_blas_thread() -> Iterator[None]:
    """Take turns at computing, in one thread: more change the last bits, and gain nothing."""
    with _TURN, _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()


@cache
def _shipped() -> PocketModel:
    return PocketModel(WEIGHTS_FILE)
