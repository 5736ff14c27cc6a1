import csv
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from asyndbt.errors import AsyndbtError, ConfigError, DataError, MissingExtraError
from asyndbt.task import Example, Task, load_examples

TASK = Task('Does "{text_a}" imply "{text_b}"?', ("0", "1"), ("no", "yes"))
ROWS = [
    {
        "text_a": "it rains",
        "text_b": 'the street is "wet",\nnot {dry}',
        "label": 1,
        "site": "north",
    },
    {"text_a": "it is dark", "text_b": "it is noon", "label": 0, "site": "south"},
]


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    elif path.suffix == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), path)
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            delimiter = "\t" if path.suffix == ".tsv" else ","
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return path.name


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_every_kind_of_file_gives_the_same_examples(tmp_path: Path, suffix: str) -> None:
    name = write(tmp_path / f"train{suffix}", ROWS)
    examples = load_examples(name, TASK, site_column="site", base=tmp_path)
    assert examples == [
        Example({"text_a": row["text_a"], "text_b": row["text_b"]}, str(row["label"]))
        for row in ROWS
    ]
    assert [example.site for example in examples] == ["north", "south"]


def test_origins_count_lines_as_an_editor_does(tmp_path: Path) -> None:
    name = write(tmp_path / "train.csv", ROWS)
    origins = [example.origin for example in load_examples(name, TASK, base=tmp_path)]
    assert origins == ["train.csv line 2", "train.csv line 4"]
    (tmp_path / "train.jsonl").write_text(f"\n{json.dumps(ROWS[0])}\n\n{json.dumps(ROWS[1])}\n")
    origins = [example.origin for example in load_examples("train.jsonl", TASK, base=tmp_path)]
    assert origins == ["train.jsonl line 2", "train.jsonl line 4"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=4))
def test_any_text_survives_jsonl_and_csv(tmp_path: Path, texts: list[str]) -> None:
    task = Task("{text}?", ("0", "1"), ("no", "yes"))
    rows = [{"text": text.replace("\0", "0"), "label": "1"} for text in texts]
    for suffix in (".jsonl", ".csv"):
        name = write(tmp_path / f"any{suffix}", rows)
        loaded = load_examples(name, task, base=tmp_path)
        assert [example.fields["text"] for example in loaded] == [row["text"] for row in rows]


@pytest.mark.parametrize(
    ("labels", "value", "expected"),
    [
        (("0", "1"), 1, "1"),
        (("0", "1"), 1.0, "1"),
        (("0", "1"), " 1 ", "1"),
        (("true", "false"), True, "true"),
        (("True", "False"), False, "False"),
        (("true", "false"), False, "false"),
        (("good", "bad"), "bad", "bad"),
        (("0", "1"), "1.0", "1"),
        (("0", "1"), " 1.00 ", "1"),
        (("-1", "1"), "-1.0", "-1"),
        (("0.0", "1.0"), 1, "1.0"),
        (("0.0", "1.0"), "1", "1.0"),
        (("1", "1.0"), "1.0", "1.0"),
        (("1", "1.0"), "1", "1"),
        (("true", "false"), "True", "true"),
        (("True", "False"), "FALSE", "False"),
        (("n\u00e9gatif", "positif"), "ne\u0301gatif", "n\u00e9gatif"),
        (("ne\u0301gatif", "positif"), "n\u00e9gatif", "ne\u0301gatif"),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv", "parquet"])
def test_labels_are_compared_whatever_their_type_and_spelling(
    tmp_path: Path, labels: tuple[str, str], value: object, expected: str, suffix: str
) -> None:
    name = write(tmp_path / f"train.{suffix}", [{"text": "it rains", "label": value}])
    task = Task("{text}?", labels, ("no", "yes"))
    assert load_examples(name, task, base=tmp_path)[0].label == expected


@pytest.mark.parametrize(
    ("labels", "value"),
    [
        (("0", "1"), "1.5"),
        (("0", "1"), "01"),
        (("01", "02"), "1.0"),
        (("1.0", "1.00"), 1),
        (("true", "True"), "TRUE"),
        (("Good", "Bad"), "good"),
    ],
)
def test_what_may_be_another_label_is_not_guessed(
    tmp_path: Path, labels: tuple[str, str], value: object
) -> None:
    name = write(tmp_path / "train.jsonl", [{"text": "it rains", "label": value}])
    with pytest.raises(DataError, match="unknown label"):
        load_examples(name, Task("{text}?", labels, ("no", "yes")), base=tmp_path)


def test_a_column_of_numbers_with_gaps_in_parquet(tmp_path: Path) -> None:
    labels = pa.array([Decimal("1"), Decimal("0.0")], pa.decimal128(5, 2))
    table = pa.table({"text": ["a", "b"], "label": labels, "site": [7.0, 8.0]})
    parquet.write_table(table, tmp_path / "train.parquet")
    task = Task("{text}?", ("0", "1"), ("no", "yes"))
    found = load_examples("train.parquet", task, site_column="site", base=tmp_path)
    assert [(example.label, example.site) for example in found] == [("1", "7"), ("0", "8")]


@pytest.mark.parametrize(
    ("spellings", "site"),
    [
        ([1, 1.0, "1", "1.0", " 1 "], "1"),
        (["K\u00f6ln", "Ko\u0308ln"], "K\u00f6ln"),
        ([True, "True", "TRUE"], "true"),
    ],
)
@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_a_site_is_one_site_whatever_its_spelling(
    tmp_path: Path, spellings: list[object], site: str, suffix: str
) -> None:
    rows = [{"text": "it rains", "label": "1", "site": spelling} for spelling in spellings]
    name = write(tmp_path / f"train.{suffix}", rows)
    task = Task("{text}?", ("0", "1"), ("no", "yes"))
    found = load_examples(name, task, site_column="site", base=tmp_path)
    assert {example.site for example in found} == {site}


@pytest.mark.parametrize("value", [None, float("nan"), "", " "])
@pytest.mark.parametrize("column", ["text", "label", "site"])
def test_an_empty_cell_is_called_empty(tmp_path: Path, column: str, value: object) -> None:
    row = {"text": "it rains", "label": "1", "site": "north", column: value}
    name = write(tmp_path / "train.jsonl", [row])
    with pytest.raises(DataError, match=f"line 1, column '{column}': the {column} is empty; fill"):
        load_examples(
            name, Task("{text}?", ("0", "1"), ("no", "yes")), site_column="site", base=tmp_path
        )


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_letters_of_a_heading_may_be_composed_or_not(tmp_path: Path, suffix: str) -> None:
    name = write(tmp_path / f"train.{suffix}", [{"re\u0301sume\u0301": "it rains", "label": "1"}])
    task = Task("{r\u00e9sum\u00e9}?", ("0", "1"), ("no", "yes"))
    (example,) = load_examples(name, task, base=tmp_path)
    assert example.fields == {"r\u00e9sum\u00e9": "it rains"}


def test_columns_and_sites_can_have_other_names(tmp_path: Path) -> None:
    rows = [{"premise": "it rains", "hypothesis": "it is wet", "gold": 1, "plant": 7}]
    name = write(tmp_path / "train.parquet", rows)
    columns = {"text_a": "premise", "text_b": "hypothesis"}
    (example,) = load_examples(
        name, TASK, label_column="gold", site_column="plant", columns=columns, base=tmp_path
    )
    assert example == Example({"text_a": "it rains", "text_b": "it is wet"}, "1")
    assert example.site == "7"
    (example,) = load_examples(
        str(tmp_path / name), TASK, label_column="gold", site="x", columns=columns, base=Path()
    )
    assert example.site == "x"


GOOD = '{"text_a": "x", "text_b": "y", "label": 0}'
BROKEN = [
    ("train.jsonl", '{"text_a": "x"', r"train.jsonl line 2: not JSON at column \d+ .*one JSON"),
    ("train.jsonl", '["x", "y", 1]', r"train.jsonl line 2: found \['x', 'y', 1\]; every line"),
    ("train.jsonl", '{"text_a": "x", "text_b": "y"}', "line 2: there is no column 'label', only"),
    (
        "train.jsonl",
        '{"text_a": "x", "text_B": "y", "label": 0}',
        r"line 2: there is no column 'text_b', only .*; did you mean 'text_B'\?",
    ),
    (
        "train.jsonl",
        '{"text_a": " ", "text_b": "y", "label": 0}',
        "train.jsonl line 2, column 'text_a': the text is empty; fill it in or remove the row",
    ),
    (
        "train.jsonl",
        '{"text_a": null, "text_b": "y", "label": 0}',
        "line 2, column 'text_a': the text is empty; fill it in or remove the row",
    ),
    (
        "train.jsonl",
        '{"text_a": 5, "text_b": "y", "label": 0}',
        "line 2, column 'text_a': found int 5, not text; write it as text in quotes",
    ),
    (
        "train.jsonl",
        '{"text_a": "\\ud800", "text_b": "y", "label": 0}',
        "line 2, column 'text_a': the text holds half a character",
    ),
    (
        "train.jsonl",
        '{"text_a": "x", "text_b": "y", "label": 3}',
        "line 2, column 'label': unknown label '3'; the task has '0', '1'",
    ),
    (
        "train.jsonl",
        '{"text_a": "x", "text_b": "y", "label": 0.5}',
        "line 2, column 'label': found float 0.5; write a text or a whole number",
    ),
    (
        "train.jsonl",
        '{"text_a": "x", "text_b": "y", "label": null}',
        "line 2, column 'label': the label is empty; fill it in or remove the row",
    ),
    (
        "train.jsonl",
        f'{{"text_a": "{"x" * 101}", "text_b": "y", "label": 0}}',
        "line 2, column 'text_a': the text has 101 characters, 100 are .* raise max_chars$",
    ),
    ("train.jsonl", f'{{"text_a": {"9" * 5000}}}', "train.jsonl line 2: cannot be read"),
    ("train.jsonl", "[" * 200_000, "train.jsonl line 2: cannot be read"),
]


@pytest.mark.parametrize(("name", "line", "message"), BROKEN)
def test_broken_line(tmp_path: Path, name: str, line: str, message: str) -> None:
    (tmp_path / name).write_text(f"{GOOD}\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        load_examples(name, TASK, max_chars=100, base=tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", "empty.jsonl: it holds no examples; give it at least one row"),
        ("empty.csv", b"", "empty.csv: it holds no examples"),
        ("header.csv", b"text_a,text_b,label\n", "header.csv: it holds no examples"),
        ("a.csv", b"text_a,text_b,lable\nx,y,0", r"a.csv line 2: .*'label'.*did you mean 'lable'"),
        ("a.csv", b"text_a,text_b,label\nx,y,0\nx,y,z,0\n", "a.csv line 3: 4 values for 3 columns"),
        ("a.csv", b"text_a,text_a,label\nx,y,0\n", "a.csv line 1: two columns are called 'text_a'"),
        ("a.csv", b'text_a,text_b,label\n"x"y,z,0\n', "a.csv line 2: .*double quotes"),
        (
            "a.csv",
            b"text_a,text_b,label\ncaf\xe9,y,0\n",
            "a.csv line 2: byte 0xe9 is not UTF-8",
        ),
        ("a.parquet", b"not parquet at all", "a.parquet: not a readable Parquet file"),
        ("a.xlsx", b"", "a.xlsx: files end in .jsonl, .csv, .tsv, .parquet; this one ends in"),
        ("a", b"", "this one ends in 'nothing'"),
    ],
)
def test_broken_file(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_examples(name, TASK, base=tmp_path)


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", ROWS)
    (tmp_path / "folder.csv").mkdir()
    for source, message in [
        ("trian.jsonl", r"trian.jsonl: there is no such file; did you mean 'train.jsonl'\?"),
        ("zzz.tsv", r"zzz.tsv: there is no such file; check the path"),
        ("nowhere/train.jsonl", r"there is no folder .*nowhere; check the path"),
        ("folder.csv", r"folder.csv: is a folder, not a file"),
    ]:
        with pytest.raises(DataError, match=message):
            load_examples(source, TASK, base=tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"site": "x", "site_column": "site"}, "give one of the two"),
        ({"label_column": "text_b"}, "field 'text_b' of the instruction is the label column"),
        ({"columns": {"text_c": "c"}}, r"no field 'text_c', only 'text_a', 'text_b'; did you mean"),
    ],
)
def test_arguments_that_contradict(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_examples(write(tmp_path / "train.jsonl", ROWS), TASK, base=tmp_path, **change)


def test_a_row_without_site(tmp_path: Path) -> None:
    name = write(tmp_path / "train.jsonl", [{**ROWS[0], "site": " "}])
    with pytest.raises(DataError, match="line 1, column 'site': the site is empty; fill it in"):
        load_examples(name, TASK, site_column="site", base=tmp_path)


def test_parquet_without_pyarrow_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = write(tmp_path / "train.parquet", ROWS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[parquet\]"):
        load_examples(name, TASK, base=tmp_path)


Junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.dictionaries(st.sampled_from(["text_a", "text_b", "label", "site"]), Junk) | Junk)
def test_whatever_stands_in_a_row_the_outcome_is_an_example_or_a_message(
    tmp_path: Path, row: object
) -> None:
    (tmp_path / "junk.jsonl").write_text(json.dumps(row), encoding="utf-8")
    message = ""
    labels = set(TASK.labels)
    try:
        (example,) = load_examples("junk.jsonl", TASK, site_column="site", base=tmp_path)
        labels = {example.label}
    except AsyndbtError as error:
        message = str(error)
    assert labels <= set(TASK.labels)
    assert not message or "junk.jsonl line 1" in message


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), suffix=st.sampled_from(["jsonl", "csv", "parquet"]))
def test_whatever_bytes_stand_in_a_file_the_message_names_it(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    (tmp_path / f"junk.{suffix}").write_bytes(content)
    with pytest.raises(DataError, match=f"junk.{suffix}"):
        load_examples(f"junk.{suffix}", TASK, base=tmp_path)
