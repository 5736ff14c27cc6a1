"""The rows of the paper's protocol: out of splits of GLUE, into files that the study can use."""

from __future__ import annotations

import importlib.util
import json
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from asyndbt.study import StudyFile, cells_of
from asyndbt.task import Example, builtin_task, load_examples

STUDIES = Path(__file__).parents[2] / "studies"
Rows = list[dict[str, Any]]


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("paper_data", STUDIES / "paper_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


paper_data = _script()
TASKS = list(paper_data.COLUMNS)


def split_of(task: str, split: str, count: int) -> Rows:
    """Rows as GLUE has them: a third of class 1, an empty text, one row twice.

    Of every third row of the first 200 both splits hold the last text, written in another way.
    """
    columns = list(paper_data.COLUMNS[task].values())
    rows = [
        {**{name: f"{split} {name} number {i}" for name in columns}, "label": int(i % 3 == 0)}
        for i in range(count)
    ]
    rows[1][columns[0]] = " "
    if split == "train":
        for i in range(0, 200, 3):
            rows[i][columns[-1]] = f"Validation  {columns[-1]} number {i} "
    return [{**row, "idx": i} for i, row in enumerate([*rows, rows[0]])]


class Table(Rows):
    """Rows with the one attribute of a data set that is read."""

    features: Mapping[str, Any] = {"label": SimpleNamespace(names=["no", "yes"])}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None, str]]:
    """Stands in for the library `datasets`; gives what it was asked for."""
    asked = []

    def load_dataset(path: str, name: str | None, *, split: str) -> Table:
        asked.append((path, name, split))
        return Table(split_of(name or Path(path).name, split, {"train": 900}.get(split, 201)))

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


def texts(examples: Sequence[Example]) -> Iterator[str]:
    for example in examples:
        yield from (" ".join(text.lower().split()) for text in example.fields.values())


def test_every_task_gets_its_rows(hub: list[tuple[str, str | None, str]], tmp_path: Path) -> None:
    paper_data.main(["--out", str(tmp_path)])
    assert hub == [
        ("nyu-mll/glue", task, part) for task in TASKS for part in ("train", "validation")
    ]
    for name in TASKS:
        task = builtin_task(name)
        train, test = (
            load_examples(f"{name}/{part}.jsonl", task, base=tmp_path) for part in ("train", "test")
        )
        assert Counter(example.label for example in train) == {"0": 210, "1": 210}
        # 201 rows, of which one is empty: all others are drawn.
        assert Counter(example.label for example in test) == {"0": 133, "1": 67}
        assert len({example.content for example in (*train, *test)}) == 620
        assert not set(texts(train)) & set(texts(test))


def test_fields_and_labels_keep_their_meaning(hub: object, tmp_path: Path) -> None:
    paper_data.main(["--out", str(tmp_path)])
    for name, columns in paper_data.COLUMNS.items():
        assert set(columns) == set(builtin_task(name).fields)
        for line in (tmp_path / name / "train.jsonl").read_text().splitlines():
            row = json.loads(line)
            words = {field: row[field].split() for field in columns}
            assert [each[1] for each in words.values()] == list(columns.values())
            assert {int(each[-1]) % 3 == 0 for each in words.values()} == {row["label"] == "1"}


@pytest.mark.usefixtures("hub")
def test_the_study_can_use_the_files(tmp_path: Path) -> None:
    paper_data.main(["--out", str(tmp_path / "data")])
    tables = tomllib.loads((STUDIES / "paper.toml").read_text("utf-8"))
    tables["study"] |= {"tasks": TASKS, "methods": ["asyndbt"], "ablation": []}
    del tables["tasks"]["5g"], tables["options"], tables["overrides"]
    cells = cells_of(StudyFile.from_dict(tables, source=str(tmp_path / "paper.toml")))
    evaluation = 3 * 200
    assert {cell.config.budget.calls for cell in cells} == {3 * 80_000 + evaluation}


@pytest.mark.usefixtures("hub")
def test_the_draw_follows_from_the_seed(tmp_path: Path) -> None:
    def made(name: str, seed: int) -> bytes:
        paper_data.main(["--out", str(tmp_path / name), "--seed", str(seed)])
        return (tmp_path / name / "cola" / "train.jsonl").read_bytes()

    assert made("one", 1) == made("same", 1)
    assert made("one", 1) != made("other", 2)


@pytest.mark.usefixtures("hub")
def test_what_is_left_to_the_user_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paper_data.main(["--out", str(tmp_path)])
    assert 'take "5g" and the table [tasks.5g] out of the study' in capsys.readouterr().out
    (tmp_path / "5g").mkdir()
    paper_data.main(["--out", str(tmp_path)])
    assert "5g" not in capsys.readouterr().out


def test_too_few_rows_are_told(
    hub: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paper_data, "TRAIN_PER_CLASS", 250)
    with pytest.raises(
        SystemExit, match=r"cola: 233 different training rows of label 1 .* 250 are"
    ):
        paper_data.main(["--out", str(tmp_path)])


def test_a_split_without_labels_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hidden = Table([{"sentence": "who knows", "label": -1}])
    monkeypatch.setitem(
        sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *_, split: hidden)
    )
    with pytest.raises(SystemExit, match="row 1: label -1: not a split of GLUE's cola with labels"):
        paper_data.main(["--out", str(tmp_path)])


def test_a_source_without_a_task_is_told(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="cola: no such folder"):
        paper_data.main(["--source", str(tmp_path), "--out", str(tmp_path / "out")])


@pytest.mark.skipif(not importlib.util.find_spec("datasets"), reason="datasets is not installed")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_folders_through_the_real_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, suffix: str
) -> None:
    from pyarrow import Table as Arrow
    from pyarrow import parquet

    monkeypatch.setattr(paper_data, "COLUMNS", {"mrpc": paper_data.COLUMNS["mrpc"]})
    folder = tmp_path / "glue" / "mrpc"
    folder.mkdir(parents=True)
    for split, count in (("train", 900), ("validation", 201)):
        rows = split_of("mrpc", split, count)
        if suffix == "jsonl":
            (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        else:
            parquet.write_table(Arrow.from_pylist(rows), folder / f"{split}.parquet")
    paper_data.main(["--source", str(tmp_path / "glue"), "--out", str(tmp_path / "out")])
    lines = (tmp_path / "out" / "mrpc" / "train.jsonl").read_text().splitlines()
    assert Counter(json.loads(line)["label"] for line in lines) == {"0": 210, "1": 210}
