from collections.abc import Callable

import pytest

from asyndbt.pocket import PocketModel, PocketTask

Row = dict[str, str]
MakePrompt = Callable[..., str]


@pytest.fixture(scope="session")
def model() -> PocketModel:
    return PocketModel.load()


@pytest.fixture(scope="session")
def make_prompt() -> MakePrompt:
    """Write a prompt from demonstrations, a query and a note, as the package renders it."""

    def line(task: PocketTask, row: Row, note: str) -> str:
        remark = f" Note: {note}." if note else ""
        return f"Question: {task.instruction.format(**row)}{remark} Answer:"

    def make(task: PocketTask, shown: list[Row], query: Row, note: str = "") -> str:
        lines = [f"{line(task, row, note)} {task.labels[row['label']]}\n" for row in shown]
        return "".join(lines) + line(task, query, note)

    return make
