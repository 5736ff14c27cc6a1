"""Supervised learning on a tiny encoder with random weights."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from asyndbt.baselines import run_method
from asyndbt.errors import ConfigError, MissingExtraError
from asyndbt.run import read_curve
from asyndbt.testing import ScriptedLanguageModel


def save_encoder(folder: Path, texts: list[str]) -> str:
    """Save a BERT of two narrow layers that knows the words of these texts."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = sorted({word for text in texts for word in text.split()})
    known = {word: index for index, word in enumerate(["[PAD]", "[UNK]", *words])}
    made = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="[PAD]", unk_token="[UNK]"
    )
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(known),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def encoder(tiny: Any, tmp_path: Path) -> str:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    texts = [row["text_a"] for part in tiny.files for row in tiny.rows(part)]
    return save_encoder(tmp_path / "encoder", texts)


def test_it_learns_the_training_examples_and_asks_only_for_the_references(
    tiny: Any, scripted: ScriptedLanguageModel, encoder: str
) -> None:
    options = {"encoder": encoder, "hidden": 8, "learning_rate": 0.02, "epochs": 8, "patience": 8}
    result = run_method("encoder-mlp", tiny.config("one"), model=scripted, options=options)
    data = result.data
    assert data["iterations"] == 8
    assert data["ledger"]["calls"] == 2 * tiny.test * (1 + 2)
    assert data["metrics"]["test"]["tuned"]["n"] == 2 * tiny.test
    curve = read_curve(result.directory)
    assert curve[-1]["calls"] == 0, "training asks no language model"
    losses = [point["train_loss"] for point in curve if point["site"] == "meals"][:-1]
    assert losses[-1] < 0.5 * losses[0]
    again = run_method("encoder-mlp", tiny.config("two"), model=scripted, options=options)
    assert again.data == data


def test_training_ends_when_validation_gets_no_better(
    tiny: Any, scripted: ScriptedLanguageModel, encoder: str
) -> None:
    options = {"encoder": encoder, "hidden": 8, "learning_rate": 0.0, "epochs": 50, "patience": 2}
    result = run_method("encoder-mlp", tiny.config(), model=scripted, options=options)
    assert result.data["iterations"] == 3


def test_a_wrong_name_is_told_in_the_librarys_words(
    tiny: Any, scripted: ScriptedLanguageModel, encoder: str
) -> None:
    with pytest.raises(ConfigError, match="cannot be loaded"):
        run_method(
            "encoder-mlp",
            tiny.config(),
            model=scripted,
            options={"encoder": str(tiny.folder / "nowhere")},
        )
    assert scripted.asked == []


def test_without_torch_the_extra_is_named(
    tiny: Any, scripted: ScriptedLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[hf\]"):
        run_method("encoder-mlp", tiny.config(), model=scripted)
