"""Scores are those of one plain forward pass per prompt and label: no batch, padding or cache."""

import asyncio

import numpy as np
import pytest

from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel
from asyndbt.lm.providers.huggingface._scorers import Seq2SeqScorer
from asyndbt.lm.providers.huggingface._tokenization import forced_inputs

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

CAUSAL = ["llama", "gpt2", "mistral", "gemma3", "gptneo", "bloom", "mamba"]
OTHERS = ["bert", "roberta", "t5", "bart"]


def scores(model, prompts, labels):
    answers = asyncio.run(model.score(prompts, labels))
    return np.array([answer.label_log_probabilities for answer in answers])


def facts(model, prompts, labels):
    return asyncio.run(model.detect_capabilities(prompts, labels, send=None))


class Plain:
    """The definition of a score, as directly as it can be written."""

    def __init__(self, folder, family):
        auto = dict.fromkeys(["t5", "bart"], "Seq2SeqLM")
        auto |= dict.fromkeys(["bert", "roberta"], "MaskedLM")
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


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
@pytest.mark.parametrize("chosen", [(0, 1), (0, 2), (3,), (3, 4)])
def test_every_mixture_of_labels_is_scored_alike(family, chosen, folder_of, prompts, labels):
    """One forced input, several, and labels that continue each other take different ways."""
    model = HuggingFaceLanguageModel(model=str(folder_of(family)), device="cpu")
    expected = scores(model, prompts, labels)[:, list(chosen)]
    found = scores(model, prompts, [labels[at] for at in chosen])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_encoder_decoder_makes_its_inputs_out_of_targets() -> None:
    """Some have no method of their own that does it."""
    config = transformers.M2M100Config(
        vocab_size=90,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=320,
    )
    torch.manual_seed(0)
    network = transformers.M2M100ForConditionalGeneration(config).eval()
    prompts, labels = [(5, 6, 7, 8, 2), (9, 10, 2)], [(11, 2), (12, 13, 14, 2)]
    with torch.inference_mode():
        found = Seq2SeqScorer(network, 1000).score(prompts, [0, 0], labels)
        for row, prompt in zip(found, prompts, strict=True):
            for score, label in zip(row, labels, strict=True):
                inputs = {"input_ids": torch.tensor([prompt]), "labels": torch.tensor([label])}
                expected = -network(**inputs).loss.item() * len(label)
                assert score == pytest.approx(expected, abs=1e-4)


def test_half_precision_is_near(folder_of, prompts, labels) -> None:
    full = HuggingFaceLanguageModel(model=str(folder_of("llama")), device="cpu")
    half = HuggingFaceLanguageModel(model=str(folder_of("llama")), device="cpu", dtype="bfloat16")
    assert facts(half, prompts, labels)["dtype"] == "bfloat16"
    np.testing.assert_allclose(
        scores(half, prompts, labels), scores(full, prompts, labels), atol=0.5
    )


def test_forced_inputs_cover_every_label() -> None:
    labels = [(1,), (2, 3), (2, 3, 4), (2, 5), (6, 7, 8, 9)]
    inputs = forced_inputs(labels)
    for label in labels:
        assert any(each[: len(label) - 1] == label[:-1] for each in inputs)
    for each in inputs:
        assert not any(other != each and other[: len(each)] == each for other in inputs)
