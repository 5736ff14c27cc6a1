from pathlib import Path

import pytest

from asyndbt import pocket
from asyndbt.errors import DataError
from asyndbt.prompt import load_vocabulary, repeated_entries
from asyndbt.prompt._vocabulary import HINTS, WORDS


def test_builtin_entries_are_distinct_words_and_short_hints() -> None:
    vocabulary = load_vocabulary("builtin", Path())
    assert len(set(vocabulary)) == len(vocabulary) == len(WORDS) + len(HINTS)
    assert len(WORDS) >= 100
    assert all(len(word.split()) == 1 for word in WORDS)
    assert all(3 <= len(hint.split()) <= 6 for hint in HINTS)


def test_the_pocket_vocabulary() -> None:
    assert load_vocabulary("pocket", Path()) == pocket.fragment_vocabulary()


def test_a_file_with_one_entry_a_line(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\ufeffthink\r\n\n  step by \t step \nnur Mut\n")
    assert load_vocabulary("words.txt", tmp_path) == ("think", "step by step", "nur Mut")


def test_repeated_entries_are_merged_and_told(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("think\nstep\n\nthink\n step\n")
    assert load_vocabulary("words.txt", tmp_path) == ("think", "step")
    assert repeated_entries("words.txt", tmp_path) == (
        "words.txt: 2 repeated entries merged, such as 'think' (lines 1 and 4)"
    )
    (tmp_path / "words.txt").write_text("think\nstep\n\n\n")
    assert repeated_entries("words.txt", tmp_path) == repeated_entries("builtin", tmp_path) == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "words.txt: 0 entries; a vocabulary needs 2 or more, one a line"),
        (b"think\n", "words.txt: 1 entry; a vocabulary needs 2 or more"),
        (b"think\n" + b"x" * 201, "words.txt line 2: the entry 'xxx.* has 201 characters, 200 are"),
        (b"think\ncaf\xe9\n", "words.txt: not UTF-8 text; save the file as UTF-8"),
    ],
)
def test_a_file_that_is_no_vocabulary(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "words.txt").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_vocabulary("words.txt", tmp_path)


def test_neither_a_name_nor_a_file(tmp_path: Path) -> None:
    message = (
        r"vocabulary 'buildin': neither 'builtin' nor 'pocket' nor a file that can be read"
        r" \(.*No such file.*\); did you mean 'builtin'\?"
    )
    with pytest.raises(DataError, match=message):
        load_vocabulary("buildin", tmp_path)
