"""One site by itself: a run of which the coordinator and all other sites are elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from asyndbt.config import Config
from asyndbt.errors import MessageError
from asyndbt.federation import Assignment, Evaluate, EvaluateDone, Report, Worker, decode, encode
from asyndbt.run._directory import RunDirectory, write_atomically
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._outcome import site_result, write_site_part
from asyndbt.run._setup import prepare_run, shared_plan
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
    connection : Connection
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
            return encode(self.site.worker.join())
        work = decode(message)
        if not isinstance(work, Assignment) or work.site != self.site.worker.site:
            raise MessageError(f"{type(work).__name__} for {work.site} is no work for this site")
        report = await self.site.worker.handle(work)
        self.site.save()
        self._keep_result(work, report)
        return encode(report)

    async def close(self) -> None:
        """Close the file of paid answers, and the connections of the model."""
        self.site.close()
        await self.connection.model.close()

    def _keep_result(self, work: Assignment, report: Report) -> None:
        """Write down what the run is for: the tuned prompt, which never leaves the site."""
        if isinstance(work, Evaluate) and isinstance(report, EvaluateDone):
            fragment = self.site.prompts.fragment(work.fragment)
            write_site_part(self.site, fragment)
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
        assembly = prepare_run(private, RunDirectory(Path(folder)))
        for site in assembly.sites.values():
            site.close()
    return assembly.warnings


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
    assembly = prepare_run(private, directory)
    ((name, site),) = assembly.sites.items()
    own = assembly.plan
    plan = shared_plan(shared, validate_every=own.validate_every, looks=own.looks)
    worker = Worker(name, plan, site.worker.objective, shared.run.seed)
    site = replace(site, worker=worker)
    site.load()
    if not directory.config_file.exists():
        config = private.override({"run.dir": str(folder)})
        write_atomically(directory.config_file, config.to_toml().encode())
    return RemoteSite(site, directory, assembly.connection)
