"""Probes: small fixed tests on held-out texts that steer the phases of the training."""

from random import Random
from typing import Final, NamedTuple

import torch

from asyndbt.pocket import PAD, PLAIN_KIND, draw_item, true_clues

from .network import PocketNetwork
from .prompts import TOKENIZER, Mode, choose_labels, prompt_ids, random_task

__all__ = ["PROBES", "Question", "draw_probe", "run_probe"]

QUESTIONS: Final = 160
BATCH: Final = 40
NOTE_WORDS: Final = 8


class _Probe(NamedTuple):
    mode: Mode = "natural"
    shots_per_class: int = 0
    plain: float = 0.34
    clued: bool = False


PROBES: Final = {
    "plain": _Probe(plain=1.0),
    "clue": _Probe(plain=0.0, clued=True),
    "natural1": _Probe(shots_per_class=1),
    "natural4": _Probe(shots_per_class=4),
    "flipped4": _Probe("flipped", 4),
    "arbitrary1": _Probe("arbitrary", 1),
    "arbitrary4": _Probe("arbitrary", 4),
    "joint": _Probe(shots_per_class=1, plain=0.0, clued=True),
}


class Question(NamedTuple):
    """Prompt tokens, candidate label tokens, index of the right one."""

    ids: list[int]
    labels: list[int]
    gold: int


def draw_probe(name: str) -> list[Question]:
    """Draw the questions of a probe, always the same ones."""
    probe, rng = PROBES[name], Random(f"probe {name}")
    questions: list[Question] = []
    while len(questions) < QUESTIONS:
        task = random_task(rng)
        words = choose_labels(rng, task, probe.mode)
        demonstrations = [
            (draw_item(rng, task, label, held_out=True), words[index])
            for index, label in enumerate(task.classes)
            for _ in range(probe.shots_per_class)
        ]
        rng.shuffle(demonstrations)
        query = draw_item(rng, task, held_out=True, plain_share=probe.plain)
        if probe.clued and query.kind == PLAIN_KIND:
            continue
        clues = true_clues(task)
        note = rng.sample(clues, min(NOTE_WORDS, len(clues))) if probe.clued else []
        ids = prompt_ids(task.family.instructions[0], query, demonstrations, note)
        labels = [TOKENIZER.id_of(word) for word in words]
        questions.append(Question(ids, labels, task.classes.index(query.label_class)))
    return questions


@torch.inference_mode()
def run_probe(network: PocketNetwork, questions: list[Question]) -> float:
    """Share of questions whose right label has the highest score among the labels."""
    right = 0
    ordered = sorted(questions, key=lambda question: len(question.ids))
    for start in range(0, len(ordered), BATCH):
        part = ordered[start : start + BATCH]
        ids = torch.full((len(part), len(part[-1].ids)), PAD)
        for row, question in enumerate(part):
            ids[row, : len(question.ids)] = torch.tensor(question.ids)
        hidden, _ = network.hidden(ids)
        for row, question in enumerate(part):
            scores = network.logits(hidden[row, len(question.ids) - 1])[question.labels]
            right += int(scores.argmax().item() == question.gold)
    return right / len(questions)
