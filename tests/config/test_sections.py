from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from asyndbt.config import Config, FederationConfig, MethodConfig
from asyndbt.errors import ConfigError
from asyndbt.optim import Settings, preset


@pytest.mark.parametrize("name", ["default", "paper"])
def test_settings_without_overrides_are_the_preset(name: str) -> None:
    assert MethodConfig(preset=name).settings() == preset(name)


@pytest.mark.parametrize("field", list(Settings.all_keys()))
def test_every_setting_can_be_given_under_either_preset(field: str) -> None:
    for name, other in [("default", "paper"), ("paper", "default")]:
        value = preset(other).model_dump()[field]
        assert MethodConfig(preset=name, **{field: value}).settings() == preset(
            name, **{field: value}
        )


def test_the_paper_has_its_own_fragment() -> None:
    assert MethodConfig(preset="paper").fragment_length == 75
    assert MethodConfig(preset="paper", fragment_length=3).fragment_length == 3
    assert MethodConfig().fragment_length == 6


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_hints_are_few_and_may_be_left_out(preset: str) -> None:
    method = MethodConfig.model_validate({"preset": preset, "vocabulary": "propose"})
    assert (method.fragment_length, method.empty_fragment) == (2, True)
    assert not {"fragment_length", "empty_fragment"} & method.given
    given = {"vocabulary": "propose", "fragment_length": 3, "empty_fragment": False}
    method = MethodConfig.model_validate({"preset": preset, **given})
    assert (method.fragment_length, method.empty_fragment) == (3, False)


def test_demonstrations_are_counted_per_class_or_in_total() -> None:
    assert MethodConfig().demonstrations_per_class == 1
    assert MethodConfig(demonstrations_total=8).demonstrations_per_class is None


@pytest.mark.parametrize(
    ("given", "kept"), [("majority", "majority"), ("all", "all"), (1.0, "all"), (0.5, 0.5), (1, 1)]
)
def test_a_quorum_of_the_whole_is_all_and_not_one(given: Any, kept: Any) -> None:
    assert FederationConfig(quorum=given).quorum == kept


@given(st.integers(1, 1000), st.floats(0, 1, exclude_min=True))
def test_a_quorum_is_a_number_of_sites_that_there_are(sites: int, share: float) -> None:
    for quorum in ("majority", "all", share, 1):
        assert 1 <= FederationConfig(quorum=quorum).quorum_of(sites) <= sites
    assert 2 * FederationConfig().quorum_of(sites) > sites
    assert FederationConfig(quorum=share).quorum_of(sites) >= math.floor(share * sites)


@pytest.mark.parametrize(
    ("quorum", "sites", "expected"),
    [("majority", 4, 3), ("majority", 5, 3), (0.5, 4, 2), (0.1, 30, 3), (1.0, 7, 7), (1, 7, 1)],
)
def test_quorum_in_sites(quorum: Any, sites: int, expected: int) -> None:
    assert FederationConfig(quorum=quorum).quorum_of(sites) == expected


def test_a_quorum_above_the_sites_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"quorum = 4 is more than the number of sites, 3"):
        FederationConfig(quorum=4).quorum_of(3)


def test_a_config_cannot_be_changed(minimal: dict[str, Any]) -> None:
    config = Config.from_dict(minimal)
    with pytest.raises(ValidationError):
        config.run.seed = 3  # type: ignore[misc]


def test_the_virtual_engine_has_delays(minimal: dict[str, Any]) -> None:
    config = Config.from_dict(minimal | {"federation": {"engine": "virtual"}})
    assert config.federation.delays is not None
    assert Config.from_dict(minimal).federation.delays is None


def test_a_folder_of_data_files_is_found_from_anywhere(
    minimal: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "rows").mkdir()
    minimal["data"] = {"train": "datasets:rows:train[:5]", "test": "datasets:glue/sst2:validation"}
    data = Config.from_dict(minimal, base=tmp_path).data
    assert data.train == f"datasets:{tmp_path / 'rows'}:train[:5]"
    assert data.test == "datasets:glue/sst2:validation"
