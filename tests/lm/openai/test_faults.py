import asyncio
import json
import math
import socket
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from tests.clocks import ToldLoop

from asyndbt.errors import ExampleError, ModelError, RateLimitError, TransientError
from asyndbt.lm import Usage


def failure(kit, script, **options):
    endpoint = kit.serve(script)
    with pytest.raises(ModelError) as caught:
        kit.ask(kit.model(endpoint, **options))
    assert len(endpoint.asked) == 1
    assert caught.value.provider == "openai"
    return caught.value


@pytest.mark.parametrize(
    ("status", "message", "more"),
    [
        (401, "Incorrect API key provided", {"code": "invalid_api_key"}),
        (403, "Country not supported", {}),
        (404, "The model `tiny` does not exist", {"code": "model_not_found"}),
        (402, "Insufficient Balance", {}),
        (429, "You exceeded your current quota", {"code": "insufficient_quota"}),
        (429, "Add credits: your account balance is 0", {}),
        (400, "Access denied: account in arrears", {"code": "Arrearage"}),
        (400, "Your credit balance is too low. Please go to Plans & Billing.", {}),
        (403, "Your credit balance is too low. Please go to Plans & Billing.", {}),
        (402, "Your credit balance is too low", {}),
        (400, "API key not valid. Please pass a valid API key.", {}),
        (400, "'messages' is malformed", {}),
        (422, "extra fields not permitted", {}),
    ],
)
def test_what_no_request_can_cure_stops_in_the_providers_words(kit, status, message, more) -> None:
    error = failure(kit, lambda _: kit.error(status, message, **more))
    assert type(error) is ModelError
    assert error.status == status
    assert message in str(error)


@pytest.mark.parametrize("status", [400, 402, 403, 429])
@pytest.mark.parametrize("words", ["Your credit balance is too low", "Visit Plans & Billing"])
def test_an_empty_purse_stops_a_run_that_had_answers(kit, status, words) -> None:
    replies = [kit.completion("great")]
    endpoint = kit.serve(lambda _: replies.pop() if replies else kit.error(status, words))
    model = kit.model(endpoint, feedback="text")
    assert kit.ask(model).text == "great"
    with pytest.raises(ModelError, match=f"{words}; check the account") as caught:
        kit.ask(model, kit.other)
    assert type(caught.value) is ModelError


@pytest.mark.parametrize(("path", "told"), [("/v1", False), ("/v1/", False), ("/api", True)])
def test_a_wrong_path_is_told_what_it_usually_ends_in(kit, path, told) -> None:
    endpoint = kit.serve(lambda _: kit.error(404, "not found"))
    model = kit.model(endpoint, base_url=endpoint.url.removesuffix("/v1") + path)
    with pytest.raises(ModelError, match=r"check lm\.model, lm\.api and lm\.base_url") as caught:
        kit.ask(model)
    assert ("usually ends in /v1" in str(caught.value)) == told


INPUT = {"role": "user", "content": "the private text"}
FINDING = {"type": "x", "loc": ["body", "seed"], "msg": "not permitted", "input": INPUT}


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [FINDING, FINDING]},
        {"error": {"message": [FINDING], "code": 400}},
        {"error": {"message": str([FINDING]), "code": 400}},
        {"error": {"message": f"seed: not permitted [type=x, input_value={INPUT}]"}},
    ],
)
def test_findings_about_a_body_do_not_repeat_it(kit, body) -> None:
    error = failure(kit, lambda _: kit.Reply(body, 422))
    assert "private" not in str(error)
    assert "seed" in str(error)
    assert "not permitted" in str(error)


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        ("<html><title>the private text</title></html>", "44 characters, not JSON"),
        ("", "0 characters, not JSON"),
        ({"answer": "the private text"}, "30 characters, JSON of another shape"),
        (
            'data: {"choices": [{"delta": {"content": "the private text"}}]}\n\n',
            "65 characters, an event stream that was cut off",
        ),
        ({"choices": ["the private text"]}, "33 characters, JSON of another shape"),
    ],
)
def test_a_broken_reply_is_measured_and_not_repeated(kit, body, shape) -> None:
    error = failure(kit, lambda _: kit.Reply(body))
    assert str(error) == f"not a completion: {shape}; check lm.base_url"
    assert error.__context__ is None


@pytest.mark.parametrize(
    "body",
    [
        {"error": "no such model"},
        {"object": "error", "message": "no such model", "code": 404},
        [{"error": {"message": "no such model"}}],
        {"detail": "no such model"},
        "<html>no such model</html>",
    ],
)
def test_words_are_found_in_every_dialect(kit, body) -> None:
    assert "no such model" in str(failure(kit, lambda _: kit.Reply(body, 404)))


@pytest.mark.parametrize(
    ("message", "headers", "expected"),
    [
        ("Rate limit reached", {"Retry-After": "7"}, 7.0),
        ("Rate limit reached", {"Retry-After": "7", "Retry-After-Ms": "250"}, 0.25),
        ("Rate limit reached. Please try again in 1.5s.", {}, 1.5),
        ("You exceeded your current quota, check billing. Please retry in 37.5s.", {}, 37.5),
        ("busy", {"X-RateLimit-Reset-Requests": "1s", "X-RateLimit-Reset-Tokens": "6m0s"}, 1.0),
        ("Please try again in 2s.", {"X-RateLimit-Reset-Requests": "6m0s"}, 2.0),
        ("Rate limit reached", {"Retry-After": "soon"}, None),
        ("Rate limit reached", {}, None),
    ],
)
def test_a_busy_endpoint_says_how_long_to_wait(kit, message, headers, expected) -> None:
    error = failure(kit, lambda _: kit.error(429, message, headers))
    assert isinstance(error, RateLimitError)
    assert error.retry_after == expected


@pytest.mark.parametrize(
    ("error", "kind", "status", "words"),
    [
        ({"code": 429, "message": "Rate limit exceeded"}, RateLimitError, 429, "Rate limit"),
        ({"code": "429", "message": "slow down"}, RateLimitError, 429, "slow down"),
        ({"status": "RESOURCE_EXHAUSTED", "message": "slow"}, RateLimitError, 429, "slow"),
        ({"type": "rate_limit_error", "message": "slow"}, RateLimitError, 429, "slow"),
        ({"type": "overloaded_error", "message": "busy"}, TransientError, 503, "busy"),
        ({"code": 502, "message": "Provider returned error"}, TransientError, 502, "Provider"),
        ("something broke", TransientError, 500, "something broke"),
        ({"code": 401, "message": "No auth credentials"}, ModelError, 401, "No auth"),
        ({"message": "Incorrect API key"}, ModelError, 401, "Incorrect API key"),
        ({"code": 402, "message": "Insufficient credits"}, ModelError, 402, "check the account"),
        ({"message": "insufficient balance"}, ModelError, 402, "check the account"),
        ({"message": "model 'm' not found"}, ModelError, 404, "check lm.model"),
    ],
)
@pytest.mark.parametrize("shape", ["alone", "with choices", "in a choice", "in a stream"])
def test_an_error_is_one_whatever_the_status_it_comes_with(
    kit, shape, error, kind, status, words
) -> None:
    choice = {"index": 0, "finish_reason": "error", "message": {"content": ""}, "error": error}
    body = {
        "alone": {"error": error},
        "with choices": {"error": error, "choices": []},
        "in a choice": {"choices": [choice], "usage": {"prompt_tokens": 9}},
        "in a stream": f"data: {json.dumps({'error': error})}\n\n",
    }[shape]
    found = failure(kit, lambda _: kit.Reply(body))
    assert (type(found), found.status) == (kind, status)
    assert words in str(found)
    assert getattr(found, "charged", False) is False


@pytest.mark.parametrize(
    "body",
    [
        {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None},
        {"success": False, "message": "rate limit of your plan"},
        {"errors": [{"message": "rate limit"}]},
    ],
)
def test_errors_in_other_fields_are_errors(kit, body) -> None:
    assert isinstance(failure(kit, lambda _: kit.Reply(body)), RateLimitError)


def test_the_words_of_a_provider_behind_a_gateway_are_told(kit) -> None:
    behind = {"raw": "context deadline exceeded", "provider_name": "X"}
    said = {"code": 502, "message": "Provider returned error", "metadata": behind}
    error = failure(kit, lambda _: kit.Reply({"error": said}, 502))
    assert "Provider returned error: context deadline exceeded" in str(error)


@pytest.mark.parametrize(
    "reason", ["error", "network_error", "abort", "insufficient_system_resource"]
)
def test_an_answer_that_was_not_brought_to_an_end_is_none(kit, reason) -> None:
    def script(body):
        reply = kit.completion("great", body=body)
        reply["choices"][0]["finish_reason"] = reason
        return reply

    error = failure(kit, script, feedback="text")
    assert isinstance(error, TransientError)
    assert reason in str(error)


def test_of_several_answers_those_count_that_are_none_of_errors(kit) -> None:
    def script(body):
        reply = kit.completion("great", "terrible", "great", body=body)
        reply["choices"][1]["finish_reason"] = "error"
        return reply

    answer = kit.ask(kit.model(kit.serve(script), feedback="votes", votes=3))
    assert answer.label_log_probabilities == (-math.inf, 0.0)


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "Only user and assistant roles are supported!",
        "jinja2.exceptions.TemplateError: unknown",
        "Developer instruction is not enabled for this model",
    ],
)
def test_a_complaint_about_roles_is_one_whatever_its_status(kit, status, words) -> None:
    server = kit.Server()

    def script(body):
        with_system = body["messages"][0]["role"] == "system"
        return kit.error(status, words) if with_system else server(body)

    endpoint = kit.serve(script)
    assert kit.probe(kit.model(endpoint)).facts["system_role"] is False
    assert len(endpoint.asked) == 3
    assert not kit.naps


def test_a_system_that_is_busy_is_no_complaint_about_roles(kit) -> None:
    error = failure(kit, lambda _: kit.error(500, "The system is busy"))
    assert isinstance(error, TransientError)


def test_a_date_is_a_time_to_wait(kit) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    error = failure(kit, lambda _: kit.error(429, "busy", {"Retry-After": date}))
    assert 3000 < error.retry_after <= 3600


@pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504, 529])
def test_faults_of_the_provider_may_be_tried_again_for_nothing(kit, status) -> None:
    error = failure(kit, lambda _: kit.error(status, "sorry", {"Retry-After": "3"}))
    assert isinstance(error, TransientError)
    assert (error.kind, error.charged, error.retry_after) == (f"http {status}", False, 3.0)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ({"fault": "reset"}, "connection lost"),
        ({"fault": "cut"}, "connection lost"),
        ({"body": '{"choices": ['}, "broken reply"),
        ({"body": ""}, "broken reply"),
        ({"body": 'data: {"choices": [{"delta": {"content": "gre"}}]}\n\n'}, "broken reply"),
        ({"body": {"choices": [{"answer": "great"}]}}, "broken reply"),
        ({"body": {"choices": ["great"]}}, "broken reply"),
        ({"body": {"choices": []}}, "no choices"),
    ],
)
def test_a_reply_that_is_lost_may_have_to_be_paid(kit, reply, kind) -> None:
    error = failure(kit, lambda _: kit.Reply(**({"body": {"choices": []}} | reply)))
    assert isinstance(error, TransientError)
    assert (error.kind, error.charged) == (kind, True)


def test_a_reply_that_does_not_come_in_time_may_have_to_be_paid(kit) -> None:
    loop, endpoint = ToldLoop(), kit.serve(lambda _: kit.Reply({}, fault="slow"))
    endpoint.held = lambda: loop.advance(30.0)
    with pytest.raises(TransientError) as caught:
        kit.ask(kit.model(endpoint, timeout=20.0), new_loop=lambda: loop)
    assert (caught.value.kind, caught.value.charged) == ("timeout", True)


def test_a_refused_connection_costs_nothing(kit) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
        endpoint = kit.serve(kit.Server())
        model = kit.model(endpoint, base_url=f"http://{host}/v1/?version=hidden")
        with pytest.raises(TransientError) as caught:
            kit.ask(model)
    assert (caught.value.kind, caught.value.charged) == ("connection", False)
    assert str(caught.value).startswith(f"no connection to http://{host}/v1 (lm.base_url): ")
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message", "more", "refusal"),
    [
        (400, "flagged", {"code": "content_filter"}, "content filter"),
        (
            400,
            "flagged",
            {"innererror": {"code": "ResponsibleAIPolicyViolation"}},
            "content filter",
        ),
        (400, "no", {"code": "content_policy_violation"}, "content filter"),
        (400, "inappropriate", {"code": "data_inspection_failed"}, "content filter"),
        (400, "inappropriate", {"code": "DataInspectionFailed"}, "content filter"),
        (403, "your input was flagged", {}, "content filter"),
        (400, "too much", {"code": "context_length_exceeded"}, "too long"),
        (400, "This model's maximum context length is 4096 tokens", {}, "too long"),
        (422, "too much", {"code": "string_above_max_length"}, "too long"),
        (413, "Request Entity Too Large", {}, "too long"),
        (
            400,
            "exceeds the available context size",
            {"type": "exceed_context_size_error"},
            "too long",
        ),
    ],
)
def test_a_prompt_refused_for_good_is_an_answer(kit, status, message, more, refusal) -> None:
    model = kit.model(kit.serve(lambda _: kit.error(status, message, **more)))
    answer = kit.ask(model)
    assert (answer.refusal, answer.text, answer.label_log_probabilities) == (refusal, None, None)
    assert answer.usage == Usage(calls=1)


@pytest.mark.parametrize("how", ["finish_reason", "refusal"])
def test_a_filtered_answer_is_a_refusal_that_is_paid(kit, how) -> None:
    def script(body):
        reply = kit.completion("I cannot", body=body)
        choice = reply["choices"][0]
        if how == "refusal":
            choice["message"] = {"content": None, "refusal": "I will not."}
        else:
            choice["finish_reason"] = "content_filter"
        return reply

    answer = kit.ask(kit.model(kit.serve(script)))
    assert (answer.refusal, answer.text) == ("content filter", None)
    assert answer.usage.tokens_in > 0


@pytest.mark.parametrize("status", [400, 422])
def test_a_rejection_after_an_answer_is_about_that_prompt(kit, status) -> None:
    def script(body):
        if "soup" in body["messages"][-1]["content"]:
            return kit.error(status, "cannot parse this")
        return kit.completion("great", body=body)

    endpoint = kit.serve(script)
    model = kit.model(endpoint)
    with pytest.raises(ModelError, match="cannot parse this") as caught:
        kit.ask(model, kit.other)
    assert type(caught.value) is ModelError
    assert kit.ask(model).refusal is None
    with pytest.raises(ExampleError, match="cannot parse this") as caught:
        kit.ask(model, kit.other)
    assert caught.value.status == status


def test_a_rejection_after_an_earlier_probe_is_about_that_prompt(kit) -> None:
    facts = kit.probe(kit.model(kit.serve(kit.Server()))).facts
    model = kit.model(kit.serve(lambda _: kit.error(400, "cannot parse this")))
    model.restore_capabilities(facts)
    with pytest.raises(ExampleError, match="cannot parse this"):
        kit.ask(model)


def test_a_cancelled_request_is_cancelled(kit) -> None:
    model = kit.model(kit.serve(lambda _: kit.Reply({}, fault="slow")))

    async def give_up():
        try:
            async with asyncio.timeout(0.1):
                await model.score([kit.prompt], kit.labels)
        finally:
            await model.close()

    with pytest.raises(TimeoutError):
        asyncio.run(give_up())
