"""Loading, identity, cost, checks and messages."""

import asyncio
import copy
import json
import pickle
import shutil
from pathlib import Path

import pytest

from asyndbt.config import load_config
from asyndbt.errors import ConfigError, DataError, MissingExtraError, ModelError
from asyndbt.lm import (
    AnswerCache,
    Budget,
    Gateway,
    LanguageModel,
    Limits,
    Prompt,
    check_requests,
)
from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel
from asyndbt.lm.providers.huggingface import _loading as loading_module

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


async def nothing_is_sent(request):
    raise AssertionError("a local model sends no request")


def load(folder, **options):
    return HuggingFaceLanguageModel(model=str(folder), **({"device": "cpu"} | options))


def ask(model, prompts, labels):
    return asyncio.run(model.score(prompts, labels))


@pytest.mark.parametrize(
    ("family", "kind", "architecture"),
    [
        ("gpt2", "causal", "GPT2LMHeadModel"),
        ("roberta", "masked", "RobertaForMaskedLM"),
        ("t5", "seq2seq", "T5ForConditionalGeneration"),
    ],
)
def test_the_kind_is_read_from_the_files(family, kind, architecture, folder_of, prompts, labels):
    model: LanguageModel = load(folder_of(family))
    facts = asyncio.run(model.detect_capabilities(prompts, labels, nothing_is_sent))
    assert (facts["kind"], facts["architecture"]) == (kind, architecture)
    assert (facts["device"], facts["dtype"]) == ("cpu", "float32")
    json.dumps(facts)
    before = model.name
    model.restore_capabilities(facts)
    asyncio.run(model.close())
    assert model.name == before
    assert len(ask(model, prompts, labels)) == len(prompts)


@pytest.mark.parametrize("family", ["gpt2", "llama", "llama-chat", "bert", "t5"])
def test_the_estimate_is_what_an_answer_costs(family, folder_of, prompts, labels) -> None:
    model = load(folder_of(family))
    check_requests(model, labels, prompts)
    estimates = [model.max_usage(prompt) for prompt in prompts]
    assert estimates == [model.expected_usage(prompt) for prompt in prompts]
    assert [answer.usage for answer in ask(model, prompts, labels)] == estimates
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder_of(family))
    for prompt, usage in zip(prompts, estimates, strict=True):
        read = (
            tokenizer.apply_chat_template(
                prompt.messages, add_generation_prompt=True, return_dict=False
            )
            if tokenizer.chat_template
            else tokenizer(prompt.text)["input_ids"]
        )
        assert usage.tokens_in == len(read) + (family == "bert")
        assert (usage.calls, usage.money) == (1, 0.0)
        assert usage.tokens_out > 1


def test_a_gateway_charges_exactly_what_it_estimates(folder_of, prompts, labels) -> None:
    model = load(folder_of("llama"))
    model.check(prompts, labels)
    gateway = Gateway(model, AnswerCache(":memory:"), Budget(Limits(calls=len(prompts))))
    bound = gateway.estimate(prompts, labels)
    answers = asyncio.run(gateway.ask(prompts, labels))
    assert all(answer.label_log_probabilities for answer in answers)
    assert gateway.budget.spent == bound


def test_the_name_tells_whatever_changes_answers(save_model, tmp_path) -> None:
    first = save_model("llama", tmp_path / "tiny", template=True)
    models = [
        load(first),
        load(first, dtype="bfloat16"),
        load(first, chat_template=False),
        load(first, system="Be brief."),
        load(save_model("llama", tmp_path / "other" / "tiny", seed=1, template=True)),
    ]
    names = [model.name for model in models]
    assert len(set(names)) == len(names)
    assert all(name.startswith("huggingface/tiny/") for name in names)
    assert load(first, system="").name == names[0]
    moved = shutil.copytree(first, tmp_path / "moved" / "tiny")
    assert load(moved, batch_tokens=50).name == names[0]
    assert str(tmp_path) not in "".join(names)
    with (moved / "tokenizer_config.json").open("a") as file:
        file.write("\n")
    assert load(moved).name != names[0]


def test_the_system_message_comes_first_and_names_the_labels(folder_of, prompts) -> None:
    model = load(folder_of("llama-chat"), system="Say one of: {labels}.")
    without = load(folder_of("llama-chat"))
    spelled = load(folder_of("llama-chat"), system="Say one of: great, terrible.")
    found = ask(model, prompts, ["great", "terrible"])
    assert found == ask(spelled, prompts, ["great", "terrible"])
    assert found != ask(without, prompts, ["great", "terrible"])
    assert found[0].usage.tokens_in > ask(without, prompts, ["great"])[0].usage.tokens_in
    assert model.max_usage(prompts[0]) == found[0].usage


def test_a_template_that_refuses_says_so(save_model, tmp_path, prompts) -> None:
    folder = save_model("llama", tmp_path / "model", template=True)
    refusing = "{{ raise_exception('System role not supported') }}"
    (folder / "chat_template.jinja").write_text(refusing)
    model = load(folder)
    with pytest.raises(ModelError, match=r"not supported.*lm\.system"):
        model.check(prompts, ["great", "terrible"])


@pytest.mark.parametrize("family", ["llama", "llama-chat", "bert", "t5"])
def test_the_check_finds_labels_that_are_the_same(family, folder_of, prompts) -> None:
    model = load(folder_of(family))
    model.check(prompts, ["great", "terrible"])
    model.check([], ["great", "terrible"])
    for samples in (prompts, []):
        with pytest.raises(DataError, match="'great' and 'great' are the same tokens"):
            model.check(samples, ["terrible", "great", "great"])


@pytest.mark.parametrize("family", ["bert", "t5"])
def test_the_check_finds_labels_that_cannot_be_spelled(family, folder_of, prompts) -> None:
    with pytest.raises(DataError, match=r"'今日'.*lacks it"):
        load(folder_of(family)).check(prompts, ["great", "今日"])


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "roberta", "t5", "bart"])
def test_what_fits_is_answered_and_what_does_not_is_refused(family, folder_of, labels) -> None:
    model = load(folder_of(family))
    model.check([Prompt((), "Answer:")], labels)
    context = 320
    used = model.max_usage(Prompt((), "it it it Answer:"))
    each = model.max_usage(Prompt((), "it it it it Answer:")).tokens_in - used.tokens_in
    written = 0 if family in ("t5", "bart") else used.tokens_out - (family == "bert")
    written -= family == "roberta"
    room = (context - used.tokens_in - written) // each
    fits, over = (Prompt((), "it it it " + "it " * n + "Answer:") for n in (room, room + 1))
    model.check([fits], labels)
    with pytest.raises(DataError, match=r"reads at most 320.*fewer demonstrations"):
        model.check([fits, over], labels)
    first, second, third = ask(model, [fits, over, fits], labels)
    assert first == third
    assert first.refusal is None
    assert len(first.label_log_probabilities) == len(labels)
    assert (second.refusal, second.label_log_probabilities) == ("too long", None)
    assert second.usage.calls == 1


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"feedback": "text"}, "feedback = 'text': the choices are 'logprobs'"),
        ({"kind": "casual"}, "kind should be 'auto', 'causal', 'masked' or 'seq2seq'"),
        ({"dtype": "int8"}, "dtype should be .*'bfloat16'"),
        ({"device": "warp"}, r"lm\.device = 'warp'.*'cpu'"),
        ({"batch_tokens": 0}, "batch_tokens should be greater than or equal to 1"),
        ({"chat_template": True}, "without a template"),
        ({"system": "Be brief."}, "without a chat template"),
    ],
)
def test_settings_that_cannot_work_are_explained(options, text, folder_of) -> None:
    with pytest.raises(ConfigError, match=text):
        load(folder_of("gpt2"), **options)


@pytest.fixture
def no_network(monkeypatch):
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("a request was sent")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", ["absent", "./absent", "deeper/and/absent", "here/absent"])
def test_a_folder_that_is_not_there_is_not_looked_for_elsewhere(
    name, tmp_path, monkeypatch, no_network
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    name = str(tmp_path / name) if name == "absent" else name
    with pytest.raises(ModelError, match="no such folder") as caught:
        load(name)
    assert caught.value.provider == "huggingface"


@pytest.fixture
def hub(monkeypatch, tmp_path, no_network):
    """Folder of what was downloaded from a hub that cannot be reached now."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def test_a_name_on_the_hub_is_told_by_its_commit(hub, folder_of, prompts, labels) -> None:
    answers, names = [], []
    for commit in ("a" * 40, "b" * 40):
        place = hub / "models--owner--tiny"
        shutil.copytree(folder_of("llama"), place / "snapshots" / commit)
        (place / "refs").mkdir(exist_ok=True)
        (place / "refs" / "main").write_text(commit)
        model = load("owner/tiny")
        names.append(model.name)
        answers.append(ask(model, prompts, labels))
    assert all(name.startswith("huggingface/owner/tiny/") for name in names)
    assert names[0] != names[1]
    assert answers[0] == answers[1] == ask(load(folder_of("llama")), prompts, labels)


def test_a_name_that_the_hub_does_not_give_is_explained(hub) -> None:
    with pytest.raises(ModelError, match=r"'owner/absent' cannot be loaded: .*check the name"):
        load("owner/absent")


def test_a_folder_without_a_model_is_explained(folder_of, tmp_path, no_network) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"cannot be loaded: .*config\.json"):
        load(tmp_path / "empty")
    cut = shutil.copytree(folder_of("llama"), tmp_path / "cut")
    (cut / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"cannot be loaded: .*safetensors"):
        load(cut)


def test_weights_that_could_hold_code_are_not_opened(folder_of, tmp_path) -> None:
    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    folder = shutil.copytree(folder_of("llama"), tmp_path / "old")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"lm_head.weight": Trap()}))
    with pytest.raises(ModelError, match=r"cannot be loaded: .*safetensors"):
        load(folder)
    assert not (tmp_path / "sprung").exists()


def test_a_model_whose_head_is_missing_is_refused(folder_of, tmp_path) -> None:
    """A classifier's files give a language model with a random head."""
    network = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder_of("llama"), num_labels=2
    )
    network.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(folder_of("llama")).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"lack the weights lm_head\.weight"):
        load(tmp_path)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_names_the_extra(package, monkeypatch, folder_of) -> None:
    found = loading_module.find_spec
    monkeypatch.setattr(
        loading_module, "find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(MissingExtraError, match=rf"{package}.*asyndbt\[hf\]"):
        load(folder_of("gpt2"))


def test_numbers_out_of_range_stop_the_run(folder_of, prompts, labels) -> None:
    model = load(folder_of("llama"))
    model._loaded.network.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(ModelError, match=r"lm\.dtype"):
        ask(model, prompts, labels)


def test_a_failing_device_stops_the_run_in_its_words(folder_of, prompts, labels, monkeypatch):
    model = load(folder_of("llama"))

    def fail(*args, **kwargs):
        raise RuntimeError("out of memory\nmore")

    monkeypatch.setattr(model._loaded.network, "forward", fail)
    with pytest.raises(ModelError, match=r"stopped: out of memory; .*lm\.batch_tokens"):
        ask(model, prompts, labels)


def test_left_out_the_device_is_a_gpu_or_else_the_processor(folder_of, prompts, labels) -> None:
    model = load(folder_of("gpt2"), device=None)
    device = asyncio.run(model.detect_capabilities(prompts, labels, nothing_is_sent))[
        "device"
    ].partition(":")[0]
    gpus = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    gpus["xpu"] = torch.xpu.is_available()
    assert device in ([name for name, there in gpus.items() if there] or ["cpu"])


def test_a_model_is_loaded_once_however_often_it_is_asked_for(save_model, tmp_path) -> None:
    folder = save_model("llama", tmp_path / "model")
    first, second = load(folder), load(folder, batch_tokens=100)
    assert second._loaded is first._loaded
    assert load(folder, dtype="bfloat16")._loaded is not first._loaded
    save_model("llama", folder, seed=1)
    assert load(folder).name != first.name


def test_a_relative_path_starts_from_the_configuration(tmp_path, monkeypatch) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.gguf").touch()
    for given in ("models", "models/tiny.gguf", "owner/name", "package:models"):
        file = tmp_path / "config.toml"
        file.write_text(
            'task = { template = "sst2" }\n'
            'data = { train = "train.jsonl", test = "test.jsonl" }\n'
            f'lm = {{ provider = "huggingface", model = "{given}" }}\n'
            "budget = { calls = 100 }\n"
        )
        there = (tmp_path / given).resolve()
        expected = str(there) if there.exists() else given
        assert load_config(file).lm.options.model == expected


def test_half_precision_is_computed_in_what_the_processor_is_fast_in(
    folder_of, tmp_path, monkeypatch
) -> None:
    network = load(folder_of("llama"))._loaded.network
    for stored in (torch.float16, torch.bfloat16, torch.float32):
        folder = shutil.copytree(folder_of("llama"), tmp_path / str(stored))
        copy.deepcopy(network).to(stored).save_pretrained(folder)
        for has in (True, False):
            monkeypatch.setattr(
                torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has, raising=False
            )
            loading_module._load.cache_clear()
            fast = torch.bfloat16 if has else torch.float32
            expected = torch.float32 if stored == torch.float32 else fast
            assert load(folder)._loaded.network.dtype == expected
            assert load(folder, dtype="float16")._loaded.network.dtype == torch.float16
