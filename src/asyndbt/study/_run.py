"""A study from its file to its page."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from asyndbt.errors import MissingExtraError
from asyndbt.run import RunDirectory
from asyndbt.study._cells import cells_of
from asyndbt.study._execute import CellResult, execute_cells
from asyndbt.study._file import StudyFile
from asyndbt.study._page import write_page

__all__ = ["run_study"]

_NEEDED = {"scipy": "scipy", "matplotlib": "matplotlib", "pyarrow": "pyarrow"}


def run_study(
    file: StudyFile,
    *,
    jobs: int = 1,
    tell: Callable[[CellResult, int], None] = lambda done, left: None,
) -> list[CellResult]:
    """Carry out what is not done yet of a study, then write its tables, figures and page.

    Everything lies in the directory of the study: ``runs/`` with a directory for every run,
    ``answers/`` with the answers that the runs share, ``results.parquet``, ``results.csv``,
    ``curve.csv``, ``tables/``, ``figures/``, ``README.md``.

    Parameters
    ----------
    file : StudyFile
    jobs : int
        Processes.
    tell : callable
        Is told of every run that comes to its end, and how many are left.

    Returns
    -------
    list of Done
        Every run of the study.

    Raises
    ------
    AsyndbtError
        Before the first request, if a setting or file is not usable or a package is missing; and
        ModelError where no request can succeed.
    """
    _check_packages()
    cells = cells_of(file)
    folder = file.study.dir
    folder.mkdir(parents=True, exist_ok=True)
    with RunDirectory(folder).claimed():
        done = execute_cells(cells, folder / "answers", jobs=jobs, tell=tell)
        write_page(file, done)
    return done


def _check_packages() -> None:
    """Find out before hours of work that its outcome could not be written."""
    for module, package in _NEEDED.items():
        try:
            import_module(module)
        except ImportError as error:
            raise MissingExtraError(package, "study") from error
