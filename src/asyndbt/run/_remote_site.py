"""One site by itself: a run of which the coordinator and all other sites are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from asyndbt.config import Config
from asyndbt.errors import MessageError
from asyndbt.federation import Assignment, Evaluate, EvaluateDone, Report, decode, encode
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import RunDirectory, write_atomically
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._outcome import site_result, write_prompt
from asyndbt.run._setup import prepare_run
from asyndbt.run._site import RunSite

__all__ = ["RemoteSite", "check_site", "open_site"]


@dataclass(frozen=True, slots=True)
class RemoteSite:
    """A site's part in one run.

    Parameters
    ----------
    site : RunSite
    directory : RunDirectory
        The site's own record of this run, in the form of a run of one site.
    connection : ModelHandle
        The site's language model.
    """

    site: RunSite
    directory: RunDirectory
    connection: ModelHandle

    async def answer(self, message: bytes) -> bytes:
        """Do a piece of work, or introduce the site where there is none.

        The state is on the disk before the answer is handed over.

        Raises
        ------
        MessageError
            If it is not work for this site.
        """
        if not message:
            return encode(self.site.join())
        work = decode(message)
        if not isinstance(work, Assignment) or work.site != self.site.worker.site:
            raise MessageError(f"{type(work).__name__} for {work.site} is no work for this site")
        report = await self.site.handle(work)
        self._keep_result(work, report)
        return encode(report)

    async def close(self) -> None:
        """Close the file of paid answers, and the connections of the model."""
        self.site.close()
        await self.connection.model.close()

    def _keep_result(self, work: Assignment, report: Report) -> None:
        """Write down what the run is for: the tuned prompt, which never leaves the site."""
        if isinstance(work, Evaluate) and isinstance(report, EvaluateDone):
            prompts = self.site.prompts
            fragment = prompts.fragment(work.fragment)
            shown = prompts.chosen(self.site.worker.demonstrations)
            write_prompt(self.site.folder, TunedPrompt(prompts.task, fragment, shown))
            self.directory.write_json("result.json", site_result(fragment, report, self.connection))


def check_site(private: Config) -> tuple[str, ...]:
    """Load all that a site has, so that what is wrong shows before the coordinator is heard.

    Returns
    -------
    tuple of str
        What the user should know.

    Raises
    ------
    ConfigError, DataError, BudgetError
        With file, line or field, and the mend.
    """
    with TemporaryDirectory(prefix="asyndbt-check-") as folder:
        setup = prepare_run(private, RunDirectory(Path(folder)))
        for site in setup.sites.values():
            site.close()
    return setup.warnings


def open_site(shared: Config, private: Config, folder: Path) -> RemoteSite:
    """Take part in a run, from where this site stands in it.

    Parameters
    ----------
    shared : Config
        What all sites agree on.
    private : Config
        What this site is told: the same, with its own data, model and caps.
    folder : Path
        Where the site keeps its record of this run.
    """
    directory = RunDirectory(folder)
    setup = prepare_run(private, directory, shared=shared)
    assert setup.connection is not None
    (site,) = setup.sites.values()
    site.load()
    if not directory.config_file.exists():
        config = private.override({"run.dir": str(folder)})
        write_atomically(directory.config_file, config.to_toml().encode())
    return RemoteSite(site, directory, setup.connection)
