from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from urllib.request import Request, urlopen

import pytest

from asyndbt.cli import main
from asyndbt.pocket._server import PocketServer

Capture = pytest.CaptureFixture[str]

COMMAND = (
    "import signal, sys; from asyndbt.cli import main; "
    # A shell that starts the tests in the background has this signal ignored.
    "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[str]]:
    argv = [sys.executable, "-c", COMMAND, "serve-model", "pocket", "--port", "0", "--verbose"]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_the_printed_address_answers_and_ctrl_c_ends_it(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    printed = "".join(process.stdout.readline() for _ in range(6))
    table = tomllib.loads(printed[printed.index("[lm]") :])["lm"]
    assert table["provider"] == "openai"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", table["base_url"])
    assert printed.count(table["base_url"]) == 2

    body = {"model": table["model"], "messages": [{"role": "user", "content": "canary Answer:"}]}
    request = Request(
        f"{table['base_url']}/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=120) as reply:
        assert json.load(reply)["choices"][0]["message"]["content"]

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out == ""
    assert re.fullmatch(r"POST /v1/chat/completions 200 \d+ ms\n", err)


def test_a_taken_port_is_an_error_with_a_remedy(capsys: Capture) -> None:
    with PocketServer() as server:
        port = str(server.server_address[1])
        assert main(["serve-model", "pocket", "--port", port]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"asyndbt: error: --host 127.0.0.1 --port {port}: ")
    assert "--port 0" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    "argv", [[], ["gpt"], ["pocket", "--port", "70000"], ["pocket", "--port", "x"]]
)
def test_wrong_usage_is_2(argv: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve-model", *argv])
    assert caught.value.code == 2
    assert "usage: asyndbt serve-model" in capsys.readouterr().err


def test_it_has_help(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve-model", "--help"])
    assert caught.value.code == 0
    assert "--port" in capsys.readouterr().out
