"""Properties of the training data; they need no torch."""

import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from asyndbt.pocket import TASKS, dataset
from asyndbt.pocket._grammar import Item, draw_item, is_held_out, signed_task
from asyndbt.pocket._lexicon import UNSEEN_LABELS
from asyndbt.pocket._tokenizer import ANSWER, UNKNOWN

ROOT = Path(__file__).parents[2]

if not (ROOT / "training").is_dir():
    pytest.skip("the training scripts are only in the repository", allow_module_level=True)
sys.path.insert(0, str(ROOT))

from training.pocket import episodes, phases, prompts  # noqa: E402

RECIPES = [recipe for phase in phases.PHASES for _, recipe in phase.mixture]


def drawn(count: int = 6) -> list[episodes.Episode]:
    rng = Random(0)
    return [
        episodes.make_episode(rng, recipe, shots)
        for recipe in RECIPES
        for shots in recipe.shots
        for _ in range(count)
    ]


def test_no_held_out_text_is_used_in_training(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Item] = []

    def recording(*args: object, **options: object) -> Item:
        seen.append(draw_item(*args, **options))  # type: ignore[arg-type]
        return seen[-1]

    monkeypatch.setattr(episodes, "draw_item", recording)
    drawn()
    exported = {
        " ; ".join(row[field] for field in task.text_fields)
        for name, task in TASKS.items()
        for split in ("train", "validation", "test")
        for row in dataset(name, split)  # type: ignore[arg-type]
    }
    assert len(seen) > 1000
    assert not any(is_held_out(item.key) or item.key in exported for item in seen)


def test_prompts_are_rendered_as_the_package_renders_them(make_prompt: Callable[..., str]) -> None:
    task = TASKS["entailment"]
    signed = signed_task("entailment", "++++")
    items = [
        draw_item(Random(index), signed, held_out=True, site=task.sites[0]) for index in range(3)
    ]
    as_rows = [
        {"text_a": item.text_a, "text_b": item.text_b or "", "label": "entailed"} for item in items
    ]
    text = make_prompt(task, as_rows[:2], as_rows[2], "think twice")
    ids = prompts.prompt_ids(
        task.instruction, items[2], [(item, "yes") for item in items[:2]], ["think", "twice"]
    )
    assert ids[1:] == prompts.TOKENIZER.encode(text)


def test_supervision_points_at_answers_and_candidates() -> None:
    for episode in drawn(2):
        for at, label, labels in episode.answers:
            assert episode.ids[at] == ANSWER
            assert label in labels
            assert UNKNOWN not in labels
        for _, at, good in episode.evidence:
            assert all(place <= at for place in good)


def test_some_words_are_never_labels() -> None:
    assert not set(prompts.LABEL_POOL) & set(UNSEEN_LABELS)


def test_the_same_seed_gives_the_same_episodes() -> None:
    assert drawn(1) == drawn(1)
