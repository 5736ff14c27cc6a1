"""An encoder and a small network on top: what supervised learning makes of the same examples.

Source: the reference "RoBERTa + MLP" of Ma et al., Scientific Reports 16:9381 (2026): sentence
vectors summed, a one-layer network, cross-entropy, learning rate 2e-5.

Steps: every text field becomes a vector, the mean of the encoder's last hidden states over its
tokens; the vectors of a query's fields are added; a hidden layer (tanh) and an output layer give
the labels' scores. Encoder and network are trained together by AdamW on all labelled examples of
the site, candidates for demonstrations and training queries, `epochs` times at most; the state of
the least validation loss is kept, and training ends `patience` epochs after it.

Departures: which layer and which pooling the source uses is not printed.

A call is spent on: nothing but the references of the evaluation, plain prompt and random
demonstrations. Training costs no language-model call; its own budget is the number of epochs, and
the last point of the curve says how many it took.

Needs torch and transformers, extra ``hf``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from asyndbt.baselines.baseline import Local
from asyndbt.baselines.encoder_classifier import EncoderClassifier
from asyndbt.baselines.predictor import Predictor
from asyndbt.baselines.site import Site
from asyndbt.federation import PromptObjective, Score, TestScores
from asyndbt.run.directory import to_json, write_atomically

__all__ = ["EncoderMLP", "TrainedEncoder"]


@dataclass(frozen=True, slots=True)
class EncoderMLP(Local):
    """A trained classifier.

    Parameters
    ----------
    encoder : str
        Name or path of a Hugging Face encoder.
    hidden : int
        Width of the hidden layer.
    learning_rate : float
    epochs : int
        Most passes over the examples.
    patience : int
        Epochs without a lesser validation loss after which training ends.
    batch : int
        Examples per step.
    device : str
        Of torch, such as ``"cuda"``.
    """

    encoder: str = "FacebookAI/roberta-base"
    hidden: int = 256
    learning_rate: float = 2e-5
    epochs: int = 50
    patience: int = 5
    batch: int = 8
    device: str = "cpu"
    name: ClassVar[str] = "encoder-mlp"

    async def tune_site(self, site: Site) -> tuple[Predictor, int]:
        """Train."""
        seed = site.integer("weights")
        classifier = EncoderClassifier(self.encoder, site.task, self.hidden, self.device, seed)
        data = site.prompts.data
        examples = [*site.candidates, *data.train]
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
            look = classifier.score(data.validation)
            site.progress.note(site.name, epoch, float(np.mean(losses)), look)
            judged = look.loss if look.n else float(np.mean(losses))
            if judged < best:
                best, kept, since = judged, classifier.state(), 0
            else:
                since += 1
            await asyncio.sleep(0)  # the sites take turns
        classifier.load(kept)
        return TrainedEncoder(classifier, self.encoder, epoch), epoch


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """A classifier that asks no language model."""

    classifier: EncoderClassifier
    encoder: str
    epochs: int

    async def validate(self, objective: PromptObjective) -> Score:
        """Score the validation split."""
        return self.classifier.score(objective.prompts.data.validation)

    async def test(self, objective: PromptObjective, rng: np.random.Generator) -> TestScores:
        """Score the test split, and ask about the two references beside it."""
        return replace(
            await objective.compare(None, rng),
            tuned=self.classifier.score(objective.prompts.data.test),
        )

    def write(self, folder: Path) -> None:
        """Write what was trained; the weights are not kept."""
        part = {"encoder": self.encoder, "epochs": self.epochs}
        write_atomically(folder / "result.json", to_json(part))
