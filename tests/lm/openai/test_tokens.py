import asyncio
import math
import random

import pytest

from asyndbt.lm import AnswerCache, Budget, BudgetExhausted, Gateway, Limits, Prompt, Usage
from asyndbt.lm.providers.openai import OpenAILanguageModel
from asyndbt.lm.providers.openai._usage import Size, TokenCounter, find_prices


def test_unlearned_bound_and_guess_are_as_documented() -> None:
    size = Size.of({"messages": [{"content": "abcd" * 10}, {"content": "好" * 5}]})
    assert size == Size(octets=55, narrow=40, wide=5, messages=2)
    assert TokenCounter().bound(size) == 55 + 2 * 8 + 32
    assert TokenCounter().expect(size) == 10 + 5 + 2 * 4 + 3


def test_the_bound_holds_for_all_texts_no_denser_than_seen_by_three_tenths() -> None:
    rng = random.Random(3)
    counter = TokenCounter()
    for _ in range(200):
        size = Size(octets=rng.randint(20, 5000), narrow=0, wide=0, messages=rng.randint(1, 9))
        density = rng.uniform(0.2, 0.26)
        tokens = int(density * size.octets) + 4 * size.messages + 3
        assert tokens <= counter.bound(size)
        assert counter.bound(size) <= TokenCounter().bound(size)
        counter.learn(size.octets, size.messages, tokens)


def test_the_bound_learns_upwards_only() -> None:
    counter, size = TokenCounter(), Size(octets=1000, narrow=1000, wide=0, messages=1)
    counter.learn(1000, 1, 307)
    high = counter.bound(size)
    counter.learn(1000, 1, 107)
    assert counter.bound(size) == high < TokenCounter().bound(size)
    assert counter.expect(size) == 207
    counter.learn(1000, 1, 2007)
    assert counter.bound(size) >= 2007 > TokenCounter().bound(size)


def test_what_was_learned_can_be_carried_over() -> None:
    counter, size = TokenCounter(), Size(octets=1000, narrow=1000, wide=0, messages=1)
    for tokens in (207, 307):
        counter.learn(1000, 1, tokens)
        counter.learn_answer(tokens // 100)
    again = TokenCounter(counter.most, counter.mean, counter.most_out, counter.mean_out)
    assert again.bound(size) == counter.bound(size)
    assert again.expect(size) == counter.expect(size)
    assert again.expect_answer(9) == counter.expect_answer(9) == 3


def test_a_models_bounds_hold_before_and_after_it_learned(kit) -> None:
    endpoint = kit.serve(kit.Server())
    model = kit.model(endpoint, price_in=1.0, price_out=4.0)
    for prompt in (kit.prompt, kit.other, Prompt((), "好吗? " * 30 + "Answer:"), kit.prompt):
        bound, expected = model.max_usage(prompt), model.expected_usage(prompt)
        paid = kit.ask(model, prompt).usage
        for usage in (paid, expected):
            assert usage.calls == bound.calls == 1
            assert usage.tokens_in <= bound.tokens_in
            assert usage.tokens_out <= bound.tokens_out
            assert usage.money <= bound.money
    assert abs(model.expected_usage(kit.prompt).tokens_in - paid.tokens_in) <= 0.2 * paid.tokens_in


IMPOSSIBLE = [0, -7, 10**18, 2.5, "", "many", None, [], True, math.nan, math.inf, "1e400"]


@pytest.mark.parametrize("count", IMPOSSIBLE, ids=repr)
def test_a_cap_ends_a_run_whatever_an_endpoint_counts(kit, count) -> None:
    def script(body):
        usage = dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), count)
        return kit.completion("great", body=body) | {"usage": usage}

    model = kit.model(kit.serve(script), feedback="text", price_in=1.0, price_out=1.0)
    model.check([], kit.labels)
    bound = model.max_usage(kit.prompt)
    assert kit.ask(model).usage == bound
    # Nothing that is impossible was learned.
    assert model.max_usage(kit.prompt) == bound
    for cap in (Limits(tokens=3 * bound.tokens), Limits(money=3.5 * bound.money)):
        gate = Gateway(model, AnswerCache(":memory:"), Budget(cap))

        async def spend(gate=gate):
            try:
                for sample in range(9):
                    await gate.ask([kit.prompt], kit.labels, sample)
            finally:
                await model.close()

        with pytest.raises(BudgetExhausted):
            asyncio.run(spend())
        assert gate.ledger().paid.calls == 3


def test_a_count_that_is_possible_is_believed(kit) -> None:
    """Hidden instructions and hidden thoughts are billed, too."""
    usage = {"prompt_tokens": 900, "completion_tokens": 5000}
    endpoint = kit.serve(lambda body: kit.completion("great", body=body) | {"usage": usage})
    model = kit.model(endpoint, feedback="text")
    paid = kit.ask(model).usage
    assert (paid.tokens_in, paid.tokens_out) == (900, 5000)
    assert model.max_usage(kit.prompt).tokens >= paid.tokens


def test_given_prices() -> None:
    model = OpenAILanguageModel(
        model="m", base_url="http://127.0.0.1:9/v1", price_in=2.0, price_out=10.0
    )
    usage = model.max_usage(Prompt((), "x"))
    assert model.has_prices
    assert usage.money == pytest.approx((2 * usage.tokens_in + 10 * usage.tokens_out) / 1e6)


def test_no_prices() -> None:
    model = OpenAILanguageModel(model="m", base_url="http://127.0.0.1:9/v1")
    assert not model.has_prices
    assert model.max_usage(Prompt((), "x")).money == 0.0
    assert isinstance(model.expected_usage(Prompt((), "x")), Usage)


def test_prices_that_are_looked_up() -> None:
    pytest.importorskip("genai_prices")
    prices = find_prices("gpt-4o-mini", None, None, None)
    assert prices.known
    assert 0 < prices.token_in < prices.token_out < 1e-4
    assert find_prices("gpt-4o-mini", "https://api.openai.com/v1", None, None) == prices
    assert not find_prices("no-such-model", None, None, None).known
    assert not find_prices("gpt-4o-mini", "http://127.0.0.1:9/v1", None, None).known
