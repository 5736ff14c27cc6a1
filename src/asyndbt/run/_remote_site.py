"""One site on its own machine: a run whose coordinator and other sites are elsewhere."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from asyndbt.config import Config
from asyndbt.errors import MessageError, RunDirectoryError
from asyndbt.federation import Assignment, Evaluate, EvaluateDone, Report, decode, encode
from asyndbt.prompt import TunedPrompt
from asyndbt.run._directory import RunDirectory, write_atomically
from asyndbt.run._model_handle import ModelHandle
from asyndbt.run._result import judge_ledger, site_result, write_prompt
from asyndbt.run._setup import prepare_run
from asyndbt.run._site import RunSite


@dataclass(frozen=True, slots=True)
class RemoteSite:
    """A site's part in one run; `directory` has the form of a run with one site.

    It is claimed until `close`: two processes would each count its own reports and payments.
    """

    site: RunSite
    directory: RunDirectory
    handle: ModelHandle
    claim: ExitStack
    judge: ModelHandle | None = None

    async def answer(self, message: bytes) -> bytes:
        """Do the work in a message, or introduce the site if the message is empty.

        The site's state is saved before the answer is returned.

        Raises
        ------
        MessageError
            If the message is not work for this site.
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
        """Close the cache of answers and the model's connections, and let others take part."""
        self.claim.close()
        await self.handle.model.close()
        if self.judge is not None:
            await self.judge.model.close()

    def _keep_result(self, work: Assignment, report: Report) -> None:
        if isinstance(work, Evaluate) and isinstance(report, EvaluateDone):
            prompts, worker = self.site.prompts, self.site.worker
            fragment = prompts.fragment(worker.fragment(work.fragment))
            shown = prompts.chosen(worker.demonstrations)
            prompt = TunedPrompt(prompts.task, fragment, shown, worker.prior)
            write_prompt(self.site.folder, prompt)
            found = site_result(
                fragment,
                worker.evaluation or report,
                len(prompts.data.test),
                self.handle,
                prompts.task.score_keys,
            ) | judge_ledger(self.judge, [self.site])
            self.directory.write_json("result.json", found)


def open_site(shared: Config, private: Config, folder: Path) -> RemoteSite:
    """Take part in a run, from the site's latest saved state.

    Parameters
    ----------
    shared : Config
        What all sites agree on.
    private : Config
        The same, with this site's data, model and caps.
    folder : Path
        Where the site records this run.

    Raises
    ------
    RunDirectoryError
        If the site has begun its part in this run with other data, a state of it is damaged, or
        another process takes part for it.
    """
    directory = RunDirectory(folder)
    with ExitStack() as claim:
        claim.enter_context(directory.claimed())
        setup = prepare_run(private, directory, shared=shared)
        assert setup.handle is not None
        (site,) = setup.sites.values()
        claim.callback(site.close)
        begun = directory.config_file.exists()
        site.bind(begun=begun)
        if site.damaged:
            raise RunDirectoryError(
                f"{site.folder}: a state of the site is damaged: put a copy back, or take part in "
                "another run"
            )
        site.load(site.find(-1, sys.maxsize) or b"")
        if not begun:
            config = private.override({"run.dir": str(folder)})
            write_atomically(directory.config_file, config.to_toml().encode())
        return RemoteSite(site, directory, setup.handle, claim.pop_all(), setup.judge)
