import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asyndbt import pocket
from asyndbt.errors import DataError, MissingExtraError
from asyndbt.task import Task, load_examples

TASK = Task("{text}?", ("neg", "pos"), ("bad", "good"))


class FakeTable(list[dict[str, Any]]):
    """Rows with the one attribute of a data set that is read."""

    def __init__(self, rows: list[dict[str, Any]], names: list[str] | None = None) -> None:
        super().__init__(rows)
        self.features = {"text": SimpleNamespace(), "label": SimpleNamespace(names=names)}


class FakeDatasets:
    """Stands in for the library: knows some data sets, remembers what it was asked for."""

    def __init__(self, known: dict[tuple[str, str | None, str], FakeTable]) -> None:
        self.known = known
        self.asked: list[tuple[str, str | None, str]] = []

    def load_dataset(self, path: str, name: str | None, *, split: str) -> FakeTable:
        self.asked.append((path, name, split))
        if (path, name, split) not in self.known:
            raise FileNotFoundError(f"{path} is not on the hub")
        return self.known[path, name, split]


ROWS = FakeTable([{"text": "fine", "label": 1}, {"text": "poor", "label": 0}], ["neg", "pos"])


def load(monkeypatch: pytest.MonkeyPatch, fake: FakeDatasets, source: str) -> list[str]:
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return [example.label for example in load_examples(source, TASK, base=Path("/nowhere"))]


@pytest.mark.parametrize(
    ("source", "key"),
    [
        ("datasets:reviews", ("reviews", None, "train")),
        ("datasets:reviews:test", ("reviews", None, "test")),
        ("datasets:glue/sst2:validation", ("glue", "sst2", "validation")),
        ("datasets:nyu/glue:train[:10]", ("nyu/glue", None, "train[:10]")),
        ("datasets:nyu/glue/sst2:train", ("nyu/glue", "sst2", "train")),
    ],
)
def test_name_configuration_and_split(
    monkeypatch: pytest.MonkeyPatch, source: str, key: tuple[str, str | None, str]
) -> None:
    assert load(monkeypatch, FakeDatasets({key: ROWS}), source) == ["pos", "neg"]


def test_class_numbers_are_read_as_the_names_that_the_task_uses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = ("reviews", None, "train")
    hidden = FakeTable([{"text": "fine", "label": -1}], ["neg", "pos"])
    with pytest.raises(DataError, match="reviews row 1, column 'label': unknown label '-1'"):
        load(monkeypatch, FakeDatasets({key: hidden}), "datasets:reviews")
    numbers = FakeTable([{"text": "fine", "label": 1}], ["no", "yes"])
    with pytest.raises(DataError, match="unknown label '1'; the task has 'neg', 'pos'"):
        load(monkeypatch, FakeDatasets({key: numbers}), "datasets:reviews")


def test_a_data_set_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeDatasets({})
    with pytest.raises(DataError, match=r"datasets:a/b:train: .*a/b is not on the hub.*check name"):
        load(monkeypatch, fake, "datasets:a/b")
    assert fake.asked == [("a/b", None, "train"), ("a", "b", "train")]
    with pytest.raises(DataError, match=r"write datasets:NAME\[/CONFIG\]\[:SPLIT\]"):
        load(monkeypatch, fake, "datasets:")


def test_without_the_library_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"asyndbt\[datasets\]"):
        load_examples("datasets:reviews", TASK, base=Path())


@pytest.mark.skipif(not importlib.util.find_spec("datasets"), reason="datasets is not installed")
@pytest.mark.filterwarnings("default")
def test_a_folder_through_the_real_library(tmp_path: Path) -> None:
    folder = tmp_path / "reviews"
    folder.mkdir()
    rows = [{"text": "fine", "label": "pos"}, {"text": "poor", "label": "neg"}]
    for split in ("train", "test"):
        (folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for split in ("train", "test"):
        examples = load_examples(f"datasets:reviews:{split}", TASK, base=tmp_path)
        assert [example.label for example in examples] == ["pos", "neg"]
        assert examples[1].origin == f"datasets:reviews:{split} row 2"
    with pytest.raises(DataError, match="datasets:reviews:dev: cannot be loaded"):
        load_examples("datasets:reviews:dev", TASK, base=tmp_path)


@pytest.mark.parametrize("name", sorted(pocket.TASKS))
def test_pocket_tasks_load_with_their_sites(name: str) -> None:
    world = pocket.TASKS[name]
    task = Task(world.instruction, tuple(world.labels), tuple(world.labels.values()))
    examples = load_examples(f"pocket:{name}/validation", task, site_column="site", base=Path())
    assert {example.site for example in examples} == set(world.sites)
    assert set(examples[0].fields) == set(world.text_fields)


def test_another_seed_of_a_pocket_task_has_other_rows() -> None:
    world = pocket.TASKS["sentiment-fans"]
    task = Task(world.instruction, tuple(world.labels), tuple(world.labels.values()))

    def texts(source: str) -> set[str]:
        return {example.fields["text_a"] for example in load_examples(source, task, base=Path())}

    source = "pocket:sentiment-fans/train"
    assert texts(f"{source}@0") == texts(source)
    assert len(texts(f"{source}@7") - texts(source)) > 200


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("pocket:sentiment-fans/train@x", "write pocket:TASK/SPLIT"),
        ("pocket:sentiment-fans", "write pocket:TASK/SPLIT"),
        ("pocket:sentiment-fans/", "write pocket:TASK/SPLIT"),
        ("pocket:sentiment-fans/dev", "pocket:sentiment-fans/dev: split 'dev' does not exist"),
        ("pocket:cats/train", "pocket:cats/train: task 'cats' does not exist"),
    ],
)
def test_pocket_data_that_does_not_exist(source: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_examples(source, TASK, base=Path())
