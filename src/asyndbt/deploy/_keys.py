"""Keys and certificates for trials and small federations.

Not by `trustme`, whose certificates are for tests: its authority is valid until the year 3000, and
its certificates may sign code.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from asyndbt.errors import DeployError, MissingExtraError

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

_YEARS = 2


def new_key(path: Path) -> tuple[Path, Path]:
    """Make a site's key pair (P-384, as Flower requires); return private and public file.

    Raises
    ------
    DeployError
        If one of the files exists.
    """
    _check_installed()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1())
    private, public = path, path.with_name(path.name + ".pub")
    _check_new(private, public)
    _write(private, _private_bytes(key, serialization.PrivateFormat.OpenSSH), 0o600)
    form = serialization.PublicFormat.OpenSSH
    _write(public, key.public_key().public_bytes(serialization.Encoding.OpenSSH, form), 0o644)
    return private, public


def new_certificates(host: str, folder: Path) -> tuple[Path, Path, Path]:
    """Make a certificate of a host, valid for localhost too, and the authority that signs it.

    Returns
    -------
    tuple of Path
        The host's certificate, its private key, and the authority's certificate, which sites need.
        The authority's key is not kept: for another certificate, make another authority.

    Raises
    ------
    DeployError
        If one of the files exists.
    """
    _check_installed()
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    files = (folder / "server.pem", folder / "server.key", folder / "ca.crt")
    _check_new(*files)
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _root(authority)
    signed = _signed(host, server, root, authority)
    pem = serialization.Encoding.PEM
    _write(files[0], signed.public_bytes(pem), 0o644)
    _write(files[1], _private_bytes(server, serialization.PrivateFormat.PKCS8), 0o600)
    _write(files[2], root.public_bytes(pem), 0o644)
    return files


def _check_installed() -> None:
    if find_spec("cryptography") is None:
        raise MissingExtraError("cryptography", "flower")


def _root(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    name = _name("asyndbt authority")
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    return (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _signed(
    host: str,
    key: ec.EllipticCurvePrivateKey,
    root: x509.Certificate,
    authority: ec.EllipticCurvePrivateKey,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    try:
        names.append(x509.IPAddress(ipaddress.ip_address(host)))
    except ValueError:
        names.append(x509.DNSName(host))
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key())
    return (
        _builder(_name(host), root.subject, key)
        .add_extension(x509.SubjectAlternativeName(list(dict.fromkeys(names))), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(issuer, critical=False)
        .sign(authority, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=365 * _YEARS))
    )


def _name(text: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private_bytes(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    from cryptography.hazmat.primitives import serialization

    unlocked = serialization.NoEncryption()
    secret: bytes = key.private_bytes(serialization.Encoding.PEM, form, unlocked)
    return secret


def _check_new(*paths: Path) -> None:
    for path in paths:
        if path.exists():
            raise DeployError(f"{path}: exists already: give another place, or remove it first")


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
