"""Methods by name: run one, or resume a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from asyndbt._plugins import find_plugins
from asyndbt._text import did_you_mean
from asyndbt.config import Config, load_config
from asyndbt.errors import ConfigError, RunDirectoryError
from asyndbt.lm import LanguageModel
from asyndbt.run import METHOD_FILE, AsynDBT, Method, Observer, Result, RunDirectory, run_session


@cache
def methods() -> Mapping[str, type[Method]]:
    """Return every method by name; the parameters of its class are its options."""
    found = find_plugins("asyndbt.methods", "asyndbt.baselines", Method, "name")
    return MappingProxyType(found)


def run_method(
    method: str,
    config: Config,
    *,
    observers: Sequence[Observer] = (),
    model: LanguageModel | None = None,
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Run a method on a configuration; an interrupted run in its directory is resumed.

    Parameters
    ----------
    method : str
        A name among `methods`.
    config : Config
        The same for all methods, which set ``method.mode`` and ``method.centralised`` as needed.
    observers : sequence of Observer
        Receive every event.
    model : LanguageModel, optional
        Replaces the one that the configuration names.
    options : mapping, optional
        The method's own settings by name, such as ``{"neighbours": 8}`` for ``kate``.

    Raises
    ------
    ConfigError
        If there is no such method, or it has no such option.
    AsyndbtError
        As `asyndbt.run.run_config` does.
    """
    record = {"name": method, "options": dict(options or {})}
    made = _make(record)
    config = made.configure(config)
    directory = RunDirectory(config.run.dir)
    if not _interrupted(config, directory, record):
        directory.check_unused()
    return run_session(made, config, directory, observers=observers, model=model, record=record)


def resume_run(
    directory: Path | str,
    *,
    budget: Mapping[str, Any] | None = None,
    observers: Sequence[Observer] = (),
    model: LanguageModel | None = None,
) -> Result:
    """Resume a run from its latest checkpoint; a finished one is only read.

    With a deterministic model the result is the one of an uninterrupted run, byte for byte.

    Parameters
    ----------
    budget : mapping, optional
        Caps that replace those of the configuration, such as ``{"calls": 20000}`` or
        ``{"per_site": {"calls": 5000}}``. A run that exhausted its budget continues tuning.
    model : LanguageModel, optional
        Replaces the one that the configuration names.

    Raises
    ------
    RunDirectoryError
        If no run is recorded in that directory, settings or data have changed, or it ended for
        another reason than its budget.
    """
    files = RunDirectory.open(Path(directory))
    changes: dict[str, Any] = {"run.dir": str(files.path.resolve())}
    config = load_config(files.config_file).override(changes)
    done = files.read_json("result.json")
    if budget:
        config = config.override({**changes, **_full_keys("budget", budget)})
        if config.federation.liars is not None:
            raise RunDirectoryError(
                f"{files.path}: a run with simulated liars ends where it ends, since what they "
                "remember is kept nowhere: start another with the larger budget"
            )
        if done is not None and done["stop_reason"] != "budget":
            raise RunDirectoryError(
                f"{files.path}: the run ended with {done['stop_reason']!r}, not because its "
                "budget was used up: more of it would change nothing"
            )
    elif done is not None:
        return Result(files.path, model)
    record = files.read_json(METHOD_FILE)
    method = AsynDBT() if record is None else _make(record)
    return run_session(
        method,
        config,
        files,
        observers=observers,
        model=model,
        extend=bool(budget),
        record=record,
    )


def _make(record: Mapping[str, Any]) -> Method:
    name, known = record["name"], methods()
    if name not in known:
        hint = did_you_mean(name, known)
        raise ConfigError(f"there is no method {name!r}; the choices are {', '.join(known)}{hint}")
    try:
        return known[name](**record["options"])
    except TypeError as error:
        raise ConfigError(f"method {name!r}: {error}; see its parameters") from None


def _interrupted(config: Config, directory: RunDirectory, record: Mapping[str, Any]) -> bool:
    """Whether the directory holds this run, without a result."""
    if not directory.config_file.exists() or directory.result_file.exists():
        return False
    same = load_config(directory.config_file).fingerprint() == config.fingerprint()
    return same and directory.read_json(METHOD_FILE) == record


def _full_keys(table: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested values by their full keys.

    >>> _full_keys("budget", {"calls": 10, "per_site": {"calls": 5}})
    {'budget.calls': 10, 'budget.per_site.calls': 5}
    """
    keys: dict[str, Any] = {}
    for name, value in values.items():
        full = f"{table}.{name}"
        keys |= _full_keys(full, value) if isinstance(value, Mapping) else {full: value}
    return keys
