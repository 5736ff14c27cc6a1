"""The key reaches the endpoint, and nothing else: no file, no output, no log, no error."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults import server as faults
from tests.faults.server import Reply, completion, failure

from asyndbt.cli import main
from asyndbt.config import Config, load_config
from asyndbt.errors import ConfigError

KEY = "sk-proj-7Hq2canaryXw9vT4bZ0kLm5RdE8sJ1uY"
PIECE = 12
"""So many characters of a key in a row are too many."""
VARIABLE = "ASYNDBT_TEST_KEY"
COMMAND = """
import logging, ssl, sys
logging.basicConfig(level=logging.DEBUG)
ssl.SSLContext.load_verify_locations = lambda *_, **__: None
from asyndbt.cli import main
sys.exit(main(sys.argv[1:]))
"""


def telling(said: bytes | str) -> list[str]:
    """Pieces of the key in a text."""
    text = said if isinstance(said, str) else said.decode("utf-8", "replace")
    pieces = (KEY[start : start + PIECE] for start in range(len(KEY) - PIECE + 1))
    return [piece for piece in pieces if piece in text]


def written(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below a folder, by name; names are searched as well."""
    for file in sorted(folder.rglob("*")):
        yield str(file), file.read_bytes() if file.is_file() else b""


def carried_out(*arguments: str) -> tuple[int, str, str]:
    """Exit code and output of the command, with everything logged, and what others can see."""
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "ignore", "-c", COMMAND, *arguments],
        env=os.environ | {VARIABLE: KEY, "OPENAI_LOG": "debug"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    seen = b""
    command_line = Path(f"/proc/{process.pid}/cmdline")
    while process.poll() is None and b"main" not in seen and command_line.exists():
        seen = command_line.read_bytes()
        time.sleep(0.001)
    out, err = process.communicate(timeout=600)
    assert not telling(seen)
    return process.returncode, out, err


def assert_nothing_tells(kit: Any, server: faults.FaultServer, *texts: str) -> None:
    assert server.count > 0
    assert {each.headers["authorization"] for each in server.requests} == {f"Bearer {KEY}"}
    for text in texts:
        assert not telling(text)
    found = [name for name, data in written(kit.folder) if telling(data) or telling(name)]
    assert found == []


def echo(shown: str) -> Reply:
    return failure(401, f"Incorrect API key provided: {shown}. Find yours at the usual place.")


def echoing(number: int) -> Reply | None:
    """Fail now and then, with the key in the reply."""
    said = f"not now, {KEY}"
    replies = {
        5: failure(429, said, retry_after="0.01"),
        8: failure(500, said),
        11: failure(400, said),
        14: faults.reset_midway(),
        17: Reply(body=f"<html>{KEY}</html>".encode(), headers={"Content-Type": "text/html"}),
        20: failure(400, said, code="content_filter"),
        23: Reply(body=b'{"choices": [], "key": "%s"}' % KEY.encode()),
        26: completion("great", logprobs=[{"great": -0.1, "terrible": -3.0}], refusal=KEY),
    }
    return replies.get(number)


def test_a_whole_run_with_everything_logged_tells_nothing(kit: Any) -> None:
    """Success, faults that echo the key, and debug logs of every library, in one run."""
    lm = {"api_key_env": VARIABLE}
    with kit.endpoint(echoing) as server:
        config = kit.over(server.url, lm=lm, method={"iterations": 3})
        file = kit.written(config)
        code, out, err = carried_out("run", str(file), "--json")
    assert (code, '"kind": "result"' in out) == (0, True)
    assert server.count > 100
    # The logs of the client are really there.
    assert "DEBUG:" in err
    assert "chat/completions" in err
    assert_nothing_tells(kit, server, out, err, repr(config), str(config), config.to_toml())
    record = {str(file.relative_to(config.run.dir)) for file in config.run.dir.rglob("*")}
    assert {"events.jsonl", "result.json", "model.json", "config.toml"} <= record
    assert VARIABLE in (config.run.dir / "config.toml").read_text()


@pytest.mark.parametrize(
    "shown",
    [KEY, f"{KEY[:18]}...{KEY[-4:]}", f"{KEY[:8]}********{KEY[-14:]}", KEY[6:24]],
    ids=["whole", "dots", "stars", "a part"],
)
def test_a_refused_key_that_is_echoed_tells_nothing(
    kit: Any, monkeypatch: Any, capsys: Any, caplog: Any, shown: str
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level("DEBUG")
    with kit.endpoint(lambda number: echo(shown)) as server:
        config = kit.over(server.url, lm={"api_key_env": VARIABLE})
        assert main(["run", str(kit.written(config))]) == 1
    out, err = capsys.readouterr()
    assert "Incorrect API key provided: [key]" in err
    assert "check the key that lm.api_key_env names" in err
    assert_nothing_tells(kit, server, out, err, caplog.text)


def test_a_key_that_ends_on_the_way_tells_nothing(
    kit: Any, monkeypatch: Any, capsys: Any, caplog: Any
) -> None:
    monkeypatch.setenv(VARIABLE, KEY)
    caplog.set_level("DEBUG")
    with kit.endpoint(lambda number: echo(KEY) if number > 40 else echoing(number)) as server:
        config = kit.over(server.url, lm={"api_key_env": VARIABLE})
        assert main(["run", str(kit.written(config))]) == 1
    out, err = capsys.readouterr()
    assert "Incorrect API key provided: [key]" in err
    assert (config.run.dir / "checkpoint").exists()
    assert_nothing_tells(kit, server, out, err, caplog.text)


@pytest.mark.parametrize(
    "address",
    [
        f"http://user:{KEY}@127.0.0.1:1/v1",
        f"http://{KEY}@127.0.0.1:1/v1",
        f"http://127.0.0.1:1/v1?api-key={KEY}",
        f"http://127.0.0.1:1/v1?api-version=2&API_KEY={KEY}",
        f"http://127.0.0.1:1/v1?sig={KEY}",
        f"127.0.0.1:1/{KEY}",
    ],
)
def test_an_address_with_a_secret_is_refused_before_anything_is_written(
    kit: Any, capsys: Any, address: str
) -> None:
    """The file that holds it is the user's own; the message does not repeat it."""
    good = kit.over("http://127.0.0.1:1/v1")
    file = kit.written(good)
    file.write_text(file.read_text().replace("http://127.0.0.1:1/v1", address))
    with pytest.raises(ConfigError, match=r"lm\.base_url") as refusal:
        load_config(file)
    assert main(["run", str(file)]) == 1
    out, err = capsys.readouterr()
    assert not telling(str(refusal.value) + repr(refusal.value) + out + err)
    assert not good.run.dir.exists()


@pytest.mark.parametrize("field", ["api_key_env", "api_key"])
def test_a_key_in_the_configuration_is_refused_and_not_repeated(kit: Any, field: str) -> None:
    tables = kit.over("http://127.0.0.1:1/v1").to_dict()
    tables["lm"] |= {field: KEY}
    with pytest.raises(ConfigError, match=rf"lm\.{field}") as refusal:
        Config.from_dict(tables)
    assert not telling(str(refusal.value))
