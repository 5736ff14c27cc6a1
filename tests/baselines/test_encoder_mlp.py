"""Supervised learning on a tiny encoder with random weights."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from asyndbt.baselines import _encoder_mlp, run_method
from asyndbt.errors import ConfigError, MissingExtraError
from asyndbt.run import read_curve
from asyndbt.scoring import Score
from asyndbt.task import Example
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


class Counting:
    """Stands in for the classifier, and counts the examples that it is trained on."""

    trained: ClassVar[list[set[str]]] = []

    def __init__(self, *_: Any) -> None:
        self.mine: set[str] = set()
        self.trained.append(self.mine)

    def step(self, optimizer: Any, examples: Sequence[Example]) -> float:
        self.mine.update(example.fields["text_a"] for example in examples)
        return 1.0

    def score(self, examples: Sequence[Example]) -> Score:
        return Score(1.0, len(examples), 0.5)

    def optimizer(self, rate: float) -> None: ...
    def state(self) -> None: ...
    def load(self, state: Any) -> None: ...


@pytest.mark.parametrize(("examples", "per_class"), [("all", 7), ("train", 3)])
def test_it_is_trained_on_what_is_asked_for(
    tiny: Any,
    scripted: ScriptedLanguageModel,
    monkeypatch: pytest.MonkeyPatch,
    examples: str,
    per_class: int,
) -> None:
    monkeypatch.setattr(_encoder_mlp, "EncoderClassifier", Counting)
    monkeypatch.setattr(Counting, "trained", [])
    options = {"examples": examples, "epochs": 2}
    run_method("encoder-mlp", tiny.config(), model=scripted, options=options)
    # 7 rows of a class at a site, of which 4 are candidates for demonstrations.
    assert [len(each) for each in Counting.trained] == [2 * per_class] * 2


def test_a_wrong_choice_of_examples_is_refused(tiny: Any, scripted: ScriptedLanguageModel) -> None:
    with pytest.raises(ConfigError, match='the choices are "all" and "train"'):
        run_method("encoder-mlp", tiny.config(), model=scripted, options={"examples": "pool"})


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


def test_an_encoder_with_pickled_weights_is_not_opened(
    tiny: Any, scripted: ScriptedLanguageModel, encoder: str
) -> None:
    (Path(encoder) / "model.safetensors").rename(Path(encoder) / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"cannot be loaded: .*safetensors"):
        run_method("encoder-mlp", tiny.config(), model=scripted, options={"encoder": encoder})


def test_without_torch_the_extra_is_named(
    tiny: Any, scripted: ScriptedLanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[hf\]"):
        run_method("encoder-mlp", tiny.config(), model=scripted)
