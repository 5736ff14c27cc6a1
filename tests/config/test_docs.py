"""docs/config.md says what the models say; run this file to write the reference anew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from asyndbt.config import Config
from asyndbt.config._schema import ReferenceKey, reference_markdown, reference_tables

DOCS = Path(__file__).parents[2] / "docs" / "config.md"
MARK = "<!-- generated from the models: python tests/config/test_docs.py -->\n\n"
KEYS = [(".".join(table.path), key) for table in reference_tables(Config) for key in table.keys]


@pytest.mark.parametrize(("table", "key"), KEYS, ids=[f"{t}.{k.name}" for t, k in KEYS])
def test_every_key_says_what_it_does_and_shows_a_value(table: str, key: ReferenceKey) -> None:
    assert re.fullmatch(r".{9,}\.", key.description), key.name
    assert "\n" not in key.description
    assert key.example is not None
    assert key.kind


def test_the_reference_in_the_docs_is_that_of_the_models() -> None:
    _, _, written = DOCS.read_text(encoding="utf-8").partition(MARK)
    assert written == reference_markdown(Config), "run: python tests/config/test_docs.py"


def test_the_first_example_of_the_docs_is_valid() -> None:
    example = re.search(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    assert Config.from_dict(tomllib.loads(example[1])).budget.per_site.calls == 3000


if __name__ == "__main__":
    head, mark, _ = DOCS.read_text(encoding="utf-8").partition(MARK)
    DOCS.write_text(head + mark + reference_markdown(Config), encoding="utf-8", newline="\n")
