"""Beginnings that prompts share are read once where that changes no answer, or it is said why."""

import asyncio
import json
import logging
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from asyndbt.cli._main import main
from asyndbt.config import Config
from asyndbt.lm import Prompt
from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel
from asyndbt.lm.providers.huggingface._causal import CausalScorer
from asyndbt.lm.providers.huggingface._logits import logits_at

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

SPELLINGS = ("cache", "past_key_values")


def load(folder, **options):
    return HuggingFaceLanguageModel(model=str(folder), device="cpu", **options)


def scores(model, prompts, labels):
    answers = asyncio.run(model.score(prompts, labels))
    return np.array([answer.label_log_probabilities for answer in answers])


def sharing(model, prompts, labels):
    return asyncio.run(model.detect_capabilities(prompts, labels, send=None))["shared_beginnings"]


def warnings_of(caplog):
    return [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("asyndbt") and record.levelno == logging.WARNING
    ]


def count_tokens(network):
    """Return a list that grows by the tokens of every pass through the embedding."""
    read = []
    network.get_input_embeddings().register_forward_hook(
        lambda module, given, out: read.append(out.shape[0] * out.shape[1])
    )
    return read


def plain_scores(network, prompts, labels):
    """One pass for every prompt and label, without a cache."""
    rows = []
    for prompt in prompts:
        rows.append([])
        for label in labels:
            inputs = torch.tensor([prompt + label])
            with torch.inference_mode():
                logits = network(input_ids=inputs, use_cache=False).logits[0].log_softmax(-1)
            at = len(prompt) - 1
            rows[-1].append(sum(logits[at + n, token].item() for n, token in enumerate(label)))
    return np.array(rows)


def random_prompts(*lengths, shared=24, seed=0):
    """Return two prompts of every length, each pair with a prefix of its own, and the groups."""
    rng = np.random.default_rng(seed)
    prompts, groups = [], []
    for group, length in enumerate(lengths):
        prefix = rng.integers(90, size=max(shared, length - 20)).tolist()
        for cut in (0, 3):
            rest = rng.integers(90, size=length - len(prefix) - cut).tolist()
            prompts.append(tuple(prefix + rest))
            groups.append(group)
    return prompts, groups


def small(name, **settings):
    config = getattr(transformers, f"{name}Config")(
        vocab_size=90,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=48,
        **settings,
    )
    torch.manual_seed(0)
    network = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for weights in network.parameters():
            if weights.ndim > 1:
                weights.normal_(0.0, 0.3)
    return network


LABELS = [(1,), (2, 3), (2, 4, 5)]


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("llama", "read once"),
        ("gpt2", "read once"),
        ("bloom", "read once"),
        ("mistral", "read once, but one at a time: it changed log-probabilities by"),
        ("gemma3", "read once, but one at a time: it changed log-probabilities by"),
        ("gptneo", "read once, but one at a time: it changed log-probabilities by"),
        ("mamba", "read again for every prompt: the model fills no cache"),
        ("bert", "the model reads both ways"),
        ("t5", "the encoder reads both ways"),
    ],
)
def test_a_slower_way_is_told_and_logged_once(
    family, said, folder_of, prompts, labels, caplog
) -> None:
    model = load(folder_of(family))
    found = sharing(model, prompts, labels)
    for _ in range(2):
        assert sharing(model, prompts, labels) == found
        scores(model, prompts, labels)
    if "at a time" in said or "again" in said:
        assert found.startswith(said)
        (warning,) = warnings_of(caplog)
        assert found in warning
    else:
        assert found == said
        assert not warnings_of(caplog)


def test_the_command_check_says_how_beginnings_are_read(folder_of, tmp_path, capsys) -> None:
    """A loss of speed is visible before a run."""
    data = {split: str(tmp_path / f"{split}.jsonl") for split in ("train", "validation", "test")}
    for split, file in data.items():
        rows = [
            {"site": f"site {n % 2}", "text_a": f"{split} {word} {n}", "label": label}
            for n in range(16)
            for word, label in [("superb", "positive"), ("dull", "negative")]
        ]
        Path(file).write_text("\n".join(map(json.dumps, rows)))
    for family, said in [("llama", "read once\n"), ("mamba", "read again for every prompt: ")]:
        tables = {
            "task": {
                "instruction": 'How does "{text_a}" feel?',
                "labels": {"positive": "great", "negative": "terrible"},
            },
            "data": {**data, "site_column": "site", "pool_per_class": 4},
            "lm": {"provider": "huggingface", "model": str(folder_of(family)), "device": "cpu"},
            "method": {"vocabulary": "pocket", "vocabulary_limit": 12, "fragment_length": 3},
            "budget": {"per_site": {"calls": 5000}},
        }
        Config.from_dict(tables).dump(tmp_path / "config.toml")
        assert main(["check", str(tmp_path / "config.toml")]) == 0
        assert re.search(rf"^shared beginnings +{said}", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_either_name_of_the_cache_is_found(spelling, folder_of, prompts, labels, caplog) -> None:
    """Whatever the installed version calls it: a model that takes only this name is as fast."""
    expected = scores(load(folder_of("llama")), prompts, labels)
    network = transformers.AutoModelForCausalLM.from_pretrained(folder_of("llama"))
    accepted = Installed.of(network)
    inner = network.forward

    def forward(*, input_ids, attention_mask, use_cache, position_ids=None, **given):
        cache = given.pop(spelling, None)
        if given:
            raise TypeError(f"unexpected arguments: {', '.join(given)}")
        return inner(
            input_ids=input_ids,
            attention_mask=attention_mask,
            use_cache=use_cache,
            position_ids=position_ids,
            **{accepted: cache},
        )

    network.forward = forward
    model = load(folder_of("llama"))
    model._scorer = CausalScorer(network, 16_384, 320)
    assert sharing(model, prompts, labels) == "read once"
    np.testing.assert_allclose(scores(model, prompts, labels), expected, atol=1e-4)
    read = count_tokens(network)
    scores(model, prompts, labels[:2])
    assert sum(read) < 0.7 * sum(model.max_usage(prompt).tokens_in for prompt in prompts)
    assert not warnings_of(caplog)


class Installed:
    """The name of the cache in the installed version, by what it does."""

    @staticmethod
    def of(network):
        for name in SPELLINGS:
            cache = transformers.DynamicCache()
            with torch.inference_mode():
                network(input_ids=torch.ones((1, 3), dtype=torch.long), **{name: cache})
            if cache.get_seq_length() == 3:
                return name
        raise AssertionError("neither name")


@pytest.mark.parametrize("refuse", [True, False])
def test_a_model_without_a_cache_is_read_whole_and_said_so(refuse, caplog) -> None:
    """Whether it refuses the argument or swallows it."""
    network = small("Llama")
    inner = network.forward

    def forward(*, input_ids, attention_mask=None, use_cache=False, **given):
        if refuse and given:
            raise TypeError("unexpected arguments")
        return inner(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)

    network.forward = forward
    scorer = CausalScorer(network, 1000)
    prompts, groups = random_prompts(60, 50)
    expected = plain_scores(network, prompts, LABELS)
    np.testing.assert_allclose(scorer.score(prompts, groups, LABELS), expected, atol=1e-4)
    said = "read again for every prompt: the model fills no cache"
    assert scorer.describe_sharing(60) == said
    (warning,) = warnings_of(caplog)
    assert said in warning


@pytest.mark.parametrize(
    ("fails", "reason"),
    [(True, "failed in a trial of 512 tokens: Runtime"), (False, "log-probabilities by nan in a")],
)
def test_a_model_that_fails_with_a_cache_is_read_whole_and_said_so(fails, reason, caplog) -> None:
    """A short trial passes, a longer one does not."""
    network = small("Llama")
    inner = network.model.forward

    def forward(*, attention_mask, **given):
        long = given["use_cache"] and attention_mask.shape[1] > 200
        if long and fails:
            raise RuntimeError("too long for this cache")
        output = inner(attention_mask=attention_mask, **given)
        if long:
            output.last_hidden_state.fill_(float("nan"))
        return output

    network.model.forward = forward
    scorer = CausalScorer(network, 16_384)
    prompts, groups = random_prompts(300, 260)
    expected = plain_scores(network, prompts, LABELS)
    np.testing.assert_allclose(scorer.score(prompts, groups, LABELS), expected, atol=1e-4)
    (warning,) = warnings_of(caplog)
    assert "again for every prompt beyond 32 tokens: it" in warning
    assert reason in warning


def test_a_model_that_reads_positions_wrongly_is_found_out(caplog) -> None:
    """Whatever the signature promises, a trial decides."""
    network = small("Llama")
    inner = network.model.forward

    def deaf(*args, position_ids=None, **kwargs):
        return inner(*args, **kwargs)

    network.model.forward = deaf
    scorer = CausalScorer(network, 1000)
    prompts, groups = random_prompts(60, 50)
    expected = plain_scores(network, prompts, LABELS)
    np.testing.assert_allclose(scorer.score(prompts, groups, LABELS), expected, atol=1e-4)
    assert "one at a time: it changed log-probabilities" in scorer.describe_sharing(60)
    (warning,) = warnings_of(caplog)
    assert "trial" in warning


def test_a_long_window_is_found_when_prompts_become_longer(caplog) -> None:
    """Short prompts fit into the window; the first long ones start another trial."""
    network = small("Mistral", sliding_window=600, max_position_embeddings=1024)
    scorer = CausalScorer(network, 16_384, 1024)
    assert scorer.describe_sharing(100) == "read once"
    for lengths in [(100, 60), (900, 640), (90, 110)]:
        prompts, groups = random_prompts(*lengths)
        expected = plain_scores(network, prompts, LABELS)
        np.testing.assert_allclose(scorer.score(prompts, groups, LABELS), expected, atol=1e-4)
    assert "one at a time beyond 256 tokens: it changed" in scorer.describe_sharing(900)
    assert len(warnings_of(caplog)) == 1


def test_positions_that_depend_on_the_length_are_found_out() -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
    network = small("Llama", max_position_embeddings=128, rope_parameters=rope)
    scorer = CausalScorer(network, 16_384)
    assert "again for every prompt beyond 32 tokens: " in scorer.describe_sharing(200)


@pytest.mark.parametrize("limit", [64, 700, 16_384])
@pytest.mark.parametrize("window", [12, 48, 300])
def test_a_window_is_found_whatever_the_size_of_batches(window, limit) -> None:
    network = small("Mistral", sliding_window=window)
    scorer = CausalScorer(network, limit)
    for lengths in [(40, 60, 80), (200, 30, 400), (900,)]:
        prompts, groups = random_prompts(*lengths, shared=18)
        expected = plain_scores(network, prompts, LABELS)
        np.testing.assert_allclose(scorer.score(prompts, groups, LABELS), expected, atol=1e-4)


@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_shared_beginnings_are_read_once(family, folder_of, prompts, labels) -> None:
    """Tokens that pass through the model: far fewer than those of the prompts."""
    model = load(folder_of(family))
    shared = [Prompt(prompts[0].shots, prompts[at].query) for at in (0, 1, 0, 1)]
    one_token = ["great", "terrible"]
    assert "read once" in sharing(model, shared, one_token)
    read = count_tokens(model._loaded.network)
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


def test_no_more_beginnings_are_kept_than_asked_for(folder_of, labels) -> None:
    model = load(folder_of("llama"), batch_tokens=400)
    kept = []
    for start in range(40):
        word = f"superb {start}"
        shots = ((f'Question: How does "{word}" feel? Answer:', "great"),) * 2
        queries = [Prompt(shots, f"{word} {end}. Answer:") for end in ("it", "was")]
        scores(model, queries, labels[:2])
        kept.append(model._scorer._passes.prefixes.size)
    assert 0 < max(kept) <= 100


def test_logits_that_cannot_be_cut_early_are_cut_late_and_said_so(caplog) -> None:
    class Headless(SimpleNamespace):
        def __call__(self, **inputs):
            return SimpleNamespace(logits=inputs["logits"])

    network = Headless()
    network.base_model = network
    logits = torch.arange(24.0).reshape(2, 4, 3)
    for _ in range(2):
        found = logits_at(network, torch.tensor([[1], [3]]), logits=logits)
        assert found.tolist() == [[logits[0, 1].tolist()], [logits[1, 3].tolist()]]
    (warning,) = warnings_of(caplog)
    assert "Headless" in warning
