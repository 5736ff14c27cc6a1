"""The methods by name, and the one function that carries one out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Protocol

from asyndbt.baselines._adaicl import AdaICL
from asyndbt.baselines._asyndbt import AsynDBT, CenDBT
from asyndbt.baselines._bdpl import BDPL
from asyndbt.baselines._encoder_mlp import EncoderMLP
from asyndbt.baselines._fedavg_bdpl import FedAvgBDPL
from asyndbt.baselines._fedone import FedOne
from asyndbt.baselines._halving import Halving
from asyndbt.baselines._kate import KATE
from asyndbt.baselines._manual import Manual
from asyndbt.baselines._random_icl import RandomICL
from asyndbt.baselines._random_search import RandomSearch
from asyndbt.baselines._tpe import TPE
from asyndbt.baselines._zero_shot_cot import ZeroShotCoT
from asyndbt.config import Config
from asyndbt.errors import ConfigError
from asyndbt.lm import LanguageModel
from asyndbt.run import Observer, Result

__all__ = ["METHODS", "Method", "run_method"]


class Method(Protocol):
    """A method with its options, to be carried out on a configuration."""

    def run(
        self, config: Config, observers: Sequence[Observer], model: LanguageModel | None
    ) -> Result:
        """Carry it out."""
        ...


METHODS: Mapping[str, Callable[..., Method]] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            AsynDBT,
            CenDBT,
            Manual,
            ZeroShotCoT,
            RandomICL,
            KATE,
            BDPL,
            AdaICL,
            EncoderMLP,
            FedOne,
            FedAvgBDPL,
            TPE,
            RandomSearch,
            Halving,
        )
    }
)
"""By name: a class whose parameters are the method's options."""


def run_method(
    method: str,
    config: Config,
    *,
    observers: Sequence[Observer] = (),
    model: LanguageModel | None = None,
    options: Mapping[str, Any] | None = None,
) -> Result:
    """Carry a method out on a configuration.

    Parameters
    ----------
    method : str
        A key of `METHODS`.
    config : Config
        The same for all methods: task, data, language model, budget, seed, directory. Where a
        method needs it, ``method.mode`` and ``method.centralised`` are set for it.
    observers : sequence of Observer
        Are shown what happens.
    model : LanguageModel, optional
        Takes the place of the one that the configuration names.
    options : mapping, optional
        The method's own settings by name, such as ``{"neighbours": 8}`` for ``kate``.

    Returns
    -------
    Result
        Of a directory as a run leaves it; ``result.json`` also names the method, and
        ``curve.json`` tells how it came there. A run that was broken off is repeated in the same
        directory with the answers it paid for.

    Raises
    ------
    ConfigError
        If there is no such method, or it has no such option.
    AsyndbtError
        As `asyndbt.run.run_config` does.
    """
    if method not in METHODS:
        raise ConfigError(f"there is no method {method!r}; the choices are {', '.join(METHODS)}")
    try:
        made = METHODS[method](**(options or {}))
    except TypeError as error:
        raise ConfigError(f"method {method!r}: {error}; see its parameters") from None
    return made.run(config, observers, model)
