"""The table [federation.flower]: where the coordinator is, and how it proves that it is that."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, ValidationInfo, model_validator

from asyndbt.config.section import Directory, File, Section, SettingError, fill, key, resolved

__all__ = ["Address", "FlowerConfig", "is_loopback", "split_address"]


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of an address.

    Examples
    --------
    >>> split_address("coordinator.example.org:9092"), split_address("[::1]:80")
    (('coordinator.example.org', 9092), ('::1', 80))
    """
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether an address is reached from its own machine alone.

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

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        files = ("certificate", "certificate_key", "root_certificate")
        missing = [name for name in files if getattr(self, name) is None]
        if 0 < len(missing) < len(files):
            raise SettingError(missing[0], "is missing: certificate, its key and its root go along")
        if "home" not in self.model_fields_set:
            context = info.context or {}
            fill(self, home=context.get("home") or resolved(self.home, info))
        return self
