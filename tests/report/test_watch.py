"""The command, and the page of a live run."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import pytest

from asyndbt.cli import main
from asyndbt.report import serve_page

Capture = pytest.CaptureFixture[str]


@contextmanager
def served(directory: Path) -> Iterator[int]:
    with serve_page(directory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def get(port: int, path: str = "/", host: str | None = None) -> tuple[HTTPResponse, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("GET", path, headers={} if host is None else {"Host": host})
        response = connection.getresponse()
        return response, response.read().decode()
    finally:
        connection.close()


def test_the_page_of_a_live_run_reloads_until_it_is_done(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(runs["interrupted"], tmp_path / "run"))
    before = sorted(run.rglob("*"))
    with served(run) as port:
        response, page = get(port)
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-store"
        assert 'http-equiv="refresh"' in page
        assert sorted(run.rglob("*")) == before, "nothing is written"
        shutil.copy(runs["three"] / "result.json", run)
        _, page = get(port)
        assert 'http-equiv="refresh"' not in page
        assert "The tuned prompt is right in" in page


def test_the_page_reloads_after_a_record_that_cannot_be_read(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    run = Path(shutil.copytree(runs["interrupted"], tmp_path / "run"))
    with served(run) as port:
        (run / "model.json").write_text("{")
        _, page = get(port)
        assert "cannot be read" in page
        assert 'http-equiv="refresh"' in page


def test_only_the_page_and_only_this_machine(runs: dict[str, Path]) -> None:
    with served(runs["three"]) as port:
        assert get(port, "/config.toml")[0].status == 404
        assert get(port, "/../three/config.toml")[0].status == 404
        assert get(port, host="elsewhere.example")[0].status == 403


def test_the_command_writes_one_file(
    runs: dict[str, Path], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", str(runs["three"])]) == 0
    assert capsys.readouterr().out == "three-report.html\n"
    assert main(["report", str(runs["three"]), "--output", "other.html"]) == 0
    assert {file.name for file in tmp_path.iterdir()} == {"three-report.html", "other.html"}


@pytest.mark.parametrize(
    "flags", [["--port", "8000"], ["--watch", "--output", "page.html"], [".", "--watch"]]
)
def test_flags_that_do_not_go_together(
    runs: dict[str, Path], capsys: Capture, flags: list[str]
) -> None:
    assert main(["report", str(runs["three"]), *flags]) == 1
    assert capsys.readouterr().err.startswith("asyndbt: error: --")


def test_no_run_is_a_clear_error(tmp_path: Path, capsys: Capture) -> None:
    for flags in ([], ["--watch"]):
        assert main(["report", str(tmp_path), *flags]) == 1
        assert "is not the directory of a run" in capsys.readouterr().err
