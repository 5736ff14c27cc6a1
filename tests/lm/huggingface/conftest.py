"""Tiny models with random weights, saved as real ones are and loaded by path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyndbt.lm import Prompt
from asyndbt.lm.providers.huggingface import _loading as loading_module

TEMPLATE = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEXTS = [
    f'Question: How does "{text}" feel? Note: think. Answer: {label}'
    for text in ("the movie was superb", "a dull and tedious film", "it works", "what a waste")
    for label in ("great", "terrible", "neither good nor bad")
]
TEXTS.append("jovial wizards quickly fixed my big paper box, terribly bad")
LABELS = ("great", "terrible", "terribly bad", "neither good nor bad", "neither good nor dull")


def shot(text: str, label: str) -> tuple[str, str]:
    return (f'Question: How does "{text}" feel? Answer:', label)


@pytest.fixture(autouse=True)
def nothing_loaded() -> None:
    """Tests change networks, and the one that was loaded last is shared."""
    loading_module._load.cache_clear()


@pytest.fixture
def labels() -> tuple[str, ...]:
    """Label words: of one token and of several, some with the same first tokens."""
    return LABELS


@pytest.fixture
def prompts() -> list[Prompt]:
    """Prompts with two sets of demonstrations, with one that nobody shares, and with none."""
    queries = ["the movie was superb", "dull", "what a tedious and long waste of a film it was"]
    sets = [
        (shot("it works", "great"), shot("a dull film", "terrible")),
        (shot("what a waste", "terrible"), shot("superb", "great"), shot("tedious", "terrible")),
        (),
    ]
    alone = Prompt((shot("seen only here", "great"),), shot("superb", "")[0])
    return [Prompt(shots, shot(query, "")[0]) for shots in sets for query in queries] + [alone]


def _tokenizer(family: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    if family == "bert":
        special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"}
        special |= {"sep_token": "[SEP]", "mask_token": "[MASK]"}
        made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(
            vocab_size=120, special_tokens=list(special.values()), show_progress=False
        )
        ends = ("[CLS]", "[SEP]")
    elif family == "t5":
        special = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace()
        made.decoder = decoders.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=90,
            special_tokens=list(special.values()),
            unk_token="<unk>",
            show_progress=False,
        )
        ends = ("", "</s>")
    else:
        special = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>"}
        special |= {"mask_token": "<mask>"} if family == "roberta" else {}
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=330,
            special_tokens=list(special.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        both = ("roberta", "bart")
        ends = ("<s>", "</s>") if family in both else ("" if family == "gpt2" else "<s>", "")
    made.train_from_iterator(TEXTS, trainer)
    if any(ends):
        made.post_processor = processors.TemplateProcessing(
            single=" ".join(filter(None, (ends[0], "$A", ends[1]))),
            special_tokens=[(end, made.token_to_id(end)) for end in ends if end],
        )
    return PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=320, **special)


def _network(family: str, size: int) -> Any:
    import transformers as t

    decoder = {"vocab_size": size, "hidden_size": 32, "num_hidden_layers": 2}
    decoder |= {"num_attention_heads": 4, "intermediate_size": 48, "max_position_embeddings": 322}
    grouped = decoder | {"num_key_value_heads": 2}
    narrow = {"vocab_size": size, "d_model": 32, "pad_token_id": 1}
    makers: dict[str, Callable[[], Any]] = {
        "llama": lambda: t.LlamaForCausalLM(t.LlamaConfig(**grouped)),
        "mistral": lambda: t.MistralForCausalLM(t.MistralConfig(**grouped, sliding_window=8)),
        "gemma3": lambda: t.Gemma3ForCausalLM(
            t.Gemma3TextConfig(
                **grouped,
                head_dim=8,
                sliding_window=8,
                layer_types=["sliding_attention", "full_attention"],
            )
        ),
        "gptneo": lambda: t.GPTNeoForCausalLM(
            t.GPTNeoConfig(
                vocab_size=size,
                hidden_size=32,
                num_layers=2,
                num_heads=4,
                attention_types=[[["global", "local"], 1]],
                window_size=40,
                max_position_embeddings=322,
            )
        ),
        "bloom": lambda: t.BloomForCausalLM(
            t.BloomConfig(vocab_size=size, hidden_size=32, n_layer=2, n_head=4)
        ),
        "mamba": lambda: t.MambaForCausalLM(
            t.MambaConfig(vocab_size=size, hidden_size=32, num_hidden_layers=2, state_size=4)
        ),
        "gpt2": lambda: t.GPT2LMHeadModel(
            t.GPT2Config(vocab_size=size, n_embd=32, n_layer=2, n_head=4, n_positions=320)
        ),
        "bert": lambda: t.BertForMaskedLM(t.BertConfig(**decoder)),
        "roberta": lambda: t.RobertaForMaskedLM(t.RobertaConfig(**decoder)),
        "t5": lambda: t.T5ForConditionalGeneration(
            t.T5Config(
                vocab_size=size,
                d_model=32,
                d_kv=8,
                d_ff=48,
                num_layers=2,
                num_heads=4,
                pad_token_id=0,
                decoder_start_token_id=0,
            )
        ),
        "bart": lambda: t.BartForConditionalGeneration(
            t.BartConfig(
                **narrow,
                encoder_layers=2,
                decoder_layers=2,
                encoder_attention_heads=4,
                decoder_attention_heads=4,
                encoder_ffn_dim=48,
                decoder_ffn_dim=48,
                max_position_embeddings=320,
                bos_token_id=0,
                eos_token_id=2,
                decoder_start_token_id=2,
            )
        ),
    }
    return makers[family]()


def save(family: str, folder: Path, *, seed: int = 0, template: bool = False) -> Path:
    """Save a model with random weights, wide enough that its answers differ."""
    import torch

    tokenizer = _tokenizer(family)
    if template:
        tokenizer.chat_template = TEMPLATE
    torch.manual_seed(seed)
    network = _network(family, len(tokenizer))
    with torch.no_grad():
        for weights in network.parameters():
            if weights.ndim > 1:
                weights.normal_(0.0, 0.3)
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a saved model by family, made once."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            name, _, chat = family.partition("-")
            made[family] = save(
                name, tmp_path_factory.mktemp(family) / "model", template=bool(chat)
            )
        return made[family]

    return folder


@pytest.fixture
def save_model() -> Callable[..., Path]:
    """Save a model of a family in a folder."""
    return save
