"""Sites that data name, cut into more sites."""

from __future__ import annotations

from typing import Any

import pytest

from asyndbt.errors import ConfigError, DataError
from asyndbt.run import load_site_data, make_task

CUT = {"meals": 2, "movies": 2, "phones": 1}


@pytest.mark.parametrize("kind", ["iid", "dirichlet"])
def test_every_site_is_cut_into_its_share_of_them(small: Any, kind: str) -> None:
    config = small.config(data={"partition": {"sites": 5, "kind": kind}, "pool_per_class": 1})
    sites = {site.name: site for site in load_site_data(config, make_task(config)).sites}
    assert list(sites) == [f"{n}-{i + 1}" for n, count in CUT.items() for i in range(count)]
    rows = small.rows("test")
    for name, count in CUT.items():
        texts = [e.fields["text_a"] for i in range(count) for e in sites[f"{name}-{i + 1}"].test]
        assert sorted(texts) == sorted(row["text_a"] for row in rows if row["site"] == name)


def test_it_follows_from_the_seed(small: Any) -> None:
    def digests(seed: int) -> list[Any]:
        config = small.config(data={"partition": {"sites": 5}, "pool_per_class": 1})
        config = config.override({"run.seed": seed})
        return [site.digests for site in load_site_data(config, make_task(config)).sites]

    assert digests(1) == digests(1)
    assert digests(1) != digests(2)


def test_fewer_sites_than_the_data_name_are_refused(small: Any) -> None:
    config = small.config(data={"partition": {"sites": 2}})
    with pytest.raises(ConfigError, match=r"data\.partition\.sites: 2 given, and the data name 3"):
        load_site_data(config, make_task(config))


def test_a_site_without_training_examples_is_refused_by_its_name(small: Any) -> None:
    train = [row for row in small.rows("train") if row["site"] != "meals"]
    files = {"train": small.write("train.jsonl", train), "partition": {"sites": 4}}
    config = small.config(data=files)
    with pytest.raises(DataError, match="belongs to site 'meals', which has no training examples"):
        load_site_data(config, make_task(config))
