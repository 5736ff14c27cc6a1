"""A site's own file, ``site.toml``: its data, model and caps, and the coordinator's address."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from asyndbt._section import Section, key
from asyndbt.config._base import Directory, File, LimitsConfig, Name
from asyndbt.config._config import Config, load_config
from asyndbt.config._explain import explain_errors
from asyndbt.config._federation import Address, is_loopback
from asyndbt.config._toml import read_toml
from asyndbt.errors import ConfigError

_EXAMPLE = "docs/three-hospitals.md has one"
_PARTS = ("train", "validation", "test")


class SiteSection(Section):
    """[site]: name and directories of the site."""

    name: Name = key(..., "Name of the site, one of federation.sites.", example="north")
    shared: File = key(
        ...,
        "This site's copy of the file that all sites share.",
        example="shared.toml",
        kind="path",
    )
    state: Directory = key(
        ..., "Directory of all that the site keeps: state, answers, logs.", example="state"
    )


class LinkConfig(Section):
    """[coordinator]: how the site reaches the coordinator."""

    address: Address = key(..., "Host and port to dial.", example="coordinator.example.org:9092")
    root_certificate: File | None = key(
        None, "Certificate of the authority behind the coordinator's.", example="ca.crt"
    )
    key: File | None = key(None, "The site's private key.", example="keys/north")

    @property
    def lacks(self) -> list[str]:
        """The missing keys that a connection to another machine needs."""
        return [name for name in ("root_certificate", "key") if getattr(self, name) is None]

    def check(self, insecure: bool) -> None:
        """Raise ConfigError if the connection is not safe, unless `insecure` allows that."""
        if self.lacks and not insecure and not is_loopback(self.address):
            raise ConfigError(
                f"coordinator.{self.lacks[0]} is missing, and {self.address} is another machine: "
                "set it (asyndbt keys new, asyndbt keys tls), or say --insecure for a trial"
            )


class SiteFile(Section):
    """The configuration of one site, in addition to the shared file."""

    site: SiteSection = Field(description="Who the site is.")
    coordinator: LinkConfig = Field(description="How the site reaches the coordinator.")
    data: dict[str, Any] = key(..., "As [data] of one machine, for this site.", example={})
    lm: dict[str, Any] = key({}, "As [lm] of one machine, for this site.", example={})
    budget: LimitsConfig = key(LimitsConfig(), "Caps of this site, whatever is asked.", example={})

    def shared(self) -> Config:
        """Return the configuration that all sites share.

        Raises
        ------
        ConfigError
            If its engine is not "flower", or this site is not among its sites.
        """
        config = load_config(self.site.shared)
        names = config.federation.sites
        if names is None:
            raise ConfigError(
                f'{self.site.shared}: federation.engine is "{config.federation.engine}": set '
                '"flower" for sites on several machines'
            )
        if self.site.name not in names:
            raise ConfigError(
                f"site.name = {self.site.name!r} is not one of federation.sites: {', '.join(names)}"
            )
        return config

    def private(self, shared: Config, base: Path) -> Config:
        """Return the shared configuration with this site's own data, model and caps.

        Relative paths of this file start from `base`.
        """
        files = {part: self.data[part] for part in _PARTS if part in self.data}
        others = {name: value for name, value in self.data.items() if name not in _PARTS}
        return Config.from_dict(
            {
                "task": shared.task.model_dump(mode="json", exclude_unset=True),
                "method": shared.method.model_dump(mode="json", exclude_unset=True),
                "run": {"seed": shared.run.seed, "dir": str(self.site.state)},
                "data": {**others, "sites": {self.site.name: files}},
                "lm": self.lm,
                "budget": {
                    "test_share": shared.budget.test_share,
                    "per_site": self._caps(shared),
                },
            },
            base=base,
        )

    def _caps(self, shared: Config) -> Mapping[str, Any]:
        """Return the least of an equal share of the total, the cap of every site, and its own."""
        sites = len(shared.federation.sites or ())
        caps: dict[str, Any] = {}
        for field in LimitsConfig.model_fields:
            total = getattr(shared.budget, field)
            share = total and (total // sites if isinstance(total, int) else total / sites)
            known = [share, getattr(shared.budget.per_site, field), getattr(self.budget, field)]
            caps |= {field: min(cap for cap in known if cap is not None)} if any(known) else {}
        return caps


def is_site_file(path: Path) -> bool:
    """Whether a file is a site's own, and not the configuration of a run.

    Raises
    ------
    ConfigError
        If it is there and cannot be read.
    """
    return path.exists() and "site" in read_toml(path, _EXAMPLE)


def load_site_file(path: Path | str) -> SiteFile:
    """Read a site's own file; relative paths in it start from its directory.

    Raises
    ------
    ConfigError
        If the file cannot be read, is not TOML, or has a wrong setting.
    """
    path = Path(path)
    data = read_toml(path, _EXAMPLE)
    tables = {**{table: {} for table in ("site", "coordinator", "data")}, **data}
    try:
        return SiteFile.model_validate(tables, context={"base": path.parent})
    except ValidationError as error:
        raise ConfigError(explain_errors(error, SiteFile, str(path))) from None
