import asyncio
import copy

import numpy as np
import pytest
from tests.clocks import VirtualLoop

from asyndbt.errors import ConfigError, DataError, ModelError
from asyndbt.lm import LanguageModel, Prompt, Usage, check_requests, make_model
from asyndbt.lm.providers._pocket import PocketLanguageModel
from asyndbt.pocket import PocketModel
from asyndbt.testing import ScriptedLanguageModel

PROMPT = Prompt(
    (('How does "the film was awful" feel? Answer:', "terrible"),),
    'How does "the movie was superb" feel? Answer:',
)
LONG = Prompt((), "movie " * 5000 + "Answer:")


@pytest.mark.parametrize("feedback", ["logprobs", "text"])
def test_pocket_answers_are_the_pocket_models(feedback) -> None:
    model: LanguageModel = PocketLanguageModel(feedback)
    answer, again = asyncio.run(model.score([PROMPT, PROMPT], ["great", "terrible"]))
    assert answer is not None
    assert answer == again
    pocket = PocketModel.load()
    if feedback == "text":
        assert (answer.label_log_probabilities, answer.text) == (
            None,
            *pocket.complete([PROMPT.text]),
        )
    else:
        expected = pocket.label_log_probabilities([PROMPT.text], ["great", "terrible"])[0]
        np.testing.assert_array_equal(answer.label_log_probabilities, expected)
        assert answer.text is None
    assert answer.usage == model.max_usage(PROMPT) == Usage(1, pocket.count_tokens(PROMPT.text), 1)


def test_the_pocket_name_tells_weights_and_feedback() -> None:
    scores, text = PocketLanguageModel("logprobs").name, PocketLanguageModel("text").name
    assert scores != text
    provider, digest, feedback = scores.split("/")
    assert (provider, len(digest), feedback) == ("pocket", 16, "logprobs")


@pytest.mark.parametrize(
    ("labels", "prompts", "text"),
    [
        (["great", "xylophonic"], [], "xylophonic"),
        (["great", "very terrible"], [], "very terrible"),
        (["great", "Great"], [], "read the same"),
        (["great"], [], "at least two"),
        (["great", " "], [], "' '"),
        (["great", "terrible"], [PROMPT, LONG], "longest prompt has .* reads at most"),
    ],
)
def test_what_cannot_work_is_found_before_the_first_request(labels, prompts, text) -> None:
    with pytest.raises(DataError, match=text):
        check_requests(PocketLanguageModel(), labels, prompts)


def test_what_the_check_lets_through_works() -> None:
    model = PocketLanguageModel()
    room = model.max_usage(Prompt((), "")).tokens_in
    longest = Prompt((), "movie " * (PocketModel.load().context - room))
    check_requests(model, ["great", "terrible"], [PROMPT, longest])
    assert len(asyncio.run(model.score([longest], ["great", "terrible"]))) == 1
    with pytest.raises(DataError):
        check_requests(model, ["great", "terrible"], [Prompt((), longest.query + " movie")])


@pytest.mark.parametrize(("labels", "prompt"), [(["great", "xyz"], PROMPT), (["yes", "no"], LONG)])
def test_pocket_errors_name_the_provider(labels, prompt) -> None:
    with pytest.raises(ModelError) as caught:
        asyncio.run(PocketLanguageModel().score([prompt], labels))
    assert caught.value.provider == "pocket"


@pytest.mark.parametrize(
    ("provider", "options", "text"),
    [
        ("poket", {}, "'poket' is unknown; did you mean 'pocket'"),
        ("scripted", {}, "there are: huggingface, openai, pocket"),
        ("pocket", {"feedbak": "text"}, "no option 'feedbak'; did you mean 'feedback'"),
        ("pocket", {"feedback": "both"}, "'logprobs' and 'text'"),
        ("pocket", {"model": "m"}, "no option 'model'; there are: feedback"),
        ("openai", {}, "model is missing: provider 'openai' needs it"),
        ("openai", {"model": "m", "timeout": 0.0}, "timeout should be greater than 0"),
        ("openai", {"model": "m", "price_in": 1.0}, "price_out is missing: prices come in pairs"),
    ],
)
def test_make_model_explains_what_it_cannot_make(provider, options, text) -> None:
    with pytest.raises(ConfigError, match=text):
        make_model(provider, **options)


def test_make_model_passes_options_on() -> None:
    assert make_model("pocket", feedback="text").name == PocketLanguageModel("text").name


def test_a_script_fails_waits_and_counts_as_told() -> None:
    model = ScriptedLanguageModel({"superb": (-0.5, -1.0)}, delay=5.0, failing={1, 3}, price=0.5)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        answers = runner.run(model.score([PROMPT] * 3, ["great", "terrible"]))
        assert runner.get_loop().time() == 5.0
    answers += asyncio.run(model.score([PROMPT] * 2, ["great", "terrible"]))
    assert [answer is None for answer in answers] == [False, True, False, True, False]
    assert len(model.asked) == 5
    words = len(PROMPT.text.split())
    assert model.charged == Usage(3, 3 * words, 3, 1.5)


def test_a_script_without_a_reply_says_so() -> None:
    with pytest.raises(ModelError, match="no reply"):
        asyncio.run(ScriptedLanguageModel({"x": "y"}).score([Prompt((), "z")], ["a", "b"]))


def test_a_copy_of_what_holds_a_model_shares_it() -> None:
    model = ScriptedLanguageModel({})
    assert copy.deepcopy({"lm": [model]})["lm"][0] is model
