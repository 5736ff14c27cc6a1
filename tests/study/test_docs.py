"""docs/studies.md says what the models say; run this file to write its reference anew."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from asyndbt.config._schema import reference_markdown
from asyndbt.study import StudyFile

DOCS = Path(__file__).parents[2] / "docs" / "studies.md"
MARK = "<!-- generated from the models: python tests/study/test_docs.py -->\n\n"
END = "\n<!-- end -->"


def test_the_reference_in_the_docs_is_that_of_the_models() -> None:
    _, _, written = DOCS.read_text(encoding="utf-8").partition(MARK)
    assert written.startswith(reference_markdown(StudyFile) + END), (
        "run: python tests/study/test_docs.py"
    )


def test_the_example_of_the_docs_is_valid() -> None:
    example = re.search(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert example is not None
    assert StudyFile.from_dict(tomllib.loads(example[1])).study.calls == 2000


if __name__ == "__main__":
    head, mark, rest = DOCS.read_text(encoding="utf-8").partition(MARK)
    _, end, tail = rest.partition(END)
    text = head + mark + reference_markdown(StudyFile) + end + tail
    DOCS.write_text(text, encoding="utf-8", newline="\n")
