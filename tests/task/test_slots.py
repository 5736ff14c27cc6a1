import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import ConfigError, DataError
from asyndbt.task import Example, SiteData, Task, demonstration_slots

TASK = Task("{text}?", ("0", "1", "2"), ("red", "green", "blue"))


def site(*sizes: int) -> SiteData:
    pool = [
        Example({"text": f"text {label} {i}"}, str(label))
        for label, size in enumerate(sizes)
        for i in range(size)
    ]
    return SiteData("north", tuple(pool), (), (), ())


@given(st.lists(st.integers(6, 15), min_size=3, max_size=3), st.integers(1, 3), st.integers(0, 5))
def test_slots_per_class(sizes: list[int], per_class: int, seed: int) -> None:
    data = site(*sizes)
    slots = demonstration_slots(data, TASK, per_class=per_class, seed=seed)
    assert [slot[0].label for slot in slots] == [label for label in "012" for _ in range(per_class)]
    assert {len(slot) for slot in slots} == {min(sizes) // per_class}
    assert all(len({example.label for example in slot}) == 1 for slot in slots)
    shown = [example for slot in slots for example in slot]
    assert len(set(shown)) == len(shown)
    assert set(shown) <= set(data.pool)


@given(st.lists(st.integers(5, 15), min_size=3, max_size=3), st.integers(1, 5))
def test_slots_in_all_are_stratified(sizes: list[int], total: int) -> None:
    slots = demonstration_slots(site(*sizes), TASK, total=total)
    assert len(slots) == total
    assert {len(slot) for slot in slots} == {sum(sizes) // total}
    shown = [example for slot in slots for example in slot]
    assert len(set(shown)) == len(shown)
    for label, size in enumerate(sizes):
        counts = [sum(example.label == str(label) for example in slot) for slot in slots]
        assert all(size // total - 1 <= count <= size // total + 1 for count in counts)


@pytest.mark.parametrize("sizes", [(6, 0, 8), (0, 0, 6), (0, 7, 0)])
def test_a_class_that_the_pool_lacks_has_no_slots(sizes: tuple[int, int, int]) -> None:
    present = [label for label, size in enumerate(sizes) if size]
    slots = demonstration_slots(site(*sizes), TASK, per_class=2)
    assert [slot[0].label for slot in slots] == [str(label) for label in present for _ in range(2)]
    least = min(sizes[label] for label in present)
    assert {len(slot) for slot in slots} == {least // 2}
    in_all = demonstration_slots(site(*sizes), TASK, total=3)
    assert {len(slot) for slot in in_all} == {sum(sizes) // 3}


def test_slots_depend_on_the_seed_and_not_on_the_order_of_the_pool() -> None:
    data = site(9, 9, 9)
    turned = SiteData("north", data.pool[::-1], (), (), ())
    first = demonstration_slots(data, TASK, seed=1)
    assert first == demonstration_slots(turned, TASK, seed=1)
    assert first != demonstration_slots(data, TASK, seed=2)


def test_too_small_pools_name_site_class_have_need_and_mend() -> None:
    with pytest.raises(
        DataError,
        match=r"site 'north', class '1': 5 examples in the pool for 3 demonstrations, 6 needed .*"
        r"raise pool_per_class or lower per_class$",
    ):
        demonstration_slots(site(9, 5, 9), TASK, per_class=3)
    with pytest.raises(DataError, match=r"site 'north': 9 examples .* 5 demonstrations, 10 needed"):
        demonstration_slots(site(3, 3, 3), TASK, total=5)


def test_settings_out_of_range() -> None:
    with pytest.raises(ConfigError, match="per_class: 0 given"):
        demonstration_slots(site(9, 9, 9), TASK, per_class=0)
    with pytest.raises(ConfigError, match="total: 0 given"):
        demonstration_slots(site(9, 9, 9), TASK, total=0)
