"""Scores are those of one plain forward pass per prompt and label: no batch, padding or cache."""

import asyncio

import numpy as np
import pytest

from asyndbt.lm import Prompt
from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel
from asyndbt.lm.providers.huggingface._stems import stems_of

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CAUSAL = ["llama", "gpt2", "mistral"]
OTHERS = ["bert", "roberta", "t5", "bart"]


def scores(model, prompts, labels):
    answers = asyncio.run(model.score(prompts, labels))
    return np.array([answer.label_log_probabilities for answer in answers])


def facts(model, prompts, labels):
    return asyncio.run(model.detect_capabilities(prompts, labels, send=None))


class Plain:
    """The definition of a score, as directly as it can be written."""

    def __init__(self, folder, family):
        auto = {"t5": "Seq2SeqLM", "bart": "Seq2SeqLM", "bert": "MaskedLM", "roberta": "MaskedLM"}
        maker = getattr(transformers, "AutoModelFor" + auto.get(family, "CausalLM"))
        self.network = maker.from_pretrained(folder)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.score = getattr(self, f"score_{auto.get(family, 'CausalLM')}")

    def scores(self, prompts, labels):
        with torch.inference_mode():
            return np.array([[self.score(p, label) for label in labels] for p in prompts])

    def score_CausalLM(self, prompt, label):  # noqa: N802
        if self.tokenizer.chat_template:
            start = self.tokenizer.apply_chat_template(
                prompt.messages, add_generation_prompt=True, return_dict=False
            )
            whole = start + self.tokenizer(label, add_special_tokens=False)["input_ids"]
        else:
            start = self.tokenizer(prompt.text)["input_ids"]
            whole = self.tokenizer(f"{prompt.text} {label}")["input_ids"]
        assert whole[: len(start)] == start
        logits = self.network(input_ids=torch.tensor([whole])).logits[0].log_softmax(-1)
        return sum(logits[at - 1, whole[at]].item() for at in range(len(start), len(whole)))

    def score_MaskedLM(self, prompt, label):  # noqa: N802
        spelled = self.tokenizer(f"x {label}", add_special_tokens=False)["input_ids"][1:]
        masks = self.tokenizer.mask_token * len(spelled)
        read = self.tokenizer(f"{prompt.text} {masks}", return_tensors="pt")["input_ids"]
        places = (read[0] == self.tokenizer.mask_token_id).nonzero()[:, 0]
        logits = self.network(input_ids=read).logits[0].log_softmax(-1)
        return sum(
            logits[place, token].item() for place, token in zip(places, spelled, strict=True)
        )

    def score_Seq2SeqLM(self, prompt, label):  # noqa: N802
        read = self.tokenizer(prompt.text, return_tensors="pt")["input_ids"]
        target = self.tokenizer(text_target=label, return_tensors="pt")["input_ids"]
        assert target[0, -1] == self.tokenizer.eos_token_id
        loss = self.network(input_ids=read, labels=target).loss.item()
        return -loss * target.shape[1]


@pytest.mark.parametrize("family", [*CAUSAL, "llama-chat", *OTHERS])
def test_scores_are_those_of_plain_passes(family, folder_of, prompts, labels) -> None:
    plain = Plain(folder_of(family), family.partition("-")[0])
    expected = plain.scores(prompts, labels)
    assert np.ptp(expected, axis=0).min() > 0.01
    model = HuggingFaceLanguageModel(model=str(folder_of(family)), device="cpu")
    np.testing.assert_allclose(scores(model, prompts, labels), expected, atol=1e-4)
    one_by_one = np.concatenate([scores(model, [prompt], labels) for prompt in prompts])
    np.testing.assert_allclose(one_by_one, expected, atol=1e-4)


@pytest.mark.parametrize("family", [*CAUSAL, "bert", "t5"])
@pytest.mark.parametrize("limit", [1, 300])
def test_neither_batches_nor_order_matter(family, limit, folder_of, prompts, labels) -> None:
    whole = HuggingFaceLanguageModel(model=str(folder_of(family)), device="cpu")
    parts = HuggingFaceLanguageModel(model=str(folder_of(family)), device="cpu", batch_tokens=limit)
    expected = scores(whole, prompts, labels)
    np.testing.assert_allclose(scores(parts, prompts, labels), expected, atol=1e-4)
    turned = scores(parts, prompts[::-1], labels[::-1])[::-1, ::-1]
    np.testing.assert_allclose(turned, expected, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("chosen", [(0, 1), (0, 2), (3,), (3, 4)])
def test_every_mixture_of_labels_is_scored_alike(family, chosen, folder_of, prompts, labels):
    """One stem, several stems, and stems that continue each other take different ways."""
    model = HuggingFaceLanguageModel(model=str(folder_of(family)), device="cpu")
    expected = scores(model, prompts, labels)[:, list(chosen)]
    found = scores(model, prompts, [labels[at] for at in chosen])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("family", "said"),
    [("llama", "read once"), ("gpt2", "read once"), ("mistral", "forgets"), ("bert", "both ways")],
)
def test_the_facts_say_how_beginnings_are_read(family, said, folder_of, prompts, labels) -> None:
    model = HuggingFaceLanguageModel(model=str(folder_of(family)), device="cpu")
    assert said in facts(model, prompts, labels)["shared_beginnings"]


def test_shared_beginnings_are_read_once(folder_of, prompts, labels) -> None:
    """Tokens that pass through the first layer: far fewer than those of the prompts."""
    model = HuggingFaceLanguageModel(model=str(folder_of("llama")), device="cpu")
    network = model._loaded.network
    read = []
    network.model.layers[0].register_forward_hook(
        lambda module, given, out: read.append(out.shape[0] * out.shape[1])
    )
    shared = [Prompt(prompts[0].shots, prompts[at].query) for at in (0, 1, 0, 1)]
    one_token = ["great", "terrible"]
    first = scores(model, shared, one_token)
    whole = sum(model.max_usage(prompt).tokens_in for prompt in shared)
    assert sum(read) < 0.6 * whole
    read.clear()
    again = scores(model, shared, one_token)
    assert sum(read) < 0.4 * whole
    np.testing.assert_allclose(again, first, atol=1e-5)
    read.clear()
    other = Prompt(shared[0].shots, prompts[0].query.replace("superb", "a superb waste"))
    scores(model, [other], one_token)
    assert sum(read) < 0.5 * model.max_usage(other).tokens_in


def test_no_more_beginnings_are_kept_than_asked_for(folder_of, prompts, labels) -> None:
    model = HuggingFaceLanguageModel(model=str(folder_of("llama")), device="cpu", batch_tokens=400)
    store = model._scorer._prefixes
    kept = []
    for start in range(40):
        word = f"superb {start}"
        shots = ((f'Question: How does "{word}" feel? Answer:', "great"),) * 2
        queries = [Prompt(shots, f"{word} {end}. Answer:") for end in ("it", "was")]
        scores(model, queries, labels[:2])
        kept.append(sum(map(len, store._store)))
    assert 0 < max(kept) <= 100


def test_a_model_that_reads_positions_wrongly_is_found_out(folder_of, prompts, labels) -> None:
    """Whatever the structure promises, a trial decides."""
    from asyndbt.lm.providers.huggingface._causal import CausalScorer

    network = transformers.AutoModelForCausalLM.from_pretrained(folder_of("llama"))
    inner = network.model.forward

    def deaf(*args, position_ids=None, **kwargs):
        return inner(*args, **kwargs)

    network.model.forward = deaf
    assert "trial" in CausalScorer(network, 1000).obstacle


def test_half_precision_is_near(folder_of, prompts, labels) -> None:
    full = HuggingFaceLanguageModel(model=str(folder_of("llama")), device="cpu")
    half = HuggingFaceLanguageModel(model=str(folder_of("llama")), device="cpu", dtype="bfloat16")
    assert facts(half, prompts, labels)["dtype"] == "bfloat16"
    np.testing.assert_allclose(
        scores(half, prompts, labels), scores(full, prompts, labels), atol=0.5
    )


def test_stems_cover_every_label() -> None:
    spelled = [(1,), (2, 3), (2, 3, 4), (2, 5), (6, 7, 8, 9)]
    stems = stems_of(spelled)
    for label in spelled:
        assert any(stem[: len(label) - 1] == label[:-1] for stem in stems)
    for stem in stems:
        assert not any(other != stem and other[: len(stem)] == stem for other in stems)
