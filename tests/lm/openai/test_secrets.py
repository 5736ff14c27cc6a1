import asyncio
import json
import logging
import sys
import traceback

import pytest

from asyndbt.errors import AsyndbtError, ConfigError, MissingExtraError, ModelError
from asyndbt.lm import AnswerCache, Budget, Gateway, Limits, Prompt
from asyndbt.lm.providers.openai import OpenAILanguageModel
from asyndbt.lm.providers.openai._key import ApiKey


def everything(error: BaseException) -> str:
    """All text that hangs on an exception, its causes and contexts included."""
    seen, texts = [error], []
    for each in seen:
        texts += [*traceback.format_exception(each), repr(vars(each)), repr(each.args)]
        texts += [repr(value) for value in vars(each).values()]
        texts += [repr(getattr(value, "headers", "")) for value in vars(each).values()]
        seen += [one for one in (each.__cause__, each.__context__) if one and one not in seen]
    return "\n".join(texts)


ECHOES = [
    lambda key: f"Incorrect API key provided: {key}. Find yours on the site.",
    lambda key: f"Incorrect API key provided: {key[:10]}...{key[-4:]}.",
    lambda key: f"Incorrect API key provided: {key[:8]}************{key[-4:]}",
    lambda key: f"Incorrect API key provided: {key[:3]}…{key[-4:]}",
    lambda key: f'{{"Authorization": "Bearer {key}"}}',
    lambda key: f"half of it is {key[4:20]}, you know",
]


@pytest.mark.parametrize("echo", ECHOES)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_the_key_is_in_no_error_even_if_the_endpoint_echoes_it(kit, caplog, echo, status) -> None:
    caplog.set_level(logging.DEBUG)
    said = echo(kit.key)
    endpoint = kit.serve(lambda _: kit.error(status, said))
    model = kit.model(endpoint)
    with pytest.raises(AsyndbtError) as caught:
        kit.ask(model)
    assert endpoint.headers["authorization"] == f"Bearer {kit.key}"
    texts = everything(caught.value) + repr(model) + model.name + caplog.text
    parts = [kit.key[start : start + 8] for start in range(len(kit.key) - 7)]
    assert not [part for part in parts if part in texts]
    assert "[key]" in str(caught.value)
    assert kit.key[-4:] not in texts


@pytest.mark.parametrize("fault", ["reset", "cut", "slow"])
def test_the_key_hangs_on_no_lost_request(kit, fault) -> None:
    model = kit.model(kit.serve(lambda _: kit.Reply({}, fault=fault)), timeout=0.2)
    with pytest.raises(AsyndbtError) as caught:
        kit.ask(model)
    assert caught.value.__context__ is None
    assert kit.key not in everything(caught.value)


def test_the_key_is_in_no_fact(kit) -> None:
    def script(body):
        return kit.completion("great", body=body) | {"model": f"tiny for {kit.key}"}

    probe = kit.probe(kit.model(kit.serve(script)))
    assert kit.key not in json.dumps(probe.facts)
    assert "tiny for" in probe.facts["model"]


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_key_is_named_before_a_request(kit, monkeypatch, value) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("OPENAI_API_KEY", value)
    model = OpenAILanguageModel(model="gpt-4o-mini")
    for first in (
        lambda: kit.probe(model),
        lambda: kit.ask(model),
        lambda: model.restore_capabilities({}),
    ):
        with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
            first()


def test_what_a_request_costs_is_told_without_a_key(kit, monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    model = OpenAILanguageModel(model="m", price_in=1.0, price_out=1.0)
    assert model.max_usage(Prompt((), "1 + 1?")).money > 0


@pytest.mark.parametrize("pasted", ["sk-123-secret", "gsk_123secret", "secret", "A" * 41])
def test_a_key_in_the_place_of_its_name_is_not_repeated(pasted) -> None:
    with pytest.raises(ConfigError, match="not the key itself: use OPENAI_API_KEY") as caught:
        OpenAILanguageModel(model="m", api_key_env=pasted)
    assert pasted not in str(caught.value)


def test_a_variable_may_be_named_in_lower_case(kit, monkeypatch) -> None:
    monkeypatch.setenv("tiny_key", kit.key)
    endpoint = kit.serve(kit.Server())
    kit.ask(kit.model(endpoint, api_key_env="tiny_key"))
    assert endpoint.headers["authorization"] == f"Bearer {kit.key}"


def test_a_key_that_no_header_can_carry_is_named_by_its_variable(kit, monkeypatch) -> None:
    monkeypatch.setenv("BAD_KEY", "sk-schlüssel")
    with pytest.raises(ModelError, match="BAD_KEY") as caught:
        kit.probe(OpenAILanguageModel(model="m", api_key_env="BAD_KEY"))
    assert "schl" not in str(caught.value)


def test_another_address_does_not_get_the_key_of_openai(kit, monkeypatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", kit.key)
    endpoint = kit.serve(kit.Server())
    kit.ask(kit.model(endpoint, api_key_env=None))
    assert endpoint.headers["authorization"] == "Bearer none"


@pytest.mark.parametrize("secret", ["user:hidden@127.0.0.1:9/v1", "127.0.0.1:9/v1?api-key=hidden"])
def test_an_address_has_no_credentials(secret) -> None:
    with pytest.raises(ConfigError, match="base_url holds a secret") as caught:
        OpenAILanguageModel(model="m", base_url=f"http://{secret}")
    assert "hidden" not in everything(caught.value)


def test_short_and_missing_keys_are_redacted_alike() -> None:
    assert ApiKey("abc").redact("key abc!") == "key [key]!"
    assert ApiKey().redact("none of it") == "none of it"


def test_without_the_package_the_extra_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    model = OpenAILanguageModel(model="m", base_url="http://127.0.0.1:9/v1")
    gateway = Gateway(model, AnswerCache(":memory:"), Budget(Limits()))
    prompt = Prompt((), "It was fun. Answer:")
    assert model.max_usage(prompt).calls == 1, "what sends no request does without it"
    for needs_it in (
        lambda: model.restore_capabilities({}),
        lambda: asyncio.run(gateway.detect_capabilities([prompt], ["yes", "no"])),
    ):
        with pytest.raises(MissingExtraError, match=r"asyndbt\[openai\]"):
            needs_it()


def test_closing_what_was_never_opened_is_fine(kit) -> None:
    asyncio.run(kit.model(kit.serve(kit.Server())).close())
