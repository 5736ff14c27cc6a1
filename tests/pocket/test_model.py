from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from asyndbt.pocket import TASKS, PocketModel, dataset, fragment_vocabulary
from asyndbt.pocket._model import PREFIXES_KEPT, SPECIAL_TOKENS, WEIGHTS_FILE
from asyndbt.pocket._tokenizer import START, Tokenizer, vocabulary

LABELS = ("great", "terrible")
PROMPTS = 24


@pytest.fixture(scope="module")
def prompts(make_prompt: Callable[..., str]) -> list[str]:
    """Prompts with none to eight demonstrations, some sharing them."""
    rng, task = Random(0), TASKS["sentiment-consumer"]
    train, test = dataset(task.name, "train"), dataset(task.name, "test")
    beginnings = [rng.sample(train, shots) for shots in (0, 2, 2, 8)]
    notes = ["", "think twice", " ".join(rng.sample(fragment_vocabulary(), 6))]
    return [
        make_prompt(task, rng.choice(beginnings), test[index], rng.choice(notes))
        for index in range(PROMPTS)
    ]


def test_the_weights_are_small_and_fit_the_vocabulary(model: PocketModel) -> None:
    assert WEIGHTS_FILE.stat().st_size < 4_000_000
    with np.load(WEIGHTS_FILE) as arrays:
        assert int(arrays["shape"][0]) == len(vocabulary())
        assert all(arrays[name].dtype == np.float16 for name in arrays if "." in name)


def test_the_model_is_loaded_once() -> None:
    assert PocketModel.load() is PocketModel.load()


def test_label_probabilities_sum_to_at_most_one(model: PocketModel, prompts: list[str]) -> None:
    labels = ["great", "terrible", "yes", "no", "sports", "river"]
    scores = model.label_log_probabilities(prompts, labels)
    assert scores.shape == (len(prompts), len(labels))
    assert scores.dtype == np.float64
    assert (scores < 0).all()
    assert (np.exp(scores).sum(1) <= 1 + 1e-9).all()


def test_label_words_take_nearly_all_probability(model: PocketModel, prompts: list[str]) -> None:
    assert np.exp(model.label_log_probabilities(prompts, LABELS)).sum(1).mean() > 0.5


def test_case_of_labels_and_prompts_does_not_matter(model: PocketModel, prompts: list[str]) -> None:
    plain = model.label_log_probabilities(prompts[:4], LABELS)
    loud = model.label_log_probabilities(
        [text.upper() for text in prompts[:4]], ("Great", "TERRIBLE")
    )
    np.testing.assert_array_equal(plain, loud)


@settings(max_examples=25)
@given(chosen=st.lists(st.integers(0, PROMPTS - 1), min_size=1, max_size=30))
def test_results_do_not_depend_on_the_rest_of_the_batch(
    prompts: list[str], chosen: list[int]
) -> None:
    model = PocketModel.load()
    alone = model.label_log_probabilities(prompts, LABELS)
    together = model.label_log_probabilities([prompts[index] for index in chosen], LABELS)
    np.testing.assert_array_equal(together, alone[chosen])


def test_results_do_not_depend_on_the_number_of_threads(prompts: list[str]) -> None:
    results = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads, user_api="blas"):
            results.append(PocketModel(WEIGHTS_FILE).next_word_log_probabilities(prompts))
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])


def test_results_do_not_depend_on_earlier_calls(prompts: list[str]) -> None:
    fresh, used = PocketModel(WEIGHTS_FILE), PocketModel.load()
    for index in range(PREFIXES_KEPT + 2):
        used.label_log_probabilities([f"number {index}\nanswer:"], LABELS)
    np.testing.assert_array_equal(
        fresh.label_log_probabilities(prompts, LABELS),
        used.label_log_probabilities(prompts, LABELS),
    )


def test_a_cached_prefix_changes_nothing(model: PocketModel, prompts: list[str]) -> None:
    scores, network = model.label_log_probabilities(prompts, LABELS), model._network
    tokenizer = Tokenizer()
    columns = [tokenizer.id_of(label) for label in LABELS]
    for text, cached in zip(prompts, scores, strict=True):
        ids = tokenizer.encode(text)
        states = network.last_states(np.array([ids]), np.array([len(ids)]), network.prefix([START]))
        logits = network.logits(states)[0].astype(np.float64)
        whole = logits[columns] - np.log(np.exp(logits).sum())
        np.testing.assert_allclose(cached, whole, atol=1e-3)


def test_complete_says_the_most_probable_word(model: PocketModel, prompts: list[str]) -> None:
    said = model.complete(prompts)
    scores = model.label_log_probabilities(prompts, LABELS)
    for word, row in zip(said, scores, strict=True):
        if word in LABELS:
            assert LABELS[int(row.argmax())] == word
    assert np.mean([word in LABELS for word in said]) > 0.5


def test_the_next_words_have_the_probabilities_of_labels(
    model: PocketModel, prompts: list[str]
) -> None:
    scores = model.next_word_log_probabilities(prompts)
    assert scores.shape == (len(prompts), len(model.words))
    np.testing.assert_array_equal(scores, model.label_log_probabilities(prompts, model.words))
    assert (np.exp(scores).sum(1) <= 1 + 1e-9).all()
    assert [model.words[column] for column in scores.argmax(1)] == model.complete(prompts)


def test_no_special_token_is_a_next_word(model: PocketModel) -> None:
    assert model.words == vocabulary()[SPECIAL_TOKENS:]
    assert not any("<" in word or "\n" in word or ":" in word[1:] for word in model.words)


def test_labels_that_are_not_one_word_are_named(model: PocketModel, prompts: list[str]) -> None:
    with pytest.raises(ValueError, match="label 'very good' is not one word"):
        model.label_log_probabilities(prompts[:1], ["very good", "bad"])
    with pytest.raises(ValueError, match="label 'flabbergasted' is not one word"):
        model.label_log_probabilities(prompts[:1], ["flabbergasted", "bad"])
    with pytest.raises(ValueError, match="'Bad' and 'bad' are the same word"):
        model.label_log_probabilities(prompts[:1], ["good", "Bad", "bad"])


def test_a_prompt_beyond_the_context_is_refused_with_its_length(model: PocketModel) -> None:
    long = "word " * model.context
    with pytest.raises(
        ValueError, match=f"prompt 1 has {model.context + 1} tokens.*{model.context}"
    ):
        model.label_log_probabilities(["short", long], LABELS)
    with pytest.raises(ValueError, match="prompt 0 has"):
        model.complete([long])
    with pytest.raises(ValueError, match="prompt 0 has"):
        model.next_word_log_probabilities([long])


def test_the_longest_prompt_is_answered(model: PocketModel) -> None:
    text = "word\n" * ((model.context - 2) // 2) + "word"
    assert model.count_tokens(text) <= model.context
    assert np.isfinite(model.label_log_probabilities([text], LABELS)).all()


def test_tokens_are_counted_with_the_start(model: PocketModel) -> None:
    assert model.count_tokens("") == 1
    assert model.count_tokens("Question: Is it good? Answer:") == 7
    assert model.count_tokens("Answer: yes\nAnswer:") == 5


def test_no_prompts_and_unknown_words_are_fine(model: PocketModel, prompts: list[str]) -> None:
    assert model.label_log_probabilities([], LABELS).shape == (0, 2)
    assert model.complete([]) == []
    assert model.next_word_log_probabilities([]).shape == (0, len(model.words))
    assert np.isfinite(model.label_log_probabilities(["", "zzz qqq?"], LABELS)).all()
