"""The two files of a federation across machines: what may be in which, and what binds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asyndbt.config import Config, SiteFile, load_config, load_site_file
from asyndbt.config._toml import format_table
from asyndbt.errors import ConfigError

SHARED: dict[str, Any] = {
    "task": {"template": "sst2"},
    "federation": {"engine": "flower", "sites": ["north", "south"]},
    "budget": {"calls": 1_000},
}
SITE: dict[str, Any] = {
    "site": {"name": "north", "shared": "shared.toml", "state": "state"},
    "coordinator": {"address": "127.0.0.1:9092"},
    "data": {"train": "train.jsonl", "pool_per_class": 7},
}


def shared(**tables: Any) -> Config:
    return Config.from_dict({**SHARED, **tables})


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., SiteFile]:
    def write(shared: dict[str, Any] | None = None, **tables: Any) -> SiteFile:
        (tmp_path / "shared.toml").write_text(format_table({**SHARED, **(shared or {})}))
        (tmp_path / "site.toml").write_text(format_table({**SITE, **tables}))
        return load_site_file(tmp_path / "site.toml")

    return write


# ------------------------------------------------------------------ the shared file
@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"data": {"train": "a.jsonl"}}, 'data is each site\'s own with engine "flower"'),
        ({"data": {"pool_per_class": 5}}, "data is each site's own"),
        ({"lm": {"feedback": "text"}}, "lm is each site's own"),
        ({"method": {"vocabulary": "pmi"}}, "needs the texts of all sites in one place"),
        ({"method": {"vocabulary": "propose"}}, "each site writes its hints with asyndbt propose"),
        ({"method": {"centralised": True}}, "pools the data of all sites"),
        ({"federation": {"engine": "flower"}}, "federation.sites is missing: name the sites"),
        ({"federation": {"engine": "flower", "sites": ["a", "a"]}}, "names a site twice"),
        ({"federation": {"engine": "local", "sites": ["a"]}}, 'belongs to engine "flower"'),
        (
            {"federation": {**SHARED["federation"], "flower": {"address": "http://a"}}},
            "write host:port",
        ),
        (
            {"federation": {**SHARED["federation"], "flower": {"certificate": "a.pem"}}},
            "federation.flower.certificate_key is missing",
        ),
    ],
)
def test_what_cannot_be_in_a_shared_file_is_named(tables: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        shared(**tables)


def test_a_shared_file_reads_back_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "shared.toml").write_text(format_table(SHARED))
    config = load_config(tmp_path / "shared.toml")
    assert config.federation.flower is not None
    assert config.federation.flower.home == tmp_path / "flower"
    moved = config.override({"run.dir": tmp_path / "elsewhere"})
    assert moved.federation.flower == config.federation.flower
    config.dump(tmp_path / "resolved.toml")
    assert load_config(tmp_path / "resolved.toml").to_dict() == config.to_dict()
    assert not {"data", "lm"} & set(config.to_dict())


# ------------------------------------------------------------------ a site's own file
def test_a_site_has_what_is_agreed_with_its_own_data(written: Any, tmp_path: Path) -> None:
    file = written()
    private = file.private(file.shared(), tmp_path)
    assert private.federation.engine == "local"
    assert private.task == file.shared().task
    assert private.data.sites is not None
    assert private.data.sites["north"].train == str(tmp_path / "train.jsonl")
    assert private.data.pool_per_class == 7


@pytest.mark.parametrize(
    ("budget", "own", "calls"),
    [
        ({"calls": 1_000}, {}, 500),
        ({"calls": 1_000}, {"calls": 400}, 400),
        ({"calls": 1_000, "per_site": {"calls": 300}}, {"calls": 400}, 300),
        ({"per_site": {"calls": 300}}, {"calls": 4_000}, 300),
    ],
)
def test_the_smallest_of_the_caps_binds(
    written: Any, tmp_path: Path, budget: dict[str, Any], own: dict[str, Any], calls: int
) -> None:
    file = written({"budget": budget}, budget=own)
    assert file.private(file.shared(), tmp_path).budget.per_site.calls == calls


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"site": {**SITE["site"], "name": "west"}}, "not one of federation.sites: north, south"),
        ({"site": {"shared": "shared.toml", "state": "state"}}, "site.name is missing"),
        ({"coordinator": {}}, "coordinator.address is missing"),
        ({"sites": {}}, "sites is not a known key"),
    ],
)
def test_what_is_wrong_in_a_sites_file_is_named(
    written: Any, tables: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        written(**tables).shared()


def test_a_shared_file_for_one_machine_is_refused(written: Any) -> None:
    one = {"data": {"train": "a.jsonl"}, "federation": {"engine": "local"}}
    with pytest.raises(ConfigError, match='set "flower" for sites on several machines'):
        written(one).shared()


@pytest.mark.parametrize(
    ("link", "missing"),
    [
        ({"address": "127.0.0.1:1"}, ""),
        ({"address": "localhost:1"}, ""),
        ({"address": "a.org:1"}, "root_certificate"),
        ({"address": "10.0.0.1:1", "root_certificate": "ca.crt"}, "key"),
        ({"address": "a.org:1", "root_certificate": "ca.crt", "key": "north"}, ""),
    ],
)
def test_off_the_machine_certificate_and_key_are_asked_for(
    written: Any, link: dict[str, str], missing: str
) -> None:
    file = written(coordinator=link)
    file.coordinator.check(insecure=True)
    if not missing:
        file.coordinator.check(insecure=False)
        return
    with pytest.raises(ConfigError, match=f"coordinator.{missing} is missing.*--insecure"):
        file.coordinator.check(insecure=False)


def test_files_that_are_not_there_or_no_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file; docs/"):
        load_site_file(tmp_path / "none.toml")
    (tmp_path / "marked.toml").write_bytes(b"\xef\xbb\xbf[site]")
    with pytest.raises(ConfigError, match=r"site.name"):
        load_site_file(tmp_path / "marked.toml")
    (tmp_path / "bad.toml").write_text("= 1")
    with pytest.raises(ConfigError, match="not TOML"):
        load_site_file(tmp_path / "bad.toml")
