from random import Random

import pytest

from asyndbt.pocket._grammar import (
    FAMILIES,
    draw_item,
    false_clues,
    is_held_out,
    signed_task,
    true_clues,
)
from asyndbt.pocket._surface import PLAIN_KIND
from asyndbt.pocket._tokenizer import UNKNOWN, Tokenizer


@pytest.mark.parametrize("family", FAMILIES)
def test_every_text_is_made_of_known_words(family: str) -> None:
    rng, tokenizer, task = Random(1), Tokenizer(), signed_task(family, "+-+-")
    for instruction in task.family.instructions:
        for _ in range(200):
            text = f"Question: {draw_item(rng, task).question(instruction)} Answer:"
            assert UNKNOWN not in tokenizer.encode(text), text


@pytest.mark.parametrize("held_out", [True, False])
def test_items_come_from_the_wanted_side_of_the_hold_out(held_out: bool) -> None:
    rng, task = Random(2), signed_task("sentiment", "++++")
    for _ in range(50):
        assert is_held_out(draw_item(rng, task, held_out=held_out).key) is held_out


@pytest.mark.parametrize("family", FAMILIES)
def test_flipping_all_signs_flips_what_the_poles_mean(family: str) -> None:
    plus, minus = signed_task(family, "++++"), signed_task(family, "----")
    for task, shift in ((plus, 0), (minus, 1)):
        rng = Random(3)
        for _ in range(100):
            item = draw_item(rng, task)
            if item.kind != PLAIN_KIND:
                classes = task.family.dims[item.kind].classes
                assert item.label_class == classes[item.side ^ shift]
    assert true_clues(plus) == false_clues(minus)


def test_dims_that_need_an_unused_class_are_silent() -> None:
    task = signed_task("topic", "++++", (0, 1))
    assert task.signs == (1, 0, 0, 0)
    assert set(true_clues(task)) == set(task.family.dims[0].clues[0])
