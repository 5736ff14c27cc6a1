"""What is refused before anything starts, and what is started."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
import stat
import subprocess
import sys
from contextlib import nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from asyndbt.cli import main
from asyndbt.config import Config, FlowerConfig, LinkConfig
from asyndbt.deploy import _flower as flower
from asyndbt.deploy._flower import Flower, superlink_command, supernode_command
from asyndbt.deploy._keys import new_certificates
from asyndbt.deploy._process import Child, keep_running
from asyndbt.errors import ConfigError, MissingExtraError
from asyndbt.run import run_config


def config(**section: Any) -> Config:
    return Config.from_dict(
        {
            "task": {"template": "sst2"},
            "federation": {"engine": "flower", "sites": ["north"], "flower": section},
            "budget": {"calls": 100},
        }
    )


# ------------------------------------------------------------------ refusals
def test_a_coordinator_for_others_needs_a_certificate() -> None:
    from asyndbt.deploy._start import start_coordinator

    with pytest.raises(ConfigError, match=r"certificate is missing.*asyndbt keys tls.*--insecure"):
        start_coordinator(config(address="a.org:9092"), insecure=False, say=print)


def test_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    from asyndbt.deploy._start import start_coordinator

    files = dict.fromkeys(("certificate", "certificate_key", "root_certificate"), "/no/such.pem")
    with pytest.raises(ConfigError, match=r"/no/such.pem: no such file; asyndbt keys"):
        start_coordinator(config(address="a.org:9092", **files), insecure=False, say=print)


def test_a_run_across_machines_is_not_carried_out_in_this_process(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="asyndbt coordinator start"):
        run_config(config().override({"run.dir": tmp_path / "run"}))


def test_without_flower_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'asyndbt\[flower\]'"):
        Flower(tmp_path)


# ------------------------------------------------------------------ Flower's commands
def test_a_models_key_is_not_handed_to_what_runs_the_coordinators_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flower, "find_spec", lambda name: object())
    monkeypatch.setenv("OPENAI_API_KEY", "zyxkey")
    seen = Flower(tmp_path).environment
    assert "zyxkey" not in str(seen)
    assert (seen["FLWR_TELEMETRY_ENABLED"], seen["FLWR_DISABLE_UPDATE_CHECK"]) == ("0", "1")
    assert seen["FLWR_HOME"] == str(tmp_path)


@pytest.mark.parametrize(
    ("address", "listens"),
    [
        ("127.0.0.1:9", "127.0.0.1"),
        ("localhost:9", "127.0.0.1"),
        ("a.org:9", "0.0.0.0"),
        ("10.1.2.3:9", "10.1.2.3"),
    ],
)
def test_where_the_coordinator_listens(tmp_path: Path, address: str, listens: str) -> None:
    command = superlink_command(FlowerConfig(address=address), tmp_path)
    assert command[command.index("--host") + 1] == listens
    assert "--insecure" in command


def test_with_a_certificate_keys_are_asked_for(tmp_path: Path) -> None:
    pem = tmp_path / "a.pem"
    section = FlowerConfig(certificate=pem, certificate_key=pem, root_certificate=pem)
    command = superlink_command(section, tmp_path)
    assert "--enable-supernode-auth" in command
    assert "--insecure" not in command


def test_a_node_tells_its_site_and_nothing_of_its_data(tmp_path: Path) -> None:
    link = LinkConfig(address="a.org:9", root_certificate=tmp_path / "ca", key=tmp_path / "key")
    command = supernode_command(link, "north", Path("/x/relay"), 4)
    assert command[command.index("--node-config") + 1] == 'site="north" relay="/x/relay"'
    assert "--insecure" not in command


# ------------------------------------------------------------------ keys
def test_keys_are_their_owners_alone_and_never_written_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("cryptography")
    key = tmp_path / "keys" / "north"
    assert main(["keys", "new", str(key)]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert key.with_name("north.pub").read_text().startswith("ecdsa-sha2-nistp384 ")
    before = key.read_bytes()
    assert main(["keys", "new", str(key)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert key.read_bytes() == before


def test_a_certificate_is_for_its_host_and_signed_by_the_authority(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from cryptography import x509

    assert main(["keys", "tls", "a.example.org", "--out", str(tmp_path)]) == 0
    server = x509.load_pem_x509_certificate((tmp_path / "server.pem").read_bytes())
    root = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    server.verify_directly_issued_by(root)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert set(names.get_values_for_type(x509.DNSName)) == {"localhost", "a.example.org"}
    assert stat.S_IMODE((tmp_path / "server.key").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("host", "dialled", "trusted"),
    [
        ("a.example.org", "a.example.org", True),
        ("a.example.org", "localhost", True),
        ("a.example.org", "127.0.0.1", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("a.example.org", "b.example.org", False),
        ("10.1.2.3", "10.1.2.4", False),
    ],
)
def test_sites_trust_the_coordinator_under_its_names_alone(
    tmp_path: Path, host: str, dialled: str, trusted: bool
) -> None:
    pytest.importorskip("cryptography")
    certificate, key, root = new_certificates(host, tmp_path)
    coordinator = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    coordinator.load_cert_chain(certificate, key)
    site = ssl.create_default_context(cafile=str(root))
    site.verify_flags |= ssl.VERIFY_X509_STRICT
    with pytest.raises(ssl.SSLCertVerificationError) if not trusted else nullcontext():
        shake_hands(site, coordinator, dialled)


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Carry the bytes of a TLS handshake to and fro until both are content."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(back, there, server_hostname=name),
        server.wrap_bio(there, back, server_side=True),
    ]
    while ends:
        for end in list(ends):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                ends.remove(end)


def test_certificates_are_valid_for_two_years_and_sign_no_others(tmp_path: Path) -> None:
    pytest.importorskip("cryptography")
    from cryptography import x509

    for file in (f for f in new_certificates("a.example.org", tmp_path) if f.suffix != ".key"):
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
        valid = certificate.not_valid_after_utc - certificate.not_valid_before_utc
        assert valid == timedelta(days=731)
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert basic.critical
        assert basic.value.ca == (file.name == "ca.crt")
    assert len(list(tmp_path.iterdir())) == 3, "the authority's key is nowhere"


# ------------------------------------------------------------------ the supervisor
def test_a_process_that_ends_is_started_again_and_ends_with_the_supervisor(tmp_path: Path) -> None:
    """Its last words say why; SIGTERM ends it all."""
    log, said = tmp_path / "log", []
    mark = "import os; print('Exit Code: 305', os.getpid(), flush=True)"

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    child = Child("node", lambda: [sys.executable, "-c", mark], log, refusals={"305": "refused"})
    keep_running([child], say)
    assert said == ["node: refused; starts again in 2 s", "stopping ..."]


def test_a_process_ends_when_its_starter_is_gone() -> None:
    """However the starter ended: what holds it is the other end of a pipe."""
    sleep = [sys.executable, "-c", "print('up', flush=True); import time; time.sleep(600)"]
    tethered = subprocess.Popen(
        [sys.executable, "-m", "asyndbt.deploy._tether", *sleep],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert tethered.stdout is not None
    assert tethered.stdin is not None
    assert tethered.stdout.readline() == b"up\n"
    tethered.stdin.close()
    assert tethered.wait(120) != 0
    assert tethered.stdout.read() == b"", "the command's end of the pipe is closed"
    tethered.stdout.close()


def test_cancelled_supervision_leaves_nobody(tmp_path: Path) -> None:
    from asyndbt.deploy import _process as supervisor

    command = [
        sys.executable,
        "-c",
        "import os, time; print(os.getpid(), flush=True); time.sleep(600)",
    ]
    child = Child("idle", lambda: command, tmp_path / "log")

    async def supervise() -> None:
        task = asyncio.create_task(supervisor._keep(child, print))
        while not child.log.exists() or not child.log.read_text().strip():
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(supervise())
    with pytest.raises(ProcessLookupError):
        os.kill(int(child.log.read_text()), 0)


# ------------------------------------------------------------------ whose key it is
class Admitting:
    """Flower's commands at a coordinator that admits every key."""

    def __init__(self, home: Path) -> None:
        self.home, self.known = home, 0
        home.mkdir(exist_ok=True)

    def ask(self, *arguments: str) -> dict[str, Any]:
        self.known += arguments[1] == "register"
        return {"node-id": f"{10 * self.known}"}


def test_a_registered_key_is_its_sites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    admitting = Admitting(tmp_path / "flower")
    monkeypatch.setattr(flower, "connected", lambda config: admitting)
    shared = config(home=str(admitting.home))
    for name in ("north", "other"):
        (tmp_path / f"{name}.pub").write_text("a key")
    flower.register_key(shared, tmp_path / "north.pub")
    assert flower.registered_nodes(admitting.home) == {"north": 10}
    with pytest.raises(ConfigError, match="say whose key it is with --site"):
        flower.register_key(shared, tmp_path / "other.pub")
    flower.register_key(shared, tmp_path / "other.pub", "north")
    assert flower.registered_nodes(admitting.home) == {"north": 20}, "another key in its place"


def test_a_status_says_whose_node_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    admitting = Admitting(tmp_path / "flower")
    (admitting.home / "sites.json").write_text('{"north": 20}')

    def ask(*arguments: str) -> dict[str, Any]:
        return {"nodes": [{"node-id": "20", "status": "online"}], "runs": []}

    monkeypatch.setattr(admitting, "ask", ask)
    monkeypatch.setattr(flower, "connected", lambda config: admitting)
    assert list(flower.status_lines(config())) == ["node 20 (north): online"]
