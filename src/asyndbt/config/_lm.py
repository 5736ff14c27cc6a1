"""The table [lm]: the language model that prompts are tuned for, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from asyndbt._text import quoted
from asyndbt.config._base import File
from asyndbt.lm import (
    Calibration,
    LanguageModel,
    OpenAILanguageModel,
    PocketLanguageModel,
    find_providers,
)


def _has_reward(info: ValidationInfo) -> bool:
    """Whether answers are texts that a reward judges."""
    return (info.context or {}).get("reward") is not None


def _options(given: Mapping[str, Any], info: ValidationInfo) -> Section:
    provider = info.data.get("provider")
    if provider is None:
        return Section()  # a wrong provider is reported by itself
    providers = find_providers()
    table = providers[provider].Options
    known = {name for other in providers.values() for name in other.Options.all_keys()}
    for name in sorted(known.intersection(given) - set(table.all_keys())):
        raise SettingError(name, f"has no effect with provider {quoted(provider)}: remove it")
    for name, field in table.all_keys().items():
        if field.is_required() and given.get(name) is None:
            raise SettingError(name, f"is missing: provider {quoted(provider)} needs it")
    context = {**(info.context or {}), "feedback": info.data.get("feedback")}
    return table.model_validate(dict(given), context=context)


class LMConfig(Section):
    """[lm]: the language model that prompts are tuned for."""

    provider: Annotated[str, OneOf(find_providers)] = key(
        PocketLanguageModel.provider,
        "Who answers: the tiny model inside this package, a model on this machine, an endpoint "
        "that speaks OpenAI's protocol, or a provider of an installed package.",
        example=OpenAILanguageModel.provider,
    )
    feedback: Literal["logprobs", "votes", "text"] = key(
        "logprobs",
        "What an answer gives: log-probabilities of the label words, several sampled answers as a "
        "vote, or one answer's text, as always with a reward.",
        example="text",
    )
    smoothing: float = key(
        0.1,
        'Probability spread over the labels that were not answered: feedback "text" and "votes", '
        'and method.loss "error".',
        example=0.2,
        gt=0,
        lt=1,
    )
    calibration: Calibration = key(
        "none",
        "How the model's bias towards a label is taken out: contextual by its answers to queries "
        'that tell nothing, batch by its mean answer to queries; with feedback "logprobs".',
        example="batch",
    )
    cache: File | None = key(
        None,
        "File of paid answers to share with other runs; left out, every site of a run has its own "
        "in the run's directory.",
        example="answers.sqlite",
        kind="path",
    )
    options: Annotated[SerializeAsAny[Section], PlainValidator(_options)] = Field(
        default_factory=Section, validation_alias=NESTED
    )

    @classmethod
    def derived(cls, given: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        return {"feedback": "text"} if _has_reward(info) else {}

    @classmethod
    def all_keys(cls) -> Mapping[str, FieldInfo]:
        return {name: field for name, field in cls.model_fields.items() if name != "options"}

    @classmethod
    def variants(cls) -> Mapping[tuple[str, str], type[Section]]:
        providers = find_providers().items()
        return {("provider", name): provider.Options for name, provider in providers}

    @property
    def given(self) -> frozenset[str]:
        return super().given - {"options"} | self.options.given

    @property
    def is_remote(self) -> bool:
        """Whether the model runs on another machine."""
        return find_providers()[self.provider].is_remote

    @property
    def title(self) -> str:
        """Name of the model for people: that of the provider if it has only one."""
        return str(getattr(self.options, "model", self.provider))

    def make_model(self) -> LanguageModel:
        """Return the language model, without sending a request.

        Raises
        ------
        ConfigError, MissingExtraError, ModelError
            If it cannot be made, such as for an unknown name or a missing package.
        """
        return find_providers()[self.provider](self.feedback, **dict(self.options))

    def describes(self, model: LanguageModel) -> bool:
        """Whether a model is of the provider and has the options that are set here."""
        return (
            model.kind is find_providers()[self.provider]
            and model.feedback == self.feedback
            and model.options == self.options
        )

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names = cls.all_keys()
        own = {name: value for name, value in data.items() if name in names}
        return {**own, NESTED: {k: value for k, value in data.items() if k not in names}}

    @model_serializer(mode="wrap")
    def _spread_options(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        own: dict[str, Any] = handler(self)
        options: dict[str, Any] = own.pop("options", {})
        leading = getattr(self.options, "leading", ())
        first = {name: value for name, value in options.items() if name in leading}
        head = {name: own.pop(name) for name in ("provider",) if name in own}
        tail = {name: own.pop(name) for name in ("cache",) if name in own}
        return {**head, **first, **own, **options, **tail}

    @model_validator(mode="after")
    def _check(self, info: ValidationInfo) -> Self:
        feedbacks = find_providers()[self.provider].feedbacks
        if _has_reward(info):
            self._check_texts(feedbacks)
        if self.feedback not in feedbacks:
            choices = ", ".join(map(quoted, feedbacks))
            raise SettingError(
                "feedback", f"is one of {choices} with provider {quoted(self.provider)}"
            )
        if self.calibration != "none" and self.feedback != "logprobs":
            raise SettingError(
                "calibration",
                f"= {quoted(self.calibration)} needs probabilities, and lm.feedback is "
                f'{quoted(self.feedback)}: set "logprobs", or remove it',
            )
        return self

    def _check_texts(self, feedbacks: Sequence[str]) -> None:
        if "text" not in feedbacks:
            raise SettingError(
                "provider",
                f"{quoted(self.provider)} gives no texts, which task.reward judges: let a server "
                f"run the model, and use provider {quoted(OpenAILanguageModel.provider)}",
            )
        if self.feedback != "text":
            raise SettingError(
                "feedback",
                f"= {quoted(self.feedback)} is about labels, and task.reward judges texts: set "
                '"text", or remove it',
            )

    def _restrict_given(self, names: frozenset[str]) -> None:
        super()._restrict_given(names | {"options"})
