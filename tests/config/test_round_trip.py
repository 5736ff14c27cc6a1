from __future__ import annotations

import tomllib
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from asyndbt._spelling import site_name_fault
from asyndbt.config import Config, MethodConfig, load_config
from asyndbt.config._toml import format_table
from asyndbt.optim import Settings
from asyndbt.robustness import ATTACKS

text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
words = text.filter(lambda word: bool(word.strip()))
names = st.from_regex(r"\w[\w. -]{0,6}", fullmatch=True).filter(
    lambda name: site_name_fault(name) is None
)
positive = st.floats(1e-6, 1e6)
count = st.integers(1, 10**9)


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables in which any of the keys may be missing."""
    return st.fixed_dictionaries({}, optional=keys)


labels = st.dictionaries(text, words, min_size=2, max_size=4).filter(
    lambda table: len(set(table.values())) == len(table)
)
tasks = st.builds(
    lambda required, rest: required | rest,
    st.one_of(
        st.fixed_dictionaries({"template": text}),
        st.fixed_dictionaries({"instruction": text.map(lambda t: t + "{a}"), "labels": labels}),
    ),
    some(fragment_intro=st.text(st.characters(exclude_categories=["Cs"]), max_size=8)),
)
sources = st.sampled_from(["train.jsonl", "pocket:a/test", "datasets:x", "/abs/é.csv", 'q"\\.csv'])
partitions = st.one_of(
    some(sites=count).filter(bool),
    st.fixed_dictionaries(
        {"sites": count, "kind": st.just("dirichlet")}, optional={"alpha": positive}
    ),
)
common = {"label_column": text, "pool_per_class": count, "train_per_class": count}
data = st.one_of(
    st.fixed_dictionaries(
        {"train": sources}, optional=common | {"test": sources, "site_column": text}
    ),
    st.fixed_dictionaries(
        {"train": sources}, optional=common | {"site_column": text, "partition": partitions}
    ),
    st.fixed_dictionaries(
        {
            "sites": st.dictionaries(
                names, st.fixed_dictionaries({"train": sources}), min_size=1, max_size=3
            )
        },
        optional=common,
    ),
)
every_method = some(
    preset=st.sampled_from(["default", "paper"]),
    mode=st.sampled_from(["both", "demonstrations", "fragment"]),
    centralised=st.booleans(),
    vocabulary=st.sampled_from(["builtin", "pmi", "propose", "words.txt"]),
    fragment_length=count,
    demonstrations_per_class=count,
    draws=st.integers(2, 99),
    step=st.sampled_from(["exponentiated", "projection", "adam"]),
    eta_p=positive,
    discount=st.floats(0, 1, exclude_min=True),
)
methods = every_method.map(
    lambda given: {k: v for k, v in given.items() if k not in MethodConfig(**given).idle()}
)
delays = st.one_of(
    some(mean=positive, slow=st.dictionaries(names, positive, max_size=2)),
    st.fixed_dictionaries({"kind": st.just("pareto")}, optional={"shape": st.floats(1.01, 9)}),
)
quorums = st.one_of(count, st.floats(0, 1, exclude_min=True), st.sampled_from(["all", "majority"]))
liars = st.fixed_dictionaries(
    {"attack": st.sampled_from([*ATTACKS]), "share": st.floats(0, 1, exclude_max=True)},
    optional={"words": st.lists(words, unique=True)},
)
federations = st.one_of(
    some(quorum=quorums, staleness=count, lease=positive),
    st.fixed_dictionaries(
        {"engine": st.just("virtual")}, optional={"quorum": quorums, "liars": liars}
    ),
)
limits = {"tokens": count, "money": positive}
configs = st.builds(
    lambda required, rest: required | rest,
    st.fixed_dictionaries(
        {
            "task": tasks,
            "data": data,
            "budget": st.fixed_dictionaries(
                {"calls": count}, optional=limits | {"per_site": some(**limits)}
            ),
        }
    ),
    some(method=methods, federation=federations, run=some(seed=st.integers(0, 2**63), dir=names)),
).filter(lambda config: not lied_about_nothing(config))


def lied_about_nothing(config: dict[str, Any]) -> bool:
    """Whether there are liars, and no fragment or no sites about which they could lie."""
    method = config.get("method", {})
    idle = method.get("centralised") or method.get("mode") == "demonstrations"
    return bool(idle and "liars" in config.get("federation", {}))


@given(configs)
@settings(max_examples=60)
def test_what_is_dumped_loads_to_an_equal_config_anywhere(values: dict[str, Any]) -> None:
    config = Config.from_dict(values, base="/somewhere", name="x")
    again = Config.from_dict(tomllib.loads(config.to_toml()), base="/elsewhere", name="y")
    assert again == config
    assert again.to_toml() == config.to_toml()
    assert again.fingerprint() == config.fingerprint()


@given(
    st.recursive(
        st.dictionaries(text, st.one_of(text, st.booleans(), st.integers(), positive)),
        lambda inner: st.dictionaries(text, inner, max_size=3),
        max_leaves=6,
    )
)
@settings(max_examples=60)
def test_toml_writer_is_the_inverse_of_tomllib(table: dict[str, Any]) -> None:
    assert tomllib.loads(format_table(table)) == table


def test_dump_and_load_through_a_file(minimal: dict[str, Any], tmp_path: Path) -> None:
    config = Config.from_dict(minimal, base=tmp_path)
    config.dump(tmp_path / "deeper.toml")
    assert load_config(tmp_path / "deeper.toml") == config


def test_every_default_is_written_out(minimal: dict[str, Any]) -> None:
    dumped = tomllib.loads(Config.from_dict(minimal).to_toml())
    assert set(Settings.all_keys()) <= set(dumped["method"])
    assert dumped["federation"]["quorum"] == "majority"
    assert dumped["method"]["demonstrations_per_class"] == 1


def test_paths_start_from_the_files_directory(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    file = tmp_path / "deep" / "first.toml"
    file.write_text(
        '[task]\ntemplate = "sst2"\n[data]\ntrain = "../train.jsonl"\ntest = "pocket:a/test"\n'
        '[method]\nvocabulary = "words.txt"\n[budget]\ncalls = 5\n[run]\nseed = 3\n'
    )
    config = load_config(file)
    assert config.data.train == str(tmp_path / "train.jsonl")
    assert config.data.test == "pocket:a/test"
    assert config.method.vocabulary == str(tmp_path / "deep" / "words.txt")
    assert config.run.dir == tmp_path / "deep" / "runs" / "first-seed3"


def test_a_tilde_is_a_home_where_there_is_one(minimal: dict[str, Any], tmp_path: Path) -> None:
    data = {**minimal["data"], "train": "~/train.csv", "test": "~nobody-of-that-name.csv"}
    config = Config.from_dict({**minimal, "data": data}, base=tmp_path)
    assert config.data.train == str(Path.home() / "train.csv")
    assert config.data.test == str(tmp_path / "~nobody-of-that-name.csv")


def test_fingerprint_knows_settings_but_not_the_place_of_the_record(
    minimal: dict[str, Any],
) -> None:
    config = Config.from_dict(minimal)
    assert config.override({"run.dir": "/other"}).fingerprint() == config.fingerprint()
    assert config.override({"method.draws": 9}).fingerprint() != config.fingerprint()


def test_override_moves_the_defaults_that_hang_on_other_keys(minimal: dict[str, Any]) -> None:
    config = Config.from_dict(minimal, base="/base", name="sst2")
    changed = config.override({"run.seed": 4, "method.preset": "paper", "budget.calls": 7})
    assert changed.run.dir == Path("/base/runs/sst2-seed4")
    assert changed.method.settings().estimator == "reinforce"
    assert changed.budget.calls == 7
    assert config.run.seed == 0


def test_keys_without_effect_are_not_written_out(minimal: dict[str, Any]) -> None:
    paper = Config.from_dict(minimal | {"method": {"preset": "paper", "mode": "demonstrations"}})
    dumped = tomllib.loads(paper.to_toml())["method"]
    assert not {"ridge", "window", "entropy", "vocabulary", "fragment_length"} & set(dumped)
    assert Config.from_dict(tomllib.loads(paper.to_toml())).method == paper.method


def test_mappings_of_any_kind_are_tables(minimal: dict[str, Any]) -> None:
    labels = {"0": "no", "1": "yes"}
    minimal["task"] = MappingProxyType(
        {"instruction": "{text_a}?", "labels": MappingProxyType(labels)}
    )
    config = Config.from_dict(MappingProxyType(minimal))
    assert config.task.labels == labels
    assert config.override({"task.labels": MappingProxyType(labels)}) == config


def test_the_paper_has_its_number_of_epochs(minimal: dict[str, Any]) -> None:
    del minimal["budget"]
    config = Config.from_dict(minimal | {"method": {"preset": "paper"}})
    assert config.method.iterations == 500
    assert config.override({"method.iterations": 7}).method.iterations == 7


def test_override_takes_a_key_out(minimal: dict[str, Any]) -> None:
    config = Config.from_dict(minimal | {"method": {"iterations": 5}})
    assert config.override({"method.iterations": None}).method.iterations is None


def test_byte_order_mark_is_read_over(minimal: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_bytes(b"\xef\xbb\xbf" + Config.from_dict(minimal).to_toml().encode())
    assert load_config(file) == Config.from_dict(minimal)
