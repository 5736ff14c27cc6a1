"""Colours that can be read, on paper and on dark screens."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import product

import pytest

CSS = files("asyndbt.report").joinpath("page.css").read_text("utf-8")
THEMES = dict(
    zip(("light", "dark", "print"), re.findall(r":root \{(.*?)\}", CSS, re.S), strict=True)
)


def _colours(theme: str) -> dict[str, tuple[int, ...]]:
    found = re.findall(r"--(\w+): #(\w+);", THEMES[theme])
    full = {name: code if len(code) == 6 else "".join(c + c for c in code) for name, code in found}
    return {name: tuple(bytes.fromhex(code)) for name, code in full.items()}


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Contrast ratio as WCAG 2.2 defines it."""

    def luminance(colour: tuple[float, ...]) -> float:
        parts = [part / 255 for part in colour]
        red, green, blue = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
        ]
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", THEMES)
def test_every_text_stands_out(theme: str) -> None:
    colours = _colours(theme)
    inks = ["ink", "quiet", *(f"c{number}" for number in range(6))]
    for ink, ground in product(inks, ("paper", "faint")):
        needed = 4.5 if ground == "paper" or ink in ("ink", "quiet") else 3.0
        assert _contrast(colours[ink], colours[ground]) >= needed, (ink, ground)


@pytest.mark.parametrize("theme", THEMES)
def test_words_stand_out_of_the_strongest_tint(theme: str) -> None:
    colours = _colours(theme)
    heat = re.search(r"--heat: (\d+), (\d+), (\d+)", THEMES[theme])
    assert heat is not None
    share = 0.5
    tint = tuple(
        share * int(part) + (1 - share) * ground
        for part, ground in zip(heat.groups(), colours["paper"], strict=True)
    )
    assert _contrast(colours["ink"], tint) >= 4.5
