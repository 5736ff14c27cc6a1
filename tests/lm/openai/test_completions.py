"""Base models over HTTP: one text that the model continues."""

import json
import math

import pytest

from asyndbt.errors import ConfigError, ModelError
from asyndbt.lm import read_answers
from asyndbt.lm.providers.openai._replies import read_reply

BASE = {"api": "completions"}


def test_a_scored_answer_is_one_request_without_messages(kit) -> None:
    endpoint = kit.serve(kit.Server())
    model = kit.model(endpoint, **BASE)
    answer = kit.ask(model)
    assert endpoint.path == "/v1/completions"
    (body,) = endpoint.asked
    assert body == {
        "model": "tiny",
        "prompt": kit.prompt.text,
        "temperature": 0.0,
        "seed": 1,
        "max_tokens": 8,
        "logprobs": 20,
    }
    scores = answer.label_log_probabilities
    assert [round(math.exp(score), 6) for score in scores] == [0.2, 0.75]
    assert answer.usage.calls == 1
    assert answer.usage.tokens_in <= model.max_usage(kit.prompt).tokens_in


@pytest.mark.parametrize("older", [True, False])
def test_an_answer_is_scored_as_in_a_chat_whatever_form_its_scores_have(kit, older) -> None:
    endpoint = kit.serve(kit.Server(answer=" great", older=older))
    chat = kit.ask(kit.model(endpoint))
    base = kit.ask(kit.model(endpoint, **BASE))
    assert base.label_log_probabilities == pytest.approx(chat.label_log_probabilities)
    assert base.text == chat.text == " great"


def test_an_answer_in_words_ends_with_its_line(kit) -> None:
    endpoint = kit.serve(kit.Server(answer=" great"))
    answer = kit.ask(kit.model(endpoint, **BASE, feedback="text"))
    (body,) = endpoint.asked
    assert (body["stop"], body["max_tokens"]) == (["\n"], 16)
    assert "logprobs" not in body
    found = read_answers([answer], kit.labels, "text", 0.1)
    assert list(found.labels) == [1]


def test_where_it_ends_may_be_set(kit) -> None:
    endpoint = kit.serve(kit.Server())
    kit.ask(kit.model(endpoint, **BASE, feedback="text", extra_body={"stop": ["."]}))
    assert endpoint.asked[0]["stop"] == ["."]


def test_votes(kit) -> None:
    said = [" great", " great", " terrible"]
    endpoint = kit.serve(lambda body: kit.completion(*said, body=body))
    answer = kit.ask(kit.model(endpoint, **BASE, feedback="votes", votes=3))
    assert [math.exp(score) for score in answer.label_log_probabilities] == pytest.approx(
        [1 / 3, 2 / 3]
    )


@pytest.mark.parametrize("mute", [False, True])
@pytest.mark.parametrize(
    ("server", "differs"),
    [
        ({}, {}),
        ({"lacks": ("temperature",)}, {"temperature": False}),
        ({"lacks": ("seed",)}, {"seed": False}),
        ({"most_logprobs": 5}, {"logprobs_asked": 5}),
        ({"older": False}, {}),
    ],
)
def test_what_an_endpoint_takes_is_found(kit, server, differs, mute) -> None:
    endpoint = kit.serve(kit.Server(**server, mute=mute))
    model, again = kit.model(endpoint, **BASE), kit.model(endpoint, **BASE)
    facts = kit.probe(model).facts
    expected = {"logprobs_asked": 20, "seed": True, "temperature": True} | differs
    assert {name: facts[name] for name in expected} == expected
    assert facts["max_tokens_field"] == "max_tokens"
    assert not facts["system_role"]
    assert len(endpoint.asked) <= (9 if mute else 4)
    again.restore_capabilities(json.loads(json.dumps(facts)))
    assert again.name == model.name
    kit.ask(model)
    kit.ask(again)
    assert endpoint.asked[-1] == endpoint.asked[-2]


def test_an_endpoint_that_exceeds_the_limit_is_not_asked_by_another_name_for_it(kit) -> None:
    endpoint = kit.serve(lambda body: kit.completion("great" * 20, body=body | {"max_tokens": 99}))
    kit.probe(kit.model(endpoint, **BASE))
    assert len(endpoint.asked) == 2
    assert all("max_tokens" in body for body in endpoint.asked)


def test_labels_that_begin_alike_are_told_apart(kit) -> None:
    labels = ("unlikely to happen", "unlikely")
    endpoint = kit.serve(kit.Server(answer="unlikely to happen"))
    model = kit.model(endpoint, **BASE)
    facts = kit.probe(model, labels=labels).facts
    assert facts["answer_tokens"] == 6
    scores = kit.ask(model, labels=labels).label_log_probabilities
    assert scores[0] > scores[1]


def test_an_endpoint_without_log_probabilities_is_told_with_the_mend(kit) -> None:
    with pytest.raises(ConfigError, match=r'set lm\.feedback = "text"'):
        kit.probe(kit.model(kit.serve(kit.Server(silent=("logprobs",))), **BASE))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "This is not a chat model. Did you mean to use v1/completions?"),
        (400, "you must provide a chat template if the tokenizer does not define one"),
        (500, "No chat template is set for this processor"),
    ],
)
def test_a_base_model_that_is_asked_to_chat_is_told_with_the_mend(kit, status, words) -> None:
    endpoint = kit.serve(lambda _: kit.error(status, words))
    with pytest.raises(ModelError, match=r'lm\.api = "completions"'):
        kit.probe(kit.model(endpoint), max_retries=0)


def test_a_model_that_can_only_chat_is_told_with_the_mend(kit) -> None:
    words = "This is a chat model and not supported in the v1/completions endpoint."
    endpoint = kit.serve(lambda _: kit.error(404, words))
    with pytest.raises(ModelError, match=r'set lm\.api = "chat"$'):
        kit.probe(kit.model(endpoint, **BASE))


def test_a_system_message_needs_a_chat(kit) -> None:
    with pytest.raises(ConfigError, match='system has no effect with api "completions"'):
        kit.model(kit.serve(kit.Server()), **BASE, system="Be brief.")


def test_the_prompt_is_no_further_field(kit) -> None:
    with pytest.raises(ConfigError, match="extra_body sets prompt"):
        kit.model(kit.serve(kit.Server()), **BASE, extra_body={"prompt": "x"})


def test_the_name_tells_how_prompts_are_put(kit) -> None:
    endpoint = kit.serve(kit.Server())
    assert kit.model(endpoint, **BASE).name != kit.model(endpoint).name


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        (None, None),
        ({"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": None}, [(b"a", -1.0, {})]),
        ({"tokens": ["a"], "token_logprobs": [None], "top_logprobs": [None]}, [(b"a", None, {})]),
        (
            {
                "tokens": ["bytes:\\xe5\\xa5", "bytes:\\xbd"],
                "token_logprobs": [-1.0, -2.0],
                "top_logprobs": [{"bytes:\\xe5\\xa5": -1.0, " \\xe5": -9999.0}, {}],
            },
            [
                ("好".encode()[:2], -1.0, {"好".encode()[:2]: -1.0, b" \\xe5": -9999.0}),
                ("好".encode()[2:], -2.0, {}),
            ],
        ),
    ],
)
def test_scores_side_by_side_are_read(logprobs, expected) -> None:
    body = {"choices": [{"text": "x", "finish_reason": "stop", "logprobs": logprobs}]}
    tokens = read_reply(json.dumps(body)).choices[0].tokens
    found = tokens and [
        (
            token.piece,
            None if math.isinf(token.log_probability) else token.log_probability,
            dict(token.alternatives),
        )
        for token in tokens
    ]
    assert found == expected
