from collections import Counter
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import ConfigError, DataError
from asyndbt.task import Example, divide_sites, partition_examples, share_examples

Kind = Literal["iid", "dirichlet"]
Kinds = st.sampled_from(["iid", "dirichlet"])


def make(labels: list[int]) -> list[Example]:
    return [Example({"text": f"text {i}"}, str(label)) for i, label in enumerate(labels)]


@given(
    st.integers(1, 4),
    Kinds,
    st.lists(st.integers(0, 2), max_size=60),
    st.integers(0, 9),
    st.floats(1e-6, 1e6),
)
def test_every_example_is_kept_once_and_no_site_lacks_a_class(
    sites: int, kind: Kind, labels: list[int], seed: int, alpha: float
) -> None:
    examples = make([0, 1, 2] * sites + labels)
    rng = np.random.default_rng(seed)
    dealt = partition_examples(examples, sites, kind, alpha=alpha, rng=rng)
    assert dealt == examples
    names = [f"site-{number}" for number in range(1, sites + 1)]
    assert set(Counter((e.site, e.label) for e in dealt)) == {
        (name, label) for name in names for label in "012"
    }


@given(st.integers(1, 5), st.lists(st.integers(0, 2), max_size=60), st.integers(0, 9))
def test_iid_sites_differ_by_at_most_one_example_a_class(
    sites: int, labels: list[int], seed: int
) -> None:
    examples = make([0, 1, 2] * sites + labels)
    dealt = partition_examples(examples, sites, "iid", rng=np.random.default_rng(seed))
    counts = Counter((example.site, example.label) for example in dealt)
    for label in "012":
        sizes = [count for (_, of), count in counts.items() if of == label]
        assert max(sizes) - min(sizes) <= 1


def test_small_alpha_makes_sites_differ_more() -> None:
    examples = make([0, 1] * 500)

    def skew(alpha: float) -> float:
        rng = np.random.default_rng(0)
        dealt = partition_examples(examples, 5, "dirichlet", alpha=alpha, rng=rng)
        counts = Counter((example.site, example.label) for example in dealt)
        return float(np.std(list(counts.values())))

    assert skew(0.1) > 2 * skew(10) > 0


def test_the_same_seed_gives_files_of_other_sizes_the_same_shares() -> None:
    shares = []
    for size in (1000, 4000):
        rng = np.random.default_rng(7)
        dealt = partition_examples(make([0, 1] * size), 3, "dirichlet", rng=rng)
        counts = Counter((example.site, example.label) for example in dealt)
        shares.append([counts[f"site-{i}", label] / size for i in (1, 2, 3) for label in "01"])
    np.testing.assert_allclose(*shares, atol=0.01)


def test_shared_examples_are_whole_at_every_site() -> None:
    examples = make([0, 1, 0])
    shared = share_examples(examples, 2)
    for name in ("site-1", "site-2"):
        assert [example for example in shared if example.site == name] == examples
    assert len(shared) == 6


def test_too_few_examples_for_the_sites() -> None:
    with pytest.raises(
        DataError, match=r"class '1': 2 examples for 3 sites, 3 needed; add .* fewer sites"
    ):
        partition_examples(make([0, 0, 0, 1, 1]), 3, "iid", rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("sites", "kind", "alpha", "message"),
    [
        (0, "iid", 0.5, "^sites: 0 given; it must be 1 or more"),
        (2, "even", 0.5, "^kind: 'even' given; it must be 'iid' or 'dirichlet'"),
        (2, "dirichlet", 0.0, "^alpha: 0.0 given; it must be above 0"),
    ],
)
def test_settings_out_of_range(sites: int, kind: Kind, alpha: float, message: str) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ConfigError, match=message):
        partition_examples(make([0, 1]), sites, kind, alpha=alpha, rng=rng)


def test_more_named_sites_than_parts() -> None:
    with pytest.raises(ConfigError, match=r"^sites: 2 given, and the data name 3 sites already"):
        divide_sites({"a", "b", "c"}, 2)
