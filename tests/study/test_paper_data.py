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

from asyndbt.baselines import methods
from asyndbt.run import load_inputs
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
        return Table(split_of(name or Path(path).name, split, {"train": 900}.get(split, 401)))

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
        train, validation, test = (
            load_examples(f"{name}/{part}.jsonl", task, base=tmp_path)
            for part in ("train", "validation", "test")
        )
        assert Counter(example.label for example in train) == {"0": 180, "1": 180}
        assert Counter(example.label for example in validation) == {"0": 30, "1": 30}
        assert len(test) == 200
        assert sum(example.label == "1" for example in test) == pytest.approx(200 / 3, abs=25)
        assert len({example.content for example in (*train, *validation, *test)}) == 620
        assert not set(texts(train)) & set(texts((*validation, *test)))
        assert not set(texts(validation)) & set(texts(test))
        assert all(text.startswith("validation") for text in texts(validation))


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
    tables["study"] |= {"tasks": TASKS, "seeds": [0], "ablation": []}
    del tables["tasks"]["5g"]
    cells = cells_of(StudyFile.from_dict(tables, source=str(tmp_path / "paper.toml")))
    evaluation = 3 * 200
    budgets = {(cell.method, cell.config.budget.calls) for cell in cells}
    assert dict(budgets) == {
        **dict.fromkeys(tables["study"]["methods"], 3 * (81_200 + evaluation)),
        "bdpl": 3 * (81_200 + evaluation),
        "cendbt": 81_200 + evaluation,
    }
    for cell in cells:
        sites = load_inputs(methods()[cell.method](**cell.options).configure(cell.config)).sites
        assert len(sites) == (1 if cell.method == "cendbt" else 3)
        for site in sites.values():
            data = site.data
            assert [len(data.pool), len(data.train), len(data.validation)] == [100, 20, 20]
            assert len(data.test) == 200, "every worker is tested on all rows"
            assert all(text.startswith("validation") for text in texts(data.validation))
        assert len({len(site.data.test) for site in sites.values()}) == 1


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
    monkeypatch.setattr(paper_data, "TRAIN_PER_CLASS", 299)
    with pytest.raises(
        SystemExit, match=r"cola: \d+ different training rows of label 1 .* 299 are"
    ):
        paper_data.main(["--out", str(tmp_path)])


def test_too_few_validation_rows_are_told(
    hub: object, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paper_data, "VALIDATION_PER_CLASS", 190)
    with pytest.raises(SystemExit, match=r"cola: \d+ different validation rows of label 0 .* 190 "):
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
    for split, count in (("train", 900), ("validation", 401)):
        rows = split_of("mrpc", split, count)
        if suffix == "jsonl":
            (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        else:
            parquet.write_table(Arrow.from_pylist(rows), folder / f"{split}.parquet")
    paper_data.main(["--source", str(tmp_path / "glue"), "--out", str(tmp_path / "out")])
    lines = (tmp_path / "out" / "mrpc" / "train.jsonl").read_text().splitlines()
    assert Counter(json.loads(line)["label"] for line in lines) == {"0": 180, "1": 180}
