"""The page as a real browser shows it; these tests are skipped where there is no Chromium."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import escape, unescape
from pathlib import Path

import pytest

from asyndbt.report import build_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--dump-dom",
)
KINDS = ("three", "virtual", "one-site", "hostile", "apart", "interrupted")
WIDTHS = (360, 768, 1400)
MEASURE = """
addEventListener("load", () => {
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument;
    const kept = [...page.querySelectorAll("*")].filter(
      (one) => !one.closest(".scroll")
        && one.getBoundingClientRect().right > frame.clientWidth + 1);
    frame.dataset.width = page.scrollingElement.scrollWidth;
    frame.dataset.wide = kept.map((one) => one.outerHTML.slice(0, 80)).join("\\n");
  }
});
"""

Show = Callable[[str], tuple[str, str]]


@pytest.fixture
def show(tmp_path: Path) -> Show:
    """Open a page, and return its DOM and what the browser logged to the console."""

    def opened(page: str) -> tuple[str, str]:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8")
        done = subprocess.run(
            [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", file.as_uri()],
            capture_output=True,
            text=True,
            timeout=600,
            check=True,
        )
        return done.stdout, "\n".join(re.findall(r".*CONSOLE.*", done.stderr))

    return opened


def test_the_console_is_listened_to(show: Show) -> None:
    policy = "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'\">"
    _, console = show(f"<html><head>{policy}<script>1</script></head></html>")
    assert "Content Security Policy" in console


def test_the_page_opens_without_a_word_and_its_figures_are_those_of_the_result(
    runs: dict[str, Path], show: Show
) -> None:
    dom, console = show(build_page(runs["three"]))
    assert console == ""
    result = json.loads((runs["three"] / "result.json").read_text())
    headline = re.findall(r"<h1>.*?</h1>", dom, re.S)[0]
    tests = result["metrics"]["test"]
    shown = [float(value) for value in re.findall(r'value="([^"]+)"', headline)]
    assert shown == [tests["tuned"]["accuracy"], tests["plain"]["accuracy"]]
    everywhere = {float(value) for value in re.findall(r'<data value="([^"]+)"', dom)}
    assert {float(number) for number in result["ledger"].values()} <= everywhere
    for site in result["sites"].values():
        assert site["metrics"]["test"]["tuned"]["accuracy"] in everywhere
    assert " ".join(result["fragment"]) in unescape(dom)


def test_no_page_is_wider_than_the_screen(runs: dict[str, Path], show: Show) -> None:
    frames = "".join(
        f'<iframe width="{width}" height="800" title="{kind}" style="border:0" '
        f'srcdoc="{escape(build_page(runs[kind]))}"></iframe>'
        for kind in KINDS
        for width in WIDTHS
    )
    dom, console = show(f"<!DOCTYPE html><script>{MEASURE}</script>{frames}")
    assert console == ""
    heads = re.findall(r"<iframe [^>]*>", dom)
    found = [
        re.search(r'width="(\d+)".*data-width="(\d+)" data-wide="([^"]*)"', head, re.S)
        for head in heads
    ]
    assert len(found) == len(KINDS) * len(WIDTHS)
    for match in found:
        assert match is not None
        given, taken, wide = match.groups()
        assert wide == ""
        assert int(taken) <= int(given)
