"""Settings of the numerics: what the formulas in this package read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PlainValidator,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
    model_validator,
)
from pydantic.fields import FieldInfo

from asyndbt._section import NESTED, OneOf, Section, SettingError, key
from asyndbt.optim.estimators import Estimator, Regression, Reinforce, find_estimators
from asyndbt.optim.estimators._base import option_owners


def _options(given: Mapping[str, Any], info: ValidationInfo) -> tuple[Section, ...]:
    return tuple(
        estimator.Options.model_validate(
            {name: given[name] for name in estimator.Options.all_keys() if name in given},
            context=info.context,
        )
        for estimator in find_estimators().values()
    )


class Settings(Section):
    """All settings of the numerics; the options of the estimators are keys like the others.

    For example ``Settings(draws=4, ridge=2.0)``.
    """

    loss: Literal["auto", "cross_entropy", "error", "expected_error"] = key(
        "auto",
        "What tuning lowers: minus the log-probability of the right label; whether the most "
        'probable label is wrong, weighted as with feedback "text"; or the probability that an '
        "answer drawn from the model's distribution is wrong, weighted likewise. auto is the last "
        "where lm.calibration takes the model's bias out, else the second.",
        example="cross_entropy",
    )
    estimator: Annotated[str, OneOf(find_estimators)] = key(
        Regression.name,
        "How gradients are estimated from answers.",
        example=Reinforce.name,
    )
    draws: int = key(5, "I, prompts drawn per local step.", example=8, ge=2)
    own_draws: int = key(
        1,
        "Of these, prompts drawn at least from a fragment policy that never sees the consensus, by "
        "which a site proposes a fragment, and at least from p; what both have cost so far decides "
        "on the others. 0: there is no such policy, and a site proposes the read-out of p.",
        example=0,
        ge=0,
    )
    empty_fragment: bool = key(
        False,
        "Whether a prompt without a fragment competes with the others: some draws have none for as "
        "long as that may be better, and it may be what the sites propose and choose at the end.",
        example=True,
    )
    batch_size: int = key(
        4, "B, training queries on which every draw of a local step is evaluated.", example=20, ge=1
    )
    options: Annotated[SerializeAsAny[tuple[Section, ...]], PlainValidator(_options)] = Field(
        default=(), validation_alias=NESTED
    )
    step: Literal["exponentiated", "projection", "adam"] = key(
        "exponentiated", "Form of a local step on p and q.", example="adam"
    )
    distinct_words: bool = key(
        True,
        "Whether a fragment is read out of its policy without repeating a word.",
        example=False,
    )
    eta_p: float = key(100.0, "Step size of the fragment policy p.", example=10.0, ge=0)
    eta_q: float = key(40.0, "Step size of the demonstration policy q.", example=10.0, ge=0)
    entropy: float = key(
        0.003,
        "Weight tau of a term -tau * entropy of p and of q in the exponentiated step: a policy "
        "settles only on differences of the loss that are large beside tau nats. 0 is the paper.",
        example=0.01,
        ge=0,
    )
    eta_z: float = key(0.1, "Step size of the consensus z.", example=0.05, ge=0)
    eta_lambda: float = key(0.002, "Step size of the planes' multipliers.", example=0.1, ge=0)
    eta_theta: float = key(0.001, "Step size of the consensus multipliers.", example=0.1, ge=0)
    proximity: float = key(
        1.0,
        "kappa in [0, 1]: the first local step between two reports starts from (1 - kappa) p + "
        "kappa z. 0 is the paper.",
        example=0.5,
        ge=0,
    )
    averaging: float = key(
        1.0,
        "alpha in [0, 1]: a server step starts from z + alpha (mean of live p - z). 0 is the "
        "paper.",
        example=0.5,
        ge=0,
    )
    exchange: Literal["policies", "effects"] = key(
        "policies",
        "What sites tell each other: their policies p, or with them mean and precision of every "
        "word's effect by their own answers (regression).",
        example="effects",
    )
    psi: float = key(
        0.001, "Weight of the robust term, psi * sum_v ||p^(v) - z||_1.", example=0.1, ge=0
    )
    c1_min: float = key(
        0.01, "Floor of c1_t, the regularisation of the planes' multipliers.", example=0.1, ge=0
    )
    c2_min: float = key(
        0.01, "Floor of c2_t, the regularisation of the consensus multipliers.", example=0.1, ge=0
    )
    regularisation: Literal["scheduled", "constant"] = key(
        "constant",
        "scheduled uses max(c_min, 1 / (eta (t + 1)^(1/4))), constant uses c_min.",
        example="scheduled",
    )
    theta_clip: float = key(
        0.02, "Bound on every entry of theta (Assumption 2).", example=1.0, ge=0
    )
    mu: float = key(
        1.0, "Penalty of the augmented Lagrangian of the lower level.", example=2.0, ge=0
    )
    eta_rho: float = key(0.1, "Multiplier step of the lower level.", example=0.2, ge=0)
    eta_lower: float = key(
        1.0,
        "Step size of the workers in the lower level's estimate (a projected step).",
        example=0.1,
        ge=0,
    )
    lower_rounds: int = key(1, "K_in, rounds of the lower-level estimate.", example=2, ge=1)
    refresh_every: int = key(
        20,
        "delta, server steps between estimates of the lower level and its planes; 0 turns planes "
        "off.",
        example=50,
        ge=0,
    )
    refresh_until: int = key(
        1_000, "T1, no plane is added after this server step.", example=500, ge=0
    )
    plane_tolerance: float = key(
        1.0, "eps, a plane is added at a position only where h_i > eps.", example=0.1, ge=0
    )
    plane_gamma: float = key(
        0.0,
        "gamma, a plane whose multiplier is <= gamma before and after an update is removed.",
        example=0.001,
        ge=0,
    )

    @classmethod
    def all_keys(cls) -> Mapping[str, FieldInfo]:
        options = {
            name: owner.Options.model_fields[name] for name, owner in cls.option_owners().items()
        }
        keys: dict[str, FieldInfo] = {}
        for name, field in cls.model_fields.items():
            keys |= options if name == "options" else {name: field}
        return keys

    @classmethod
    def option_owners(cls) -> Mapping[str, type[Estimator]]:
        """Return the names of the estimators' options, each with the estimator that reads it."""
        return option_owners(frozenset(cls.model_fields))

    @property
    def given(self) -> frozenset[str]:
        return super().given - {"options"} | {
            name for options in self.options for name in options.given
        }

    def replace(self, **changes: Any) -> Self:
        """Return these settings with some keys changed.

        Examples
        --------
        >>> Settings().replace(draws=4).draws
        4
        """
        return type(self)(**{**self.model_dump(), **changes})

    @model_validator(mode="after")
    def _check_exchange(self) -> Self:
        if self.exchange == "effects" and not make_estimator(self).word_prior:
            raise SettingError(
                "exchange",
                f'= "effects" needs an estimator of them: estimator "{Regression.name}" with '
                "shared_words above 0",
            )
        return self

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names = cls.option_owners().keys()
        own = {name: value for name, value in data.items() if name not in names}
        return {**own, NESTED: {name: data[name] for name in names if name in data}}

    @model_serializer(mode="wrap")
    def _spread_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for name, value in handler(self).items():
            for part in value if name == "options" else [{name: value}]:
                flat |= part
        return flat

    def _restrict_given(self, names: frozenset[str]) -> None:
        super()._restrict_given(names | {"options"})
        for options in self.options:
            options._restrict_given(names)


_PLAIN: Mapping[str, Any] = {
    "loss": "cross_entropy",
    "draws": 4,
    "own_draws": 0,
    "batch_size": 5,
    "ridge": 4.0,
    "shared_words": 1.0,
    "positional_words": 1.0,
    "window": 1_500,
    "distinct_words": False,
    "eta_p": 5.0,
    "eta_q": 5.0,
    "entropy": 0.0,
    "eta_z": 0.05,
    "eta_lambda": 0.1,
    "eta_theta": 0.1,
    "proximity": 0.0,
    "averaging": 0.0,
    "psi": 0.1,
    "theta_clip": 1.0,
    "eta_lower": 0.1,
    "refresh_every": 10,
    "plane_tolerance": 0.1,
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "default": {},
    "plain": _PLAIN,
    "paper": {
        **_PLAIN,
        "estimator": Reinforce.name,
        "draws": 8,
        "batch_size": 20,
        "step": "adam",
        "eta_p": 1e-4,
        "eta_q": 1e-4,
        "eta_z": 0.1,
        # Not printed. A step of the sign term, eta_z psi W, has to be small beside an entry, 1 / N:
        # psi <= 1 / (10 N W eta_z), which is 0.0033 at N = 100 and W = 3.
        "psi": 0.001,
        "regularisation": "scheduled",
        "refresh_every": 50,
        "refresh_until": 500,
    },
}
"""What a preset changes: nothing; without this project's own terms; the paper's values."""


def preset(name: str, **changes: Any) -> Settings:
    """Return the settings of a preset, with some changed.

    Parameters
    ----------
    name : {"default", "plain", "paper"}
        ``plain`` is the method without the terms that this project adds.
    **changes
        Keys of `Settings`.

    Examples
    --------
    >>> preset("paper", draws=4).draws
    4
    """
    return Settings(**{**PRESETS[name], **changes})


def make_estimator(settings: Settings) -> Estimator:
    """Return the estimator that the settings name, with its options."""
    options = dict(zip(find_estimators(), settings.options, strict=True))
    return find_estimators()[settings.estimator](options[settings.estimator])
