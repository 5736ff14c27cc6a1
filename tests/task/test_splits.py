from collections.abc import Iterable
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import ConfigError, DataError
from asyndbt.task import Example, SiteData, Split, SplitSizes, Task, merge_sites, split_sites

TASK = Task("{text}?", ("0", "1"), ("no", "yes"))
PARTS = ("pool", "train", "validation", "test")


def make(texts: Iterable[int], site: str | None = None, label: int | None = None) -> list[Example]:
    return [
        Example({"text": f"text {i}"}, str(i % 2 if label is None else label), site) for i in texts
    ]


def contents(examples: Iterable[Example]) -> set[str]:
    return {" ".join(example.fields["text"].split()) for example in examples}


def parts(split: Split) -> dict[tuple[str, str], tuple[Example, ...]]:
    return {(site.name, part): getattr(site, part) for site in split.sites for part in PARTS}


# A few texts, so that they meet again in other parts, with other labels, spaced differently.
Examples = st.lists(
    st.builds(
        lambda text, label, site, gap: Example({"text": f"text{gap}{text}"}, label, site),
        st.integers(0, 25),
        st.sampled_from(TASK.labels),
        st.sampled_from(["north", "south"]),
        st.sampled_from([" ", "  ", "\n"]),
    ),
    max_size=30,
)
Sizes = st.builds(SplitSizes, *[st.none() | st.integers(1, 3)] * 3)


def try_split(
    train: list[Example],
    validation: list[Example],
    test: list[Example],
    sizes: SplitSizes,
    seed: int = 0,
) -> Split | None:
    # Enough examples of every class and site, so that most draws give a split.
    enough = [example for site in ("north", "south") for example in make(range(90, 110), site)]
    try:
        return split_sites(TASK, [*train, *enough], validation, test, sizes=sizes, seed=seed)
    except DataError:
        return None


@given(Examples, Examples, Examples, Sizes)
def test_no_text_is_in_two_parts(
    train: list[Example], validation: list[Example], test: list[Example], sizes: SplitSizes
) -> None:
    split = try_split(train, validation, test, sizes)
    if split is None:
        return
    held = parts(split)
    for (site, part), (other_site, other) in combinations(held, 2):
        if site == other_site or (part == "test") != (other == "test"):
            assert not contents(held[site, part]) & contents(held[other_site, other])
    for (_, part), examples in held.items():
        labelled = {(example.content, example.label) for example in examples}
        assert len(labelled) == len(examples)
        assert part == "test" or len(contents(examples)) == len(examples)


@given(Examples, Examples, Examples, Sizes)
def test_test_data_is_complete_and_nothing_comes_from_elsewhere(
    train: list[Example], validation: list[Example], test: list[Example], sizes: SplitSizes
) -> None:
    split = try_split(train, validation, test, sizes)
    for site in split.sites if split else ():
        own = [example for example in test if example.site == site.name]
        assert list(dict.fromkeys((e.content, e.label) for e in own)) == [
            (e.content, e.label) for e in site.test
        ]
        assert {example.site for part in PARTS for example in getattr(site, part)} <= {site.name}


@given(Examples, Examples, Examples, Sizes, st.permutations(range(30)), st.integers(0, 3))
def test_the_order_of_rows_and_sites_changes_nothing(
    train: list[Example],
    validation: list[Example],
    test: list[Example],
    sizes: SplitSizes,
    order: list[int],
    seed: int,
) -> None:
    first = try_split(train, validation, test, sizes, seed)
    assert first == try_split(train, validation, test, sizes, seed)
    by_site = sorted(train, key=lambda example: str(example.site), reverse=True)
    assert first == try_split(by_site, validation, test, sizes, seed)
    shuffled = [train[i] for i in order if i < len(train)] + train[30:]
    second = try_split(shuffled, validation, test, sizes, seed)
    assert (first is None) == (second is None)
    if first and second:
        # Of texts that differ in white space alone, the first one is kept.
        assert [[e.content for e in held] for held in parts(first).values()] == [
            [e.content for e in held] for held in parts(second).values()
        ]


@given(Examples, Examples, Examples)
def test_every_example_is_used_or_reported(
    train: list[Example], validation: list[Example], test: list[Example]
) -> None:
    everything = SplitSizes(None, None, None)
    split = try_split(train, validation, test, everything)
    if split is None:
        return
    used = sum(len(examples) for examples in parts(split).values())
    assert used + split.duplicates.total == len(train) + 20 * 2 + len(validation) + len(test)


def test_sizes_per_class() -> None:
    sizes = SplitSizes(pool_per_class=5, train_per_class=3, validation_per_class=2)
    (site,) = split_sites(TASK, make(range(100)), sizes=sizes).sites
    assert site.name == "local"
    for part, size in (("pool", 5), ("train", 3), ("validation", 2)):
        labels = [example.label for example in getattr(site, part)]
        assert labels.count("0") == labels.count("1") == size


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        (SplitSizes(), (40, 30, 30)),
        (SplitSizes(None, None, None), (34, 34, 32)),
        (SplitSizes(10, 5, None), (20, 10, 70)),
        (SplitSizes(10, None, 5), (20, 70, 10)),
    ],
)
def test_parts_without_a_number_share_what_is_left(
    sizes: SplitSizes, expected: tuple[int, int, int]
) -> None:
    (site,) = split_sites(TASK, make(range(100)), sizes=sizes).sites
    assert (len(site.pool), len(site.train), len(site.validation)) == expected


def test_validation_data_is_taken_whole_and_only_by_the_sites_that_have_it() -> None:
    train = make(range(100), "north") + make(range(100, 200), "south")
    north, south = split_sites(TASK, train, make(range(200, 231), "north")).sites
    assert (len(north.train), len(north.validation)) == (60, 31)
    assert (len(south.train), len(south.validation)) == (30, 30)


def test_another_seed_gives_another_split() -> None:
    pools = {split_sites(TASK, make(range(100)), seed=seed).sites[0].pool for seed in range(5)}
    assert len(pools) == 5


def test_an_added_row_moves_few_others() -> None:
    sizes = SplitSizes(pool_per_class=20)
    before = split_sites(TASK, make(range(200)), sizes=sizes).sites[0]
    after = split_sites(TASK, make(range(201)), sizes=sizes).sites[0]
    assert len(set(before.pool) ^ set(after.pool)) <= 2


def test_duplicates_are_counted_by_pair_of_parts() -> None:
    train = make(range(60)) + make([0, 1]) + make([2], label=1)
    split = split_sites(TASK, train, make([10, 11, 12, 70, 71, 70]), make([20, 12, 20, 90]))
    assert split.duplicates.removed == {
        ("test", "test"): 1,
        ("validation", "test"): 1,
        ("validation", "validation"): 1,
        ("train", "test"): 2,
        ("train", "validation"): 2,
        ("train", "train"): 2,
    }
    assert split.duplicates.contradictions == {"train": 2}
    report = str(split.duplicates)
    assert "2 examples of train occur in test too: removed from train" in report
    assert "1 example of validation stood there before: removed" in report
    assert "2 examples of train had a text with two labels: removed" in report


def test_letters_that_are_composed_or_not_are_the_same_text() -> None:
    train = [
        *make(range(60)),
        Example({"text": "caf\u00e9"}, "0"),
        Example({"text": "cafe\u0301"}, "0"),
    ]
    split = split_sites(TASK, train, test=[Example({"text": "cafe\u0301 "}, "0")])
    assert split.duplicates.removed == {("train", "test"): 2}


def test_test_data_of_one_site_is_taken_out_of_all_sites() -> None:
    train = make(range(60), "north") + make(range(60, 120), "south")
    split = split_sites(TASK, train, test=make([0, 1], "south"))
    assert split.duplicates.removed == {("train", "test"): 2}
    assert [len(site.test) for site in split.sites] == [0, 2]


def test_too_few_examples_name_site_class_have_need_and_mend() -> None:
    train = make(range(100), "north") + make(range(0, 100, 2), "south") + make([1, 3, 5], "south")
    with pytest.raises(
        DataError,
        match=r"site 'south', class '1': 3 training examples, 22 needed \(20 for pool \+ at least 1"
        r" for train \+ at least 1 for validation\); add some, or lower"
        r" pool_per_class$",
    ):
        split_sites(TASK, train)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"test": make(range(100))}, r"of 50 that were read, 50 occur in test; add others$"),
        ({"validation": make(range(99))}, r"of 50 .*, 50 occur in validation; add others$"),
        (
            {"test": make(range(40)), "validation": make(range(30, 100))},
            r"of 50 .*, 20 occur in test and 30 occur in validation; add others$",
        ),
        (
            {"train": make(range(40)) * 2},
            r"20 training .*; of 40 that were read, 20 stand there twice .*; add others, or lower",
        ),
    ],
)
def test_too_few_examples_are_told_from_duplicates(
    parts: dict[str, list[Example]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        split_sites(TASK, **{"train": make(range(100)), **parts})


def test_an_empty_class_is_not_mended_by_smaller_parts() -> None:
    with pytest.raises(DataError, match=r"class '1': 0 training .*; add some$"):
        split_sites(TASK, make(range(0, 100, 2)))


def test_a_site_without_a_class_has_parts_of_the_others() -> None:
    train = make(range(100), "both") + make(range(100, 200, 2), "one")
    test = make(range(200, 210), "one")
    both, one = split_sites(TASK, train, test=test).sites
    for part in ("pool", "train", "validation"):
        assert {example.label for example in getattr(both, part)} == {"0", "1"}
        assert {example.label for example in getattr(one, part)} == {"0"}
    assert len(one.pool) == 20
    assert {example.label for example in one.test} == {"0", "1"}


def test_a_class_whose_examples_are_too_few_or_duplicates_is_not_missing() -> None:
    both = make(range(100), "both")
    few = [*make(range(100, 200, 2), "few"), *make([201, 203], "few")]
    with pytest.raises(DataError, match=r"site 'few', class '1': 2 training examples, 22 needed"):
        split_sites(TASK, both + few)
    with pytest.raises(DataError, match=r"'few', class '1': 0 training .*, 2 occur in test; add"):
        split_sites(TASK, both + few, test=make([201, 203], "few"))


def test_a_class_of_validation_data_alone_is_drawn_too() -> None:
    train = make(range(100), "both") + make(range(100, 200, 2), "one")
    sizes = SplitSizes(validation_per_class=2)
    _, one = split_sites(TASK, train, make(range(200, 220), "one"), sizes=sizes).sites
    assert sorted(example.label for example in one.validation) == ["0", "0", "1", "1"]


def test_sites_elsewhere_may_have_the_other_classes() -> None:
    (site,) = split_sites(TASK, make(range(0, 100, 2)), complete=False).sites
    assert {example.label for example in site.pool} == {"0"}


def test_validation_per_class_is_a_promise() -> None:
    sizes = SplitSizes(validation_per_class=4)
    with pytest.raises(
        DataError,
        match=r"class '0': 3 validation examples, 4 needed .* or lower validation_per_class$",
    ):
        split_sites(TASK, make(range(60)), make(range(100, 106)), sizes=sizes)


def test_sites_must_have_training_data() -> None:
    test = [Example({"text": "x"}, "0", "nroth", "test.csv line 2")]
    with pytest.raises(
        DataError, match=r"test: test.csv line 2 belongs to site 'nroth', .* did you mean 'north'\?"
    ):
        split_sites(TASK, make(range(60), "north"), test=test)
    with pytest.raises(DataError, match="train: there are no examples"):
        split_sites(TASK, [])


def test_validation_data_that_is_all_test_data() -> None:
    with pytest.raises(DataError, match="site 'local': no validation example is left"):
        split_sites(TASK, make(range(60)), make([70, 71]), make([70, 71]))


def test_sizes_are_positive() -> None:
    with pytest.raises(ConfigError, match="train_per_class: 0 given; it must be 1 or more"):
        SplitSizes(train_per_class=0)


def test_site_data_refuses_a_text_in_two_parts() -> None:
    one, two = make([1]), make([1], label=0)
    with pytest.raises(DataError, match="site 'x': 1 text occurs in pool and in test"):
        SiteData("x", tuple(one), (), (), tuple(two))


@given(Examples, Examples, Examples)
def test_merged_sites_do_not_overlap_and_keep_all_test_data(
    train: list[Example], validation: list[Example], test: list[Example]
) -> None:
    split = try_split(train, validation, test, SplitSizes(2, None, None))
    if split is None:
        return
    merged = merge_sites(split.sites)
    assert {(e.content, e.label) for e in merged.test} == {
        (e.content, e.label) for site in split.sites for e in site.test
    }
    for part in PARTS[:3]:
        assert contents(getattr(merged, part)) <= {
            text for site in split.sites for text in contents(getattr(site, part))
        }
