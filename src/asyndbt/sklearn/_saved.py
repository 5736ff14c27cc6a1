"""A fitted classifier as JSON: readable, and nothing in it is run when it is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from asyndbt.config import LMConfig
from asyndbt.errors import AsyndbtError, DataError
from asyndbt.lm import LanguageModel
from asyndbt.prompt import TunedPrompt
from asyndbt.run import write_atomically

T = TypeVar("T")
_FORMAT: Final = "asyndbt-classifier/1"


def write_fitted(classifier: Any, path: Path) -> None:
    """Write a classifier; raises TypeError if a parameter is no JSON value."""
    parameters = classifier.get_params(deep=False)
    if isinstance(parameters["lm"], LanguageModel):
        parameters["lm"] = None
    content = {
        "format": _FORMAT,
        "parameters": parameters,
        "classes": {"type": classifier.classes_.dtype.str, "values": classifier.classes_.tolist()},
        "fields": classifier.feature_names_in_.tolist(),
        "lm": classifier._lm_config.model_dump(mode="json", exclude_none=True),
        "model": classifier._record,
        "prompts": {site: prompt.to_dict() for site, prompt in classifier.prompts_.items()},
    }
    text = json.dumps(content, ensure_ascii=False, indent=2)
    write_atomically(path, f"{text}\n".encode())


def read_fitted(kind: type[T], path: Path, lm: LanguageModel | None) -> T:
    """Read a classifier; raises DataError if there is none."""
    try:
        content = json.loads(path.read_text("utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {_FORMAT!r}")
        classifier: Any = kind(**{**content["parameters"], **({} if lm is None else {"lm": lm})})
        classes = content["classes"]
        classifier.classes_ = np.array(classes["values"], dtype=classes["type"])
        classifier.feature_names_in_ = np.array(content["fields"], dtype=object)
        classifier.n_features_in_ = len(content["fields"])
        classifier._lm_config = LMConfig.model_validate(content["lm"])
        classifier._record = content["model"]
        classifier.prompts_ = {
            site: TunedPrompt.from_dict(prompt) for site, prompt in content["prompts"].items()
        }
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (AsyndbtError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: no classifier that save wrote ({error})") from None
    loaded: T = classifier
    return loaded
