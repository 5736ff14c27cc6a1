"""A study from its file to its page: every cell run once, then the tables and figures."""

from __future__ import annotations

from asyndbt.errors import MissingExtraError
from asyndbt.run import RunDirectory
from asyndbt.study._cells import cells_of
from asyndbt.study._execute import CellResult, Observe, execute_cells
from asyndbt.study._file import StudyFile
from asyndbt.study._halves import ask_halves


def run_study(
    file: StudyFile, *, jobs: int = 1, observe: Observe = lambda progress: None
) -> list[CellResult]:
    """Run what is not done yet of a study, in `jobs` processes, then write its results.

    Everything is in the directory of the study: ``runs/`` with a directory for every run,
    ``answers/`` with the answers that the runs share, ``results.parquet``, ``results.csv``,
    ``curve.csv``, ``tables/``, ``figures/``, ``README.md``.

    Raises
    ------
    AsyndbtError
        Before the first request, if a setting or file cannot be used or a package is missing; and
        ModelError where no request can succeed.
    """
    try:
        # Imported first: hours of work must not end with the message that the extra is missing.
        from asyndbt.study._page import write_page
    except ModuleNotFoundError as error:
        raise MissingExtraError(str(error.name).partition(".")[0], "study") from error
    cells = cells_of(file)
    folder = file.study.dir
    folder.mkdir(parents=True, exist_ok=True)
    with RunDirectory(folder).claimed():
        done = execute_cells(cells, folder / "answers", jobs=jobs, observe=observe)
        try:
            ask_halves(file.study, done, folder / "answers")
        finally:
            write_page(file, done)
    return done
