"""The table [federation]: how the server waits for sites, and where the coordinator is."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from asyndbt._section import OneOf, Section, SettingError, key
from asyndbt.config._base import Directory, File, Name, resolved
from asyndbt.config._liars import LiarsConfig
from asyndbt.errors import ConfigError
from asyndbt.federation.engines import Delays, find_engines


def _engines() -> list[str]:
    return [*find_engines(), "flower"]


def _quorum(value: object) -> int | float | str:
    if isinstance(value, str) and value in ("majority", "all"):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    if isinstance(value, float) and 0 < value <= 1:
        return value if value < 1 else "all"
    raise ValueError(
        'use "majority", "all", a whole number of sites, or a fraction above 0 and up to 1.0'
    )


def split_address(address: str) -> tuple[str, int]:
    """Return the host and the port of an address.

    Examples
    --------
    >>> split_address("coordinator.example.org:9092"), split_address("[::1]:80")
    (('coordinator.example.org', 9092), ('::1', 80))
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Return whether an address can be reached from its own machine only.

    Examples
    --------
    >>> is_loopback("127.0.0.1:9092"), is_loopback("0.0.0.0:9092"), is_loopback("a.org:9092")
    (True, False, False)
    """
    host, _ = split_address(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(value: str) -> str:
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})", value, re.ASCII)
    if not found or not 0 < int(found[2]) < 65_536:
        raise ValueError("write host:port, such as coordinator.example.org:9092")
    return value


Address = Annotated[str, AfterValidator(_address)]


class FlowerConfig(Section):
    """[federation.flower]: how sites reach the coordinator, for engine "flower"."""

    address: Address = key(
        "127.0.0.1:9092",
        "Host and port of the coordinator, as sites dial it.",
        example="coordinator.example.org:9092",
    )
    certificate: File | None = key(
        None, "The coordinator's certificate (PEM).", example="tls/server.pem", kind="path"
    )
    certificate_key: File | None = key(
        None, "Private key of that certificate.", example="tls/server.key", kind="path"
    )
    root_certificate: File | None = key(
        None,
        "Certificate of the authority that signed the coordinator's.",
        example="tls/ca.crt",
        kind="path",
    )
    ttl: float | None = key(
        None,
        "Seconds after which Flower gives a message up (three times federation.lease).",
        example=1800.0,
        gt=0,
    )
    home: Directory = key(
        Path("flower"),
        "Directory of Flower's own files and logs on the coordinator, relative to this file.",
        example="/var/lib/asyndbt",
        kind="path",
    )

    @property
    def secured(self) -> bool:
        """Whether the coordinator has a certificate."""
        return self.certificate is not None

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        return {"home": (info.context or {}).get("home") or resolved("flower", info)}

    @model_validator(mode="after")
    def _check(self) -> Self:
        files = ("certificate", "certificate_key", "root_certificate")
        missing = [name for name in files if getattr(self, name) is None]
        if 0 < len(missing) < len(files):
            raise SettingError(missing[0], "is missing: certificate, its key and its root go along")
        return self


class PrivacyConfig(Section):
    """[federation.privacy]: local differential privacy of what each site sends in a run."""

    epsilon: float = key(
        ..., "epsilon of the whole run, resumed or not.", example=4.0, ge=0.1, le=1e6
    )
    delta: float = key(
        1e-5,
        "delta of the whole run: less than one in the people concerned.",
        example=1e-6,
        ge=1e-12,
        le=0.01,
    )
    clip: float = key(
        1.0,
        "Largest Euclidean norm of the step from z to p that a site reports; the noise is in "
        "proportion to it.",
        example=0.5,
        gt=0,
    )


class FederationConfig(Section):
    """[federation]: how the server and the sites wait for one another."""

    engine: Annotated[str, OneOf(_engines)] = key(
        "local",
        "Who carries the messages: this machine in real time, a simulated clock, or Flower "
        "between machines.",
        example="virtual",
    )
    sites: list[Name] | None = key(
        None,
        'Names of the sites that take part, engine "flower".',
        example=["north", "south"],
        kind="names",
    )
    quorum: Annotated[int | float | str, PlainValidator(_quorum)] = key(
        "majority",
        "Answers that a server step waits for: a number of sites or a share of them.",
        example="all",
        kind='"majority", "all", sites, or fraction',
    )
    staleness: int = key(
        15,
        "Server steps within which every live site is used; 1 waits for all of them at each one.",
        example=5,
        ge=1,
    )
    lease: float = key(
        300.0, "Seconds of silence after which a site counts as gone.", example=60.0, gt=0
    )
    refresh: Literal["free", "barrier"] = key(
        "free",
        "Whether estimating the lower level stops all sites (barrier, as published) or none.",
        example="barrier",
    )
    delays: Delays | None = key(
        None, 'How long sites take, for engine "virtual".', example={"kind": "lognormal"}
    )
    liars: LiarsConfig | None = key(
        None,
        'Sites that lie, for experiments, engine "virtual".',
        example={"attack": "collude", "share": 0.3},
    )
    flower: FlowerConfig | None = key(
        None,
        'How sites reach the coordinator, engine "flower".',
        example={"address": "coordinator.example.org:9092"},
    )
    privacy: PrivacyConfig | None = key(
        None,
        "Noise on what sites send, so that it tells hardly anything of their data; none if left "
        "out.",
        example={"epsilon": 4.0},
    )

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        table = {"virtual": "delays", "flower": "flower"}.get(str(given.get("engine")))
        return {table: {}} if table else {}

    @field_validator("liars")
    @classmethod
    def _nobody(cls, liars: LiarsConfig | None) -> LiarsConfig | None:
        """Have no liars rather than a share of 0, so that no attack makes it another run."""
        return None if liars is not None and liars.share == 0 else liars

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, engine in (
            ("delays", "virtual"),
            ("liars", "virtual"),
            ("flower", "flower"),
            ("sites", "flower"),
        ):
            if self.engine != engine and getattr(self, name) is not None:
                raise SettingError(name, f'belongs to engine "{engine}": set engine = "{engine}"')
        if self.engine == "flower" and not self.sites:
            raise SettingError("sites", 'is missing: name the sites, such as ["north", "south"]')
        if self.sites and len(set(self.sites)) < len(self.sites):
            raise SettingError("sites", "names a site twice: give every site its own name")
        return self

    def quorum_of(self, sites: int) -> int:
        """Return the quorum of this many sites as a number of sites.

        Raises
        ------
        ConfigError
            If the quorum is more than that.
        """
        if self.quorum == "all":
            return sites
        if isinstance(self.quorum, str):
            return sites // 2 + 1
        if isinstance(self.quorum, float):
            return max(1, math.ceil(self.quorum * sites - 1e-9))
        if self.quorum > sites:
            raise ConfigError(
                f"federation.quorum = {self.quorum} is more than the number of sites, {sites}: "
                f'use {sites} or less, or "all"'
            )
        return self.quorum
