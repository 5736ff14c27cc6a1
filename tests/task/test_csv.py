"""CSV as people have it, and the right line where it cannot be read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asyndbt.errors import DataError
from asyndbt.task import read_file

Rows = list[tuple[str, dict[str, str]]]


def read(folder: Path, content: bytes | str, name: str = "a.csv") -> Rows:
    data = content.encode() if isinstance(content, str) else content
    (folder / name).write_bytes(data)
    return [(origin, dict(row)) for origin, row in read_file(folder / name)]


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(
    rows=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4),
    separator=st.sampled_from(",;\t|"),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    start=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    nameless=st.integers(0, 3),
    blank=st.integers(0, 2),
    suffix=st.sampled_from(["csv", "tsv", "CSV"]),
)
def test_any_text_in_any_form_of_csv(
    tmp_path: Path,
    rows: list[tuple[str, str]],
    separator: str,
    end: str,
    start: bytes,
    nameless: int,
    blank: int,
    suffix: str,
) -> None:
    stream = io.StringIO()
    # The writer leaves line breaks without quotes that are not the one that ends lines.
    breaks = any(character in text for row in rows for text in row for character in "\r\n")
    quoting = csv.QUOTE_ALL if breaks else csv.QUOTE_MINIMAL
    writer = csv.writer(stream, delimiter=separator, lineterminator=end, quoting=quoting)
    extra = [""] * nameless
    writer.writerow(["text_a", "label", *extra])
    starts = []
    for row in rows:
        starts.append(len(stream.getvalue().replace("\r\n", "\n").replace("\r", "\n").split("\n")))
        writer.writerow([*row, *extra])
        for _ in range(blank):
            writer.writerow([" ", "", *extra])
    found = read(tmp_path, start + stream.getvalue().encode(), f"a.{suffix}")
    assert [row for _, row in found] == [{"text_a": text, "label": label} for text, label in rows]
    assert [origin for origin, _ in found] == [f"a.{suffix} line {number}" for number in starts]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("sep=;\ntext;label\nfine;1\n", [("a.csv line 3", {"text": "fine", "label": "1"})]),
        (",,\ntext,label,\nfine,1,\n", [("a.csv line 3", {"text": "fine", "label": "1"})]),
        (",text,label\n0,fine,1\n", [("a.csv line 2", {"text": "fine", "label": "1"})]),
        ("text, label \nfine,1\n", [("a.csv line 2", {"text": "fine", "label": "1"})]),
        ("text,label,,\nfine,1\n", [("a.csv line 2", {"text": "fine", "label": "1"})]),
        ("text,label\nfine,1,,\n", [("a.csv line 2", {"text": "fine", "label": "1"})]),
        ('"a;b",label\nfine,1\n', [("a.csv line 2", {"a;b": "fine", "label": "1"})]),
        ("text\nso; so\n", [("a.csv line 2", {"text": "so; so"})]),
        ("gro\u0308sse\n1\n", [("a.csv line 2", {"grösse": "1"})]),
    ],
)
def test_what_spreadsheets_add_is_passed_over(tmp_path: Path, content: str, expected: Rows) -> None:
    assert read(tmp_path, content) == expected


def test_a_cell_may_be_of_any_length(tmp_path: Path) -> None:
    limit, text = csv.field_size_limit(), "fine " * 100_000
    assert read(tmp_path, f"text,label\n{text},1\n")[0][1]["text"] == text
    assert csv.field_size_limit() == limit


REST = "".join(f"text {number},1\n" for number in range(50))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f'text,label\na,0\n"b,1\n{REST}', r"line 3: a quote .* never closed.* on to line 53\)$"),
        (
            f'text,label\na,0\n"b,1\n{REST}"c, d",1\n',
            r"line 3: text follows a closing quote; .* double the quotes in it .* to line 54\)$",
        ),
        ('text,label\n"b\nc,1\n"c,1\n', r"line 2: text follows a closing quote.* to line 4\)$"),
        ('text,label\n"b\nc,1\nd",1,2\n', r"line 2: 3 values for 2 columns.*; .* to line 4\)$"),
        ("text,label\nb,c,1\n", r"line 2: 3 values for 2 columns; put texts that contain ','"),
        ("text;label\nb;c;1\n", r"line 2: 3 values for 2 columns; put texts that contain ';'"),
        ("text,label\nb\n", r"line 2: 1 value for 2 columns"),
        ("text,label, text\n", r"line 1: two columns are called 'text'; rename one"),
        (b"text,label\nb,1\nc\xe9,1\n", r"line 3: byte 0xe9 is not UTF-8; save it as UTF-8"),
        (b"text,label\rb,1\rc\xe9,1\r", r"line 3: byte 0xe9 is not UTF-8"),
        ("text,label\n".encode("utf-16"), r"a.csv: the file is UTF-16; save it as UTF-8"),
    ],
)
def test_the_line_where_it_goes_wrong(tmp_path: Path, content: bytes | str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith("a.csv")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(st.sampled_from('ab1,;"\n\r\t \0'), max_size=30))
def test_whatever_stands_in_a_file_rows_have_the_same_columns(tmp_path: Path, content: str) -> None:
    rows, message = Rows(), "a.csv line "
    try:
        rows = read(tmp_path, content)
    except DataError as error:
        message = str(error)
    assert message.startswith("a.csv line ")
    assert len({tuple(row) for _, row in rows}) <= 1
