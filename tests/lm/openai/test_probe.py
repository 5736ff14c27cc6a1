import asyncio
import json
import math
import socket

import pytest
from tests.clocks import ToldLoop

from asyndbt.errors import ConfigError, ModelError
from asyndbt.lm import BudgetExhausted, Limiter, Limits, Usage

SAID = {"system_role", "seed", "temperature", "logprobs_asked", "max_tokens_field"}


def found(probe):
    return {name: probe.facts[name] for name in SAID & set(probe.facts)}


FULL = {
    "logprobs_asked": 20,
    "system_role": True,
    "seed": True,
    "temperature": True,
    "max_tokens_field": "max_tokens",
}
PARTIAL = [
    ({}, {}),
    ({"lacks": ("max_tokens",)}, {"max_tokens_field": "max_completion_tokens"}),
    ({"lacks": ("system",)}, {"system_role": False}),
    ({"lacks": ("temperature",)}, {"temperature": False}),
    ({"lacks": ("seed",)}, {"seed": False}),
    ({"most_logprobs": 10}, {"logprobs_asked": 10}),
    ({"most_logprobs": 5}, {"logprobs_asked": 5}),
    ({"most_logprobs": 2}, {"logprobs_asked": 2}),
]


@pytest.mark.parametrize("mute", [False, True])
@pytest.mark.parametrize(("server", "differs"), PARTIAL)
def test_what_an_endpoint_takes_is_found_whether_it_explains_or_not(
    kit, server, differs, mute
) -> None:
    endpoint = kit.serve(kit.Server(**server, mute=mute))
    model = kit.model(endpoint)
    probe = kit.probe(model)
    assert found(probe) == FULL | differs
    assert len(endpoint.asked) <= (10 if mute else 3)
    assert json.loads(json.dumps(probe.facts)) == probe.facts
    before = len(endpoint.asked)
    assert kit.ask(model).label_log_probabilities[1] == pytest.approx(math.log(0.75))
    assert len(endpoint.asked) == before + 1


def test_several_lacks_at_once_are_found(kit) -> None:
    lacks = ("max_tokens", "temperature", "seed", "system")
    endpoint = kit.serve(kit.Server(lacks=lacks, most_logprobs=5))
    probe = kit.probe(kit.model(endpoint))
    assert found(probe) == {
        "logprobs_asked": 5,
        "system_role": False,
        "seed": False,
        "temperature": False,
        "max_tokens_field": "max_completion_tokens",
    }


@pytest.mark.parametrize(("server", "differs"), PARTIAL)
def test_adopted_facts_make_the_same_name_and_the_same_requests(kit, server, differs) -> None:
    endpoint = kit.serve(kit.Server(**server))
    first, second = kit.model(endpoint), kit.model(endpoint)
    unknown = first.name
    facts = json.loads(json.dumps(kit.probe(first).facts))
    second.restore_capabilities(facts)
    second.check([], kit.labels)
    assert second.name == first.name
    assert first.max_usage(kit.prompt) == second.max_usage(kit.prompt)
    assert first.expected_usage(kit.prompt) == second.expected_usage(kit.prompt)
    kit.ask(first)
    kit.ask(second)
    assert endpoint.asked[-1] == endpoint.asked[-2]
    assert (first.name == unknown) == (not differs and facts["answer_tokens"] == 8)


@pytest.mark.parametrize(
    "server",
    [
        {"lacks": ("logprobs",)},
        {"lacks": ("logprobs",), "mute": True},
        {"silent": ("logprobs",)},
        {"silent": ("top_logprobs",)},
        {"most_logprobs": 0},
    ],
)
def test_an_endpoint_without_log_probabilities_is_told_with_the_mend(kit, server) -> None:
    with pytest.raises(ConfigError, match=r'set lm\.feedback = "text"'):
        kit.probe(kit.model(kit.serve(kit.Server(**server))))


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ("top_logprobs must be between 0 and 3", 3),
        ("Range of top_logprobs should be [0, 5]", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 7", 7),
        ("'top_logprobs' too large for tiny-3.1-8b", 10),
    ],
)
def test_as_many_alternatives_are_asked_for_as_a_message_permits(kit, words, most) -> None:
    server = kit.Server()

    def script(body):
        return kit.error(400, words) if body.get("top_logprobs", 0) > most else server(body)

    endpoint = kit.serve(script)
    assert kit.probe(kit.model(endpoint)).facts["logprobs_asked"] == most
    assert len(endpoint.asked) == 3


@pytest.mark.parametrize("feedback", ["text", "logprobs"])
@pytest.mark.parametrize(
    ("words", "least"),
    [
        ("Invalid 'max_tokens': Expected a value >= {least}, but got {given} instead.", 20),
        ("max_output_tokens: integer below minimum value {least}", 32),
        ("max_tokens must be at least {least}", 64),
        ("max_tokens must be greater than or equal to {least} and less than 4096", 17),
        ("max_tokens is too small", 32),
    ],
)
def test_an_endpoint_that_gives_longer_answers_only_is_asked_for_them(
    kit, feedback, words, least
) -> None:
    server = kit.Server()

    def script(body):
        given = body["max_tokens"]
        return (
            kit.error(400, words.format(least=least, given=given))
            if given < least
            else server(body)
        )

    endpoint = kit.serve(script)
    model = kit.model(endpoint, feedback=feedback)
    facts = kit.probe(model).facts
    assert facts["max_tokens_field"] == "max_tokens"
    assert kit.ask(model).text == "great"
    assert endpoint.asked[-1]["max_tokens"] == least
    assert len(endpoint.asked) <= 5
    assert model.max_usage(kit.prompt).tokens_out == least


@pytest.mark.parametrize("oddity", ["no log-probabilities", "rejection", "one vote", "thoughts"])
def test_one_odd_reply_is_not_the_nature_of_an_endpoint(kit, oddity) -> None:
    server, feedback = kit.Server(), "votes" if oddity == "one vote" else "logprobs"

    def odd(body):
        reply = server(body)
        choice = reply["choices"][0]
        if oddity == "rejection":
            return kit.error(400, "Bad request")
        if oddity == "thoughts":
            choice["message"]["content"], choice["finish_reason"] = "<think>", "length"
        choice["logprobs"] = None
        return reply | {"choices": [choice]}

    usual = kit.probe(kit.model(kit.serve(server), feedback=feedback)).facts
    replies = [odd]
    endpoint = kit.serve(lambda body: (replies.pop() if replies else server)(body))
    facts = kit.probe(kit.model(endpoint, feedback=feedback)).facts
    for name in ("logprobs_asked", "seed", "temperature", "system_role", "max_tokens_field"):
        assert facts.get(name) == usual.get(name)


@pytest.mark.parametrize("server", [{"lacks": ("votes",)}, {"silent": ("n",)}])
def test_an_endpoint_with_one_answer_a_request_cannot_vote(kit, server) -> None:
    model = kit.model(kit.serve(kit.Server(**server)), feedback="votes")
    with pytest.raises(ConfigError, match="one answer per request"):
        kit.probe(model)


@pytest.mark.parametrize("feedback", ["votes", "text"])
def test_other_feedbacks_need_no_log_probabilities(kit, feedback) -> None:
    endpoint = kit.serve(kit.Server(lacks=("logprobs", "top_logprobs")))
    probe = kit.probe(kit.model(endpoint, feedback=feedback))
    assert found(probe) == {name: FULL[name] for name in SAID - {"logprobs_asked"}}
    assert "logprobs" not in probe.facts
    assert probe.facts["answer_tokens"] == 16
    assert len(endpoint.asked) == 2


@pytest.mark.parametrize("feedback", ["votes", "text", "logprobs"])
def test_every_feedback_is_adopted(kit, feedback) -> None:
    endpoint = kit.serve(kit.Server(lacks=("seed",)))
    first, second = (kit.model(endpoint, feedback=feedback) for _ in range(2))
    second.restore_capabilities(json.loads(json.dumps(kit.probe(first).facts)))
    assert second.name == first.name
    kit.ask(first)
    kit.ask(second)
    assert endpoint.asked[-1] == endpoint.asked[-2]


@pytest.mark.parametrize(("listed", "most", "seen"), [(3, 20, 3), (9, 20, 9), (9, 5, 5)])
def test_alternatives_are_counted_as_they_came(kit, listed, most, seen) -> None:
    server = kit.Server(most_logprobs=most)
    others = {f"word {number}": 0.01 for number in range(listed - 1)}

    def script(body):
        said = server(body)
        if isinstance(said, kit.Reply):
            return said
        # An endpoint that lists more than it was asked for.
        return kit.completion("great", body=body | {"top_logprobs": 20}, others=others)

    probe = kit.probe(kit.model(kit.serve(script)))
    assert (probe.facts["logprobs"], probe.facts["logprobs_asked"]) == (seen, most)


def test_what_it_cost_is_what_was_answered(kit) -> None:
    endpoint = kit.serve(kit.Server(lacks=("seed",)))
    probe = kit.probe(kit.model(endpoint, price_in=1.0, price_out=2.0))
    assert len(endpoint.asked) == probe.sent == 3
    assert probe.usage.calls == 2
    assert probe.usage.tokens_out == 4
    paid = (probe.usage.tokens_in + 2 * probe.usage.tokens_out) / 1e6
    assert probe.usage.money == pytest.approx(paid)
    assert probe.facts["model"] == "tiny-2026"
    assert 0 < probe.facts["tokens_per_byte_mean"] <= probe.facts["tokens_per_byte"] <= 0.25


@pytest.mark.parametrize(("takes", "told"), [((40.0, 2.0), 2.0), ((40.0,), 40.0)])
def test_the_first_request_is_not_timed_if_there_is_another(kit, takes, told) -> None:
    """It may have waited for the model to be loaded."""
    loop, seconds, server = ToldLoop(), iter(takes), kit.Server()

    def script(body):
        loop.advance(next(seconds))
        return server(body)

    model, prompts = kit.model(kit.serve(script)), [kit.prompt, kit.other][: len(takes)]
    probe = kit.probe(model, prompts=prompts, new_loop=lambda: loop)
    assert probe.facts["seconds_per_request"] == pytest.approx(told)


@pytest.mark.parametrize(
    ("lost", "paid"),
    [
        ({"body": "<html>"}, True),
        ({"body": {"choices": []}}, True),
        ({"body": {}, "fault": "reset"}, True),
        ({"body": {}, "status": 503}, False),
        ({"body": {}, "status": 429}, False),
    ],
)
def test_a_reply_that_was_lost_is_paid_at_its_bound(kit, lost, paid) -> None:
    replies, server = [kit.Reply(**lost)], kit.Server()
    endpoint = kit.serve(lambda body: replies.pop() if replies else server(body))
    model = kit.model(endpoint)
    model.check([], kit.labels)
    bound = model.max_usage(kit.prompt)
    probe = kit.probe(model)
    plain = kit.probe(kit.model(kit.serve(kit.Server())))
    more = probe.usage - plain.usage
    assert probe.sent == len(endpoint.asked) == plain.sent + 1
    assert more.calls == paid
    # What was lost might have cost as much as was known then, not as is now.
    assert more.tokens_out == paid * endpoint.asked[0]["max_tokens"]
    assert more.tokens_in == paid * bound.tokens_in


@pytest.mark.parametrize(
    ("labels", "answer", "tokens", "requests"),
    [
        # Labels that begin differently need their first token, and one mark before it.
        (("terrible", "great"), "great", 2, 2),
        # "unre|lated" and "unli|ke" are told apart by one token, "very good" by the third.
        (("unrelated", "unlike"), "unlike", 2, 4),
        (("very good", "very bad"), "very bad", 3, 4),
        # "great" may still become "greatest".
        (("great", "greatest"), "great", 4, 4),
        # Marks that the model puts before its answers.
        (("terrible", "great"), '\n\n\n"\n\n\n"great', 3, 2),
        # Too many to be repeated: the letters that they share, and one.
        (tuple(f"level {letter}" for letter in "abcdefghi"), "level a", 8, 2),
    ],
)
def test_an_answer_may_be_as_long_as_telling_labels_apart_needs(
    kit, labels, answer, tokens, requests
) -> None:
    endpoint = kit.serve(kit.Server(answer=answer))
    model = kit.model(endpoint)
    assert kit.probe(model, labels).facts["answer_tokens"] == tokens
    assert len(endpoint.asked) == requests
    scores = kit.ask(model, labels=labels).label_log_probabilities
    assert max(scores) > -math.inf
    assert endpoint.asked[-1]["max_tokens"] == tokens


def test_a_length_that_was_set_is_kept(kit) -> None:
    endpoint = kit.serve(kit.Server())
    model = kit.model(endpoint, max_tokens=33)
    assert kit.probe(model, ("very good", "very bad")).facts["answer_tokens"] == 33
    assert {body["max_tokens"] for body in endpoint.asked} == {33}


def test_a_limit_that_is_overlooked_is_asked_for_under_its_other_name(kit) -> None:
    endpoint = kit.serve(kit.Server(answer="great " * 50, silent=("max_tokens",)))
    probe = kit.probe(kit.model(endpoint, feedback="text"))
    assert probe.facts["max_tokens_field"] == "max_completion_tokens"
    assert len(endpoint.asked) == 3


def test_a_limit_that_is_always_overrun_goes_into_the_bound(kit) -> None:
    fields = ("max_tokens", "max_completion_tokens")
    endpoint = kit.serve(kit.Server(answer="great " * 50, silent=fields))
    model = kit.model(endpoint, feedback="text")
    facts = kit.probe(model).facts
    assert model.max_usage(kit.prompt).tokens_out == 75
    again = kit.model(endpoint, feedback="text")
    again.restore_capabilities(facts)
    assert again.max_usage(kit.prompt).tokens_out == 75


@pytest.mark.parametrize("feedback", ["text", "votes", "logprobs"])
@pytest.mark.parametrize("text", ["", "<think> Let me see, the movie"])
def test_a_model_that_thinks_first_is_told_with_the_mend(kit, feedback, text) -> None:
    def script(body):
        reply = kit.completion(*[text] * body.get("n", 1), body=body)
        for choice in reply["choices"]:
            choice["finish_reason"] = "length"
        return reply

    with pytest.raises(ConfigError, match=r"raise lm\.max_tokens"):
        kit.probe(kit.model(kit.serve(script), feedback=feedback))


@pytest.mark.parametrize("feedback", ["text", "logprobs"])
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_a_model_that_says_nothing_beside_its_thoughts_is_told(kit, feedback, field) -> None:
    def script(body):
        reply = kit.completion("", body=body)
        reply["choices"][0]["message"] |= {field: "It must be great.", "content": None}
        return reply

    with pytest.raises(ConfigError, match="its thoughts and no answer"):
        kit.probe(kit.model(kit.serve(script), feedback=feedback))


def test_a_limit_that_leaves_no_room_to_think_is_told_with_the_mend(kit) -> None:
    words = "Could not finish the message because max_tokens or model output limit was reached."
    model = kit.model(kit.serve(lambda _: kit.error(400, words)), feedback="text")
    with pytest.raises(ConfigError, match=r"raise lm\.max_tokens"):
        kit.probe(model)


def test_the_probe_waits_for_a_busy_endpoint(kit) -> None:
    replies = [
        kit.error(429, "busy", {"Retry-After": "7"}),
        kit.error(503, "starting", {"Retry-After": "8"}),
    ]
    server = kit.Server()
    endpoint = kit.serve(lambda body: replies.pop() if replies else server(body))
    limiter = Limiter(sleep=asyncio.sleep, clock=iter(range(0, 10**6, 60)).__next__)
    probe = kit.probe(kit.model(endpoint), limiter=limiter)
    assert probe.usage.calls == 2
    assert len(endpoint.asked) == probe.sent == 4
    assert [seconds >= least for seconds, least in zip(kit.naps, (8, 7), strict=True)] == [True] * 2


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_the_probe_is_sent_again_as_often_as_any_request(kit, retries) -> None:
    endpoint = kit.serve(lambda _: kit.Reply("not here", 200))
    times = f", {retries + 1} times in a row" if retries else ""
    with pytest.raises(ModelError, match=rf"check lm\.base_url{times}$") as caught:
        kit.probe(kit.model(endpoint), max_retries=retries)
    assert type(caught.value) is ModelError
    assert len(endpoint.asked) == retries + 1
    assert len(kit.naps) == retries


def test_a_probe_that_fails_leaves_its_requests_in_the_ledger(kit) -> None:
    endpoint = kit.serve(kit.Server(lacks=("seed",), silent=("logprobs",)))
    with pytest.raises(ConfigError, match=r'set lm\.feedback = "text"'):
        kit.probe(kit.model(endpoint, price_in=1.0, price_out=2.0))
    ledger = kit.gateway.ledger()
    assert (ledger.sent, ledger.attempts, ledger.paid.calls) == (len(endpoint.asked), 1, 2)
    assert ledger.spent.money == pytest.approx(
        (ledger.paid.tokens_in + 2 * ledger.paid.tokens_out) / 1e6
    )
    assert kit.gateway.cache.attempts.reasons() == {"rejected": 1}
    assert kit.gateway.budget.spent == ledger.spent


def test_a_probe_keeps_to_the_budget(kit) -> None:
    endpoint = kit.serve(kit.Server())
    with pytest.raises(BudgetExhausted):
        kit.probe(kit.model(endpoint), limits=Limits(calls=1))
    assert len(endpoint.asked) == kit.gateway.ledger().sent == 1


def test_a_wrong_address_is_told_soon(kit) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(ModelError) as caught:
            kit.probe(kit.model(kit.serve(kit.Server()), base_url=url))
    assert type(caught.value) is ModelError
    assert str(caught.value).startswith(f"no connection to {url} (lm.base_url): ")
    assert kit.gateway.ledger().sent == 2
    assert kit.gateway.ledger().spent == Usage()


@pytest.mark.parametrize("status", [401, 404])
def test_a_probe_that_cannot_succeed_stops_at_once(kit, status) -> None:
    endpoint = kit.serve(lambda _: kit.error(status, "no such thing"))
    with pytest.raises(ModelError, match="no such thing"):
        kit.probe(kit.model(endpoint))
    assert len(endpoint.asked) == 1


def test_a_rejection_that_nothing_helps_is_told_in_its_first_words(kit) -> None:
    count = iter(range(99))
    endpoint = kit.serve(lambda _: kit.error(400, f"objection {next(count)}"))
    with pytest.raises(ModelError, match="objection 0"):
        kit.probe(kit.model(endpoint))
    assert len(endpoint.asked) <= 10


def test_one_refused_prompt_does_not_spoil_the_probe(kit) -> None:
    server = kit.Server()

    def script(body):
        if "soup" in body["messages"][-1]["content"]:
            return kit.error(400, "flagged", code="content_filter")
        return server(body)

    model = kit.model(kit.serve(script))
    probe = kit.probe(model, prompts=[kit.other, kit.prompt])
    assert probe.usage.calls == 1
    with pytest.raises(ModelError, match="flagged"):
        kit.probe(model, prompts=[kit.other])


@pytest.mark.parametrize("at", [0, 1])
def test_a_prompt_that_does_not_fit_is_told_with_the_mend(kit, at) -> None:
    server, prompts = kit.Server(), [kit.prompt, kit.other]

    def script(body):
        if body["messages"][-1]["content"] == prompts[at].query:
            return kit.error(400, "This model's maximum context length is 64 tokens")
        return server(body)

    with pytest.raises(ConfigError, match=r"set a shorter prompt \(HTTP 400: This model's maximum"):
        kit.probe(kit.model(kit.serve(script)))


def test_a_reply_without_counts_is_paid_at_its_bound(kit) -> None:
    def script(body):
        return kit.completion("great", body=body) | {"usage": None}

    model = kit.model(kit.serve(script), max_tokens=4)
    probe = kit.probe(model)
    bound = model.max_usage(kit.prompt) + model.max_usage(kit.other)
    assert probe.usage == bound
    assert probe.facts["tokens_per_byte"] is None
    assert kit.ask(model).usage == model.max_usage(kit.prompt)
    assert isinstance(bound, Usage)
