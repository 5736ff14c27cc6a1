"""Texts that local models write."""

import asyncio
from dataclasses import replace

import pytest

from asyndbt.errors import DataError
from asyndbt.lm import Prompt
from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel

pytest.importorskip("torch")
pytest.importorskip("transformers")

ASKED = Prompt((), "the movie was superb, so", most_tokens=7)


def load(folder, **options):
    return HuggingFaceLanguageModel(model=str(folder), device="cpu", **options)


@pytest.mark.parametrize("family", ["llama", "llama-chat", "gpt2", "t5"])
def test_a_text_is_the_same_whenever_it_is_written(family, folder_of, prompts, labels) -> None:
    model = load(folder_of(family))
    assert model.writes
    model.check([ASKED, *prompts], labels)
    bound = model.max_usage(ASKED)
    first, again = (asyncio.run(model.score([ASKED], ()))[0] for _ in range(2))
    assert first == again
    assert first.label_log_probabilities is None
    assert isinstance(first.text, str)
    assert first.usage.tokens_in == bound.tokens_in
    assert 0 < first.usage.tokens_out <= bound.tokens_out + 1


def test_labels_are_scored_as_before_beside_a_text(folder_of, prompts, labels) -> None:
    model = load(folder_of("llama"))
    alone = asyncio.run(model.score(prompts, labels))
    usage = model.max_usage(prompts[0])
    asyncio.run(model.score([ASKED], ()))
    assert model.max_usage(prompts[0]) == usage
    assert asyncio.run(model.score(prompts, labels)) == alone


def test_a_system_message_on_labels_is_left_out(folder_of) -> None:
    plain, told = (
        load(folder_of("llama-chat"), **system)
        for system in ({}, {"system": "Answer with one of {labels}."})
    )
    assert plain.max_usage(ASKED) == told.max_usage(ASKED)


def test_a_text_has_to_fit_beside_its_prompt(folder_of, labels) -> None:
    model = load(folder_of("llama"))
    with pytest.raises(DataError, match="reads at most"):
        model.check([replace(ASKED, most_tokens=1_000)], labels)


def test_a_model_that_fills_in_words_writes_none(folder_of) -> None:
    assert not load(folder_of("bert")).writes
