"""A pretrained encoder with a small network on top: supervised learning on the same examples.

Source: the reference "RoBERTa + MLP" of Ma et al., Scientific Reports 16:9381 (2026): sentence
vectors summed, a one-layer network, cross-entropy, learning rate 2e-5.

Steps: the vector of a text field is the mean of the encoder's last hidden states over its tokens;
the vectors of a query's fields are added; a hidden layer (tanh) and an output layer give the
labels' scores. Encoder and network are trained together by AdamW on all labelled examples of the
site, candidates for demonstrations and training queries (with `examples` = "train" on the latter
alone), `epochs` times at most; the state of the least validation loss is kept, and training ends
`patience` epochs after it.

Departures: the source does not say which layer and which pooling it uses.

A call is spent on: the references of the evaluation, plain prompt and random demonstrations.
Training sends no request; its budget is the number of epochs, shown by the last point of the curve.

Needs torch and transformers, extra ``hf``.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from asyndbt.baselines._base import BaselineSite, PerSiteBaseline
from asyndbt.baselines._predictors import Predictor
from asyndbt.errors import ConfigError, MissingExtraError
from asyndbt.lm import LabelPrior
from asyndbt.run import to_json, write_atomically
from asyndbt.scoring import PromptObjective, Score, TestScores
from asyndbt.task import Example, Task

Examples = Literal["all", "train"]


@dataclass(frozen=True, slots=True)
class EncoderMLP(PerSiteBaseline):
    """A trained classifier.

    Parameters
    ----------
    encoder : str
        Name or path of a Hugging Face encoder.
    hidden : int
        Width of the hidden layer.
    examples : {"all", "train"}
        What it is trained on: candidates for demonstrations and training queries, or the latter.
    epochs : int
        Most passes over the examples.
    patience : int
        Epochs without a lower validation loss after which training ends.
    batch : int
        Examples per step.
    device : str
        Of torch, such as ``"cuda"``.
    """

    encoder: str = "FacebookAI/roberta-base"
    hidden: int = 256
    examples: Examples = "all"
    learning_rate: float = 2e-5
    epochs: int = 50
    patience: int = 5
    batch: int = 8
    device: str = "cpu"
    name: ClassVar[str] = "encoder-mlp"
    needs_labels: ClassVar[bool] = True
    needs_calls: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.examples not in get_args(Examples):
            raise ConfigError(f'examples = {self.examples!r}: the choices are "all" and "train"')

    async def tune_site(self, site: BaselineSite) -> tuple[Predictor, int]:
        """Train the classifier."""
        seed = site.integer("weights")
        classifier = EncoderClassifier(self.encoder, site.task, self.hidden, self.device, seed)
        data = site.prompts.data
        examples = [*(site.candidates if self.examples == "all" else ()), *data.train]
        best, kept, since, epoch = float("inf"), classifier.state(), 0, 0
        optimizer = classifier.optimizer(self.learning_rate)
        rng = site.rng("batches")
        while epoch < self.epochs and since < self.patience:
            epoch += 1
            order = rng.permutation(len(examples))
            losses = [
                classifier.step(optimizer, [examples[k] for k in order[at : at + self.batch]])
                for at in range(0, len(examples), self.batch)
            ]
            validation = classifier.score(data.validation)
            site.note(epoch, float(np.mean(losses)), validation)
            judged = validation.loss if validation.n else float(np.mean(losses))
            if judged < best:
                best, kept, since = judged, classifier.state(), 0
            else:
                since += 1
            await asyncio.sleep(0)  # the sites take turns
        classifier.load(kept)
        return TrainedEncoder(classifier, self.encoder, epoch), epoch


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """A classifier without a language model."""

    classifier: EncoderClassifier
    encoder: str
    epochs: int

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        return self.classifier.score(objective.prompts.data.validation)

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and the two references with it."""
        return replace(
            await objective.test_prompts(None, rng),
            tuned=self.classifier.score(objective.prompts.data.test),
        )

    def write(self, folder: Path, prior: LabelPrior | None) -> None:
        """Write encoder and epochs; the weights are not kept."""
        part = {"encoder": self.encoder, "epochs": self.epochs}
        write_atomically(folder / "result.json", to_json(part))


_LENGTH = 256
"""Most tokens of a text field that are read."""


class EncoderClassifier:
    """An encoder and a network that score the labels of examples.

    `hidden` is the network's width; `seed` fixes its first weights and dropout.

    Raises
    ------
    MissingExtraError
        Without torch or transformers.
    ConfigError
        If the encoder cannot be loaded.
    """

    def __init__(self, encoder: str, task: Task, hidden: int, device: str, seed: int) -> None:
        try:
            import torch
            import transformers
        except ImportError as error:
            raise MissingExtraError(error.name or "torch", "hf") from None
        try:
            self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
                encoder, trust_remote_code=False
            )
            self._encoder: Any = transformers.AutoModel.from_pretrained(
                encoder, trust_remote_code=False, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"encoder {encoder!r} cannot be loaded: {error}") from error
        self._task, self._device, self._random = task, device, torch.Generator().manual_seed(seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._head: Any = torch.nn.Sequential(
                torch.nn.Linear(self._encoder.config.hidden_size, hidden),
                torch.nn.Tanh(),
                torch.nn.Linear(hidden, len(task.labels)),
            )
        self._whole: Any = torch.nn.ModuleList([self._encoder, self._head]).to(device)

    def optimizer(self, learning_rate: float) -> Any:
        """Return AdamW over encoder and network."""
        import torch

        return torch.optim.AdamW(self._whole.parameters(), lr=learning_rate)

    def step(self, optimizer: Any, examples: Sequence[Example]) -> float:
        """Take one step on these examples; return their mean cross-entropy before it, nats."""
        import torch

        with torch.random.fork_rng(devices=[]):
            # Dropout draws from torch's global generator, seeded for this step.
            torch.manual_seed(int(torch.randint(1 << 31, (1,), generator=self._random)))
            self._whole.train()
            gold = torch.tensor([self._task.class_of(e.label) for e in examples])
            loss = torch.nn.functional.cross_entropy(self._scores(examples), gold.to(self._device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return float(loss.item())

    def score(self, examples: Sequence[Example], batch: int = 32) -> Score:
        """Return the number of correct labels, and the mean cross-entropy, nats."""
        import torch

        if not examples:
            return Score()
        self._whole.eval()
        with torch.no_grad():
            rows = [
                torch.log_softmax(self._scores(examples[at : at + batch]), dim=1).cpu().numpy()
                for at in range(0, len(examples), batch)
            ]
        logs = np.concatenate(rows).astype(np.float64)
        gold = np.array([self._task.class_of(example.label) for example in examples])
        losses = -logs[np.arange(len(gold)), gold]
        right = float((logs.argmax(axis=1) == gold).sum())
        return Score(right, len(gold), max(0.0, float(losses.mean())))

    def state(self) -> Any:
        """Return a copy of all weights."""
        return copy.deepcopy(self._whole.state_dict())

    def load(self, state: Any) -> None:
        """Restore what `state` returned."""
        self._whole.load_state_dict(state)

    def _scores(self, examples: Sequence[Example]) -> Any:
        fields = [self._encoded([e.fields[name] for e in examples]) for name in self._task.fields]
        return self._head(sum(fields[1:], fields[0]))

    def _encoded(self, texts: list[str]) -> Any:
        read = self._tokenizer(
            texts, padding=True, truncation=True, max_length=_LENGTH, return_tensors="pt"
        ).to(self._device)
        mask = read["attention_mask"]
        states = self._encoder(input_ids=read["input_ids"], attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
