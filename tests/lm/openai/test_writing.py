"""Texts of several lines from an endpoint, whatever the feedback."""

import asyncio

import pytest

from asyndbt.lm import Prompt

ASKED = Prompt((), "Write two hints.\nHints:", most_tokens=80)
SAID = "Mind negations.\nRead it twice."


def written(kit, model):
    async def once():
        try:
            return await model.score([ASKED], ())
        finally:
            await model.close()

    (answer,) = asyncio.run(once())
    return answer


@pytest.mark.parametrize("feedback", ["logprobs", "votes", "text"])
@pytest.mark.parametrize("api", ["chat", "completions"])
def test_one_text_and_nothing_about_labels(kit, feedback, api) -> None:
    endpoint = kit.serve(kit.Server(answer=SAID))
    system = {"system": "Answer with one of {labels}."} if api == "chat" else {}
    model = kit.model(endpoint, feedback=feedback, api=api, **system)
    assert model.writes
    answer = written(kit, model)
    (body,) = endpoint.asked
    assert (answer.text, answer.label_log_probabilities) == (SAID, None)
    assert body["max_tokens"] == 80
    assert not {"logprobs", "top_logprobs", "n", "stop"} & set(body)
    assert body["temperature"] == 0.0
    if api == "chat":
        assert body["messages"] == [{"role": "user", "content": ASKED.query}]
    else:
        assert body["prompt"] == ASKED.text


def test_a_text_is_bounded_and_says_nothing_of_the_length_of_labels(kit) -> None:
    model = kit.model(kit.serve(kit.Server(answer=SAID)))
    kit.probe(model)
    before, bound = model.max_usage(kit.prompt), model.max_usage(ASKED)
    assert bound.tokens_out == 80
    answer = written(kit, model)
    assert answer.usage.tokens_out <= bound.tokens_out
    assert model.max_usage(kit.prompt).tokens_out == before.tokens_out
    assert kit.ask(model).label_log_probabilities is not None


def test_a_model_that_thinks_first_has_room_for_it(kit) -> None:
    endpoint = kit.serve(kit.Server(answer=f"<think>What helps?</think>{SAID}"))
    model = kit.model(endpoint, max_tokens=500)
    assert written(kit, model).text == SAID
    assert endpoint.asked[0]["max_tokens"] == 500
