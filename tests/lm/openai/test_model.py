import asyncio
import math
import threading

import pytest
from tests.clocks import ToldLoop

from asyndbt.errors import ConfigError, DataError, TransientError
from asyndbt.lm import LanguageModel, Prompt, read_answers


def test_it_is_a_language_model(kit) -> None:
    model: LanguageModel = kit.model(kit.serve(kit.Server()))
    assert (model.batch, model.is_remote) == (1, True)


def test_a_scored_answer_is_one_request_with_all_that_the_protocol_has(kit) -> None:
    endpoint = kit.serve(kit.Server())
    model = kit.model(endpoint, extra_body={"top_k": 3, "nested": {"a": [1]}})
    answer = kit.ask(model)
    (body,) = endpoint.asked
    asked = body.pop("messages")
    assert [turn["role"] for turn in asked] == ["system", "user", "assistant", "user"]
    assert asked[1:] == kit.prompt.messages
    assert "terrible, great" in asked[0]["content"]
    assert body == {
        "model": "tiny",
        "temperature": 0.0,
        "seed": 1,
        "max_tokens": 8,
        "logprobs": True,
        "top_logprobs": 20,
        "top_k": 3,
        "nested": {"a": [1]},
    }
    assert answer.text == "great"
    scores = answer.label_log_probabilities
    assert [round(math.exp(score), 6) for score in scores] == [0.2, 0.75]
    assert answer.usage.calls == 1
    assert (answer.usage.tokens_out, answer.refusal) == (2, None)


def test_a_text_answer(kit) -> None:
    endpoint = kit.serve(kit.Server(answer="It is great"))
    answer = kit.ask(kit.model(endpoint, feedback="text", temperature=0.5, system=""))
    assert (answer.text, answer.label_log_probabilities) == ("It is great", None)
    (body,) = endpoint.asked
    assert body["messages"] == kit.prompt.messages
    assert (body["temperature"], body["max_tokens"]) == (0.5, 16)
    assert not {"logprobs", "n"} & set(body)


def test_thoughts_are_no_part_of_a_text(kit) -> None:
    said = "<think>terrible or great?</think>\n\ngreat"
    assert (
        kit.ask(kit.model(kit.serve(kit.Server(answer=said)), feedback="text")).text == "\n\ngreat"
    )


@pytest.mark.parametrize("feedback", ["text", "logprobs"])
def test_a_thought_that_the_template_opened_and_the_limit_cut_off_is_no_answer(
    kit, feedback
) -> None:
    """That a model begins within a thought, only its answers tell that end it."""

    def script(body):
        ends = "soup" not in body["messages"][-1]["content"]
        said = "Easy.</think>great" if ends else "terrible, because it says so at length"
        return kit.completion(said, body=body)

    first, second = (
        kit.model(kit.serve(script), feedback=feedback, max_tokens=5) for _ in range(2)
    )
    second.restore_capabilities(kit.probe(first).facts)
    for model in (first, second):
        answers = [kit.ask(model), kit.ask(model, kit.other)]
        found = read_answers(answers, kit.labels, feedback)
        assert found.labels.tolist() == [1, -1]


def test_an_empty_text_is_an_answer(kit) -> None:
    def script(body):
        reply = kit.completion("", body=body)
        reply["choices"][0]["message"]["content"] = None
        return reply

    answer = kit.ask(kit.model(kit.serve(script), feedback="text"))
    assert (answer.text, answer.refusal) == ("", None)
    answer = kit.ask(kit.model(kit.serve(script)))
    assert answer.label_log_probabilities == (-math.inf, -math.inf)


def test_votes(kit) -> None:
    said = ["great", "Great.", "terrible", "no idea"]
    endpoint = kit.serve(lambda body: kit.completion(*said, body=body))
    model = kit.model(endpoint, feedback="votes", votes=4)
    answer = kit.ask(model)
    assert answer.text is None
    assert [math.exp(score) for score in answer.label_log_probabilities] == pytest.approx(
        [1 / 3, 2 / 3]
    )
    (body,) = endpoint.asked
    assert (body["n"], body["temperature"]) == (4, 1.0)
    assert answer.usage.tokens_out <= model.max_usage(kit.prompt).tokens_out == 64


def test_feedbacks_are_never_mixed(kit) -> None:
    with pytest.raises(TransientError, match=r'set lm\.feedback = "text"') as caught:
        kit.ask(kit.model(kit.serve(kit.Server(silent=("logprobs",)))))
    assert caught.value.charged


def test_a_reply_without_log_probabilities_among_others_is_asked_for_again(kit) -> None:
    count = iter(range(99))

    def script(body):
        heard = body if (next(count) + 1) % 5 else body | {"logprobs": None}
        return kit.completion("great", body=heard, others={"terr": 0.2})

    model = kit.model(kit.serve(script))
    prompts = [Prompt((), f"number {number} Answer:") for number in range(20)]

    async def ask():
        try:
            return await kit.gateway.ask(prompts, kit.labels)
        finally:
            await model.close()

    kit.probe(model)
    answers = asyncio.run(ask())
    assert all(answer.label_log_probabilities for answer in answers)
    assert kit.gateway.cache.attempts.reasons().keys() == {"no log-probabilities"}


def test_a_fragile_text_is_sent(kit) -> None:
    endpoint = kit.serve(kit.Server())
    model = kit.model(endpoint)
    prompt = Prompt((), "broken \ud800 file, naïve 好? Answer:")
    assert kit.ask(model, prompt).text == "great"
    assert endpoint.asked[-1]["messages"][-1]["content"] == "broken ? file, naïve 好? Answer:"
    assert model.max_usage(prompt).tokens_in > 0


@pytest.mark.parametrize(
    "options",
    [
        {"feedback": "text"},
        {"feedback": "votes"},
        {"system": ""},
        {"temperature": 0.5},
        {"max_tokens": 5},
        {"extra_body": {"top_k": 1}},
        {"model": "other"},
    ],
)
def test_the_name_tells_what_shapes_requests(kit, options) -> None:
    endpoint = kit.serve(kit.Server())
    assert kit.model(endpoint, **options).name != kit.model(endpoint).name


@pytest.mark.parametrize("options", [{"timeout": 5.0}, {"price_in": 1.0, "price_out": 2.0}])
def test_the_name_does_not_tell_the_rest(kit, options) -> None:
    endpoint = kit.serve(kit.Server())
    model = kit.model(endpoint, **options)
    assert model.name == kit.model(endpoint).name
    before = model.name
    kit.ask(model)
    assert model.name == before
    assert model.name.startswith(f"openai/{endpoint.url.split('/')[2]}/tiny/")


@pytest.mark.parametrize(
    "labels", [("Yes", "yes"), ("no", "very good", "Very  good"), ("STRASSE", "straße")]
)
def test_labels_that_read_the_same_are_found_without_a_request(kit, labels) -> None:
    endpoint = kit.serve(kit.Server())
    with pytest.raises(DataError, match="read the same"):
        kit.model(endpoint).check([], labels)
    assert not endpoint.asked


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"feedback": "both"}, "the choices are"),
        ({"extra_body": {"n": 3, "max_tokens": 9}}, "extra_body sets max_tokens, n: use the keys"),
    ],
)
def test_settings_that_are_none_are_refused(kit, options, text) -> None:
    with pytest.raises(ConfigError, match=text):
        kit.model(kit.serve(kit.Server()), **options)


def test_one_model_serves_one_loop_after_the_other(kit) -> None:
    model = kit.model(kit.serve(kit.Server()))
    kit.probe(model)
    assert kit.ask(model) == kit.ask(model)

    async def closed_between():
        first = await model.score([kit.prompt], kit.labels)
        await model.close()
        second = await model.score([kit.prompt], kit.labels)
        await model.close()
        return first == second

    assert asyncio.run(closed_between())


def test_256_requests_are_under_way_at_once(kit) -> None:
    together, server = threading.Barrier(256), kit.Server()

    def script(body):
        together.wait(timeout=120)
        return server(body)

    model = kit.model(kit.serve(script))

    async def all_at_once():
        try:
            return await asyncio.gather(
                *(model.score([kit.prompt], kit.labels) for _ in range(256))
            )
        finally:
            await model.close()

    with asyncio.Runner(loop_factory=ToldLoop) as runner:
        answers = runner.run(all_at_once())
    assert all(answer.text == "great" for (answer,) in answers)
