"""Replies as endpoints write them: streams, thoughts, tokens in many spellings, odd values."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.lm.providers.openai._replies import FailedReplyError, read_reply
from asyndbt.lm.providers.openai._scoring import label_log_probabilities

LABELS = ["terrible", "great"]


def reply(content, finish="stop", logprobs=None, usage=None, **message):
    """The body of a reply with one answer."""
    choice = {
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish,
        "logprobs": logprobs,
    }
    return json.dumps({"choices": [choice], "usage": usage})


def said(content, **more):
    return read_reply(reply(content, **more)).choices[0]


def scored(*pieces, shown=str, octets=False, extra=()):
    """Log-probabilities: where a label stands both labels, elsewhere the piece alone."""

    def entry(text, chance):
        raw = list(text.encode()) if octets else None
        return {"token": shown(text), "logprob": math.log(chance), "bytes": raw}

    content = []
    for text in pieces:
        bare = text.strip().strip('"*').lower()
        listed = [entry(text, 0.8)]
        if bare in LABELS:
            other = LABELS[1 - LABELS.index(bare)]
            listed.append(entry(text.replace(bare, other), 0.15))
        content.append({**listed[0], "top_logprobs": [*listed, *extra]})
    return {"content": content, "refusal": None}


def chances(choice):
    return [math.exp(score) for score in label_log_probabilities(choice.tokens, LABELS)]


# ------------------------------------------------------------------ thoughts
THOUGHTS = {
    "tags": "<think>terrible?</think>{}",
    "empty tags": "<think>\n\n</think>\n\n{}",
    "capitals": "<Think>terrible?</Think>{}",
    "another word": "<thinking>terrible?</thinking>\n{}",
    "a third word": "<thought>terrible?</thought>{}",
    "reasoning": "<reasoning>terrible?</reasoning>{}",
    "a name before": "<seed:think>terrible?</seed:think>{}",
    "square brackets": "[THINK]terrible?[/THINK]{}",
    "triangles": "◁think▷terrible?◁/think▷{}",
    "begin and end": "<|begin_of_thought|>terrible?<|end_of_thought|>"
    "<|begin_of_solution|>{}<|end_of_solution|>",
    "start and end": "<|START_THINKING|>terrible?<|END_THINKING|>"
    "<|START_RESPONSE|>{}<|END_RESPONSE|>",
    "channels": "<|channel|>analysis<|message|>terrible?<|end|><|start|>assistant"
    "<|channel|>final<|message|>{}<|return|>",
    "channels without marks": "analysisIt may be terrible.assistantfinal{}",
    "other channels": "<|channel>thought\nterrible?<channel|>{}",
    "headings": "Here is my thought process:\nterrible?\n\nHere is my response:\n{}",
    "two thoughts": "<think>terrible?</think><think>terrible!</think>{}",
    "the end alone": "It may be terrible.</think>\n\n{}",
}


@pytest.mark.parametrize("form", THOUGHTS.values(), ids=THOUGHTS)
def test_thoughts_are_no_part_of_an_answer(form: str) -> None:
    assert said(form.format("great")).text.strip() == "great"


UNENDED = [
    "<think>It could be terrible, because",
    "<Thinking>terrible",
    "[THINK]terrible",
    "◁think▷terrible",
    "<|channel|>analysis<|message|>It is terrible",
    "<|START_THINKING|>terrible",
    "<|channel>thought\nterrible",
    "<think>a</think><think>terrible",
]


@pytest.mark.parametrize("finish", ["length", "stop", None])
@pytest.mark.parametrize("text", UNENDED)
def test_a_thought_without_an_end_is_no_answer(text: str, finish: str | None) -> None:
    assert said(text, finish=finish).text == ""


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning", "thinking"])
def test_thoughts_in_a_field_are_no_part_of_an_answer(field: str) -> None:
    assert said("great", **{field: "terrible?"}).text == "great"
    assert said(None, **{field: "great"}).text == ""
    assert said(None, **{field: "great"}).thinking


def test_thoughts_among_the_parts_of_an_answer_are_left_out() -> None:
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "terrible?"}]},
        {"type": "reasoning", "text": "terrible?"},
        {"type": "text", "text": "gre"},
        {"type": "output_text", "text": "at"},
    ]
    assert said(parts).text == "great"


PIECES = {
    "no thought": ["great"],
    "tags": ["<think>", "terrible", "</think>", "\n\n", "great"],
    "empty tags": ["<think>", "\n\n", "</think>", "\n\n", "great"],
    "tags in pieces": ["<", "think", ">", "terrible", "</", "think", ">\n", "great"],
    "the end alone": ["terrible", "</think>", "\n\n", "great"],
    "channels": [
        *("<|channel|>", "analysis", "<|message|>", "terrible", "<|end|>"),
        *("<|start|>", "assistant", "<|channel|>", "final", "<|message|>", "great"),
    ],
}


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("pieces", PIECES.values(), ids=PIECES)
def test_the_tokens_of_a_thought_score_no_label(pieces: list[str], hidden: bool) -> None:
    """Some endpoints take the thought out of the text and leave its tokens."""
    text = "great" if hidden else "".join(pieces)
    choice = said(text, logprobs=scored(*pieces), **({"reasoning": "terrible"} if hidden else {}))
    assert choice.skipped + len(choice.tokens) == len(pieces)
    other, own = chances(choice)
    assert other / own == pytest.approx(0.15 / 0.8)
    assert own > 0.5


def test_tokens_of_a_thought_without_marks_are_those_before_the_text() -> None:
    pieces = ["Is", " it", " terrible", "?", "great"]
    choice = said("great", logprobs=scored(*pieces), reasoning_content="Is it terrible?")
    assert chances(choice) == pytest.approx([0.15, 0.8])


@pytest.mark.parametrize("text", UNENDED)
def test_the_tokens_of_a_thought_without_an_end_score_none(text: str) -> None:
    assert chances(said(text, finish="length", logprobs=scored(*text.split(" ")))) == [0.0, 0.0]


# ------------------------------------------------------------------ tokens
@pytest.mark.parametrize(
    "shown",
    [
        str,
        lambda text: text.replace(" ", "\u0120").replace("\n", "\u010a"),
        lambda text: text.replace(" ", "\u2581"),
    ],
)
def test_tokens_are_read_in_the_spelling_of_their_vocabulary(shown) -> None:
    choice = said("\n great", logprobs=scored("\n", " great", shown=shown))
    assert chances(choice) == pytest.approx([0.8 * 0.15, 0.8 * 0.8])


def test_letters_are_read_in_the_alphabet_of_bytes() -> None:
    """As servers show 好 that tell no bytes."""
    content = [
        {"token": "\u00e5\u00a5\u00bd", "logprob": -0.1, "top_logprobs": [
            {"token": "\u00e5\u00a5\u00bd", "logprob": -0.1},
            {"token": "\u00e5\u00b7\u00ae", "logprob": -2.0},
        ]}
    ]  # fmt: skip
    choice = said("好", logprobs={"content": content})
    scores = label_log_probabilities(choice.tokens, ["差", "好"])
    assert scores == pytest.approx((-2.0, -0.1))
    # Where this is what was written, it is what was meant.
    assert said("å¥½", logprobs={"content": content}).tokens[0].piece == "å¥½".encode()


def test_the_own_token_counts_once_however_often_it_is_listed() -> None:
    own = {"token": "great", "logprob": math.log(0.8), "bytes": None}
    rounded = own | {"logprob": math.log(0.79999)}
    choice = said("great", logprobs=scored("great", extra=(own, rounded)))
    assert chances(choice) == pytest.approx([0.15, 0.8])


def test_an_alternative_that_is_listed_twice_counts_once() -> None:
    other = {"token": "terrible", "logprob": math.log(0.15), "bytes": None}
    assert chances(said("great", logprobs=scored("great", extra=(other,)))) == pytest.approx(
        [0.15, 0.8]
    )


@pytest.mark.parametrize(
    "odd",
    [
        None,
        {"token": None, "logprob": None},
        {"token": "x", "logprob": None},
        {"token": "x", "logprob": -math.inf},
        {"token": "x", "logprob": math.nan},
        {"token": "x", "logprob": "-9.5", "bytes": "x"},
        {"token": "x", "logprob": 3.0e-9, "bytes": None} | {"logprob": -40},
    ],
)
def test_odd_alternatives_do_no_harm(odd) -> None:
    assert chances(said("great", logprobs=scored("great", extra=(odd,))))[1] == pytest.approx(0.8)


def test_an_own_token_without_a_value_has_that_of_the_list() -> None:
    given = scored("great")
    given["content"][0]["logprob"] = None
    assert chances(said("great", logprobs=given)) == pytest.approx([0.15, 0.8])


def test_alternatives_without_values_are_none() -> None:
    entry = {"token": "great", "logprob": None, "bytes": None}
    choice = said("great", logprobs={"content": [{**entry, "top_logprobs": [entry]}]})
    assert choice.tokens[0].alternatives == ()


# ------------------------------------------------------------------ streams
def stream(*chunks, end="data: [DONE]\n\n"):
    return "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + end


def delta(content=None, finish=None, **more):
    return {
        "choices": [{"index": 0, "delta": {"content": content, **more}, "finish_reason": finish}]
    }


def test_a_stream_that_nobody_asked_for_is_a_reply() -> None:
    parts = [delta(role="assistant"), delta("gre"), delta("at"), delta(None, "stop")]
    usage = {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 2}}
    found = read_reply(": comment\n\n" + stream(*parts, usage))
    assert (found.choices[0].text, found.tokens_in, found.tokens_out) == ("great", 9, 2)


def test_a_stream_has_thoughts_scores_and_choices_like_any_reply() -> None:
    first, second = scored("gre", "at")["content"]
    chunks = [
        {"choices": [{"index": 0, "delta": {"reasoning_content": "Hm"}}]},
        {"choices": [{"index": 1, "delta": {"content": "terrible"}, "finish_reason": "stop"}]},
        {"choices": [{"index": 0, "delta": {"content": "gre"}, "logprobs": {"content": [first]}}]},
        {"choices": [{"index": 0, "delta": {"content": "at"}, "logprobs": {"content": [second]},
                      "finish_reason": "length"}]},
    ]  # fmt: skip
    one, two = read_reply(stream(*chunks, end="")).choices
    assert (one.text, one.cut, one.has_thought, len(one.tokens)) == ("great", True, True, 2)
    assert (two.text, two.tokens) == ("terrible", None)


def test_a_stream_of_text_completions() -> None:
    chunks = [
        {"choices": [{"text": "gre"}]},
        {"choices": [{"text": "at", "finish_reason": "stop"}]},
    ]
    assert read_reply(stream(*chunks)).choices[0].text == "great"


def test_a_stream_without_an_end_is_none() -> None:
    with pytest.raises(ValueError, match="no end"):
        read_reply(stream(delta("gre"), end=""))


# ------------------------------------------------------------------ counts
@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 20, "completion_tokens": 3}, (20, 3)),
        ({"prompt_tokens": 20.0, "completion_tokens": "3"}, (20, 3)),
        ({"input_tokens": 20, "output_tokens": 3}, (20, 3)),
        ({"prompt_tokens": None, "completion_tokens": None}, (None, None)),
        ({"prompt_tokens": -1, "completion_tokens": math.nan}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": math.inf}, (None, None)),
        ({"prompt_tokens": 2.5, "completion_tokens": "many"}, (None, None)),
        ({"prompt_tokens": [1], "completion_tokens": {}}, (None, None)),
        # Thoughts that only the total counts.
        ({"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 90}, (20, 70)),
        ({"prompt_tokens": 20, "completion_tokens": 3, "total_tokens": 0}, (20, 3)),
        ("twenty", (None, None)),
    ],
)
def test_counts_are_read_however_they_are_written(usage, expected) -> None:
    found = read_reply(reply("great", usage=usage))
    assert (found.tokens_in, found.tokens_out) == expected


# ------------------------------------------------------------------ anything
FIELDS = [
    *("choices", "message", "content", "text", "finish_reason", "logprobs", "token"),
    *("bytes", "logprob", "top_logprobs", "tokens", "token_logprobs", "error"),
    *("usage", "delta", "prompt_tokens", "completion_tokens", "reasoning", "index"),
]
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.just(10**400)
    | st.sampled_from(["great", "<think>", "", "stop", "error", "bytes:\\xff", "429"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inner,
            max_size=5,
        )
    ),
    max_leaves=16,
)


@given(values, st.sampled_from(["{}", "data: {}\n\n", "data: {}\n\ndata: [DONE]\n\n"]))
def test_any_body_is_a_reply_or_an_error_of_the_two_kinds(value, form) -> None:
    try:
        found = read_reply(form.replace("{}", json.dumps(value)))
    except (ValueError, FailedReplyError):
        return
    assert found.octets >= 0
    for choice in found.choices:
        if choice.tokens:
            assert sum(chances(choice)) <= 1 + 1e-6


@given(values)
def test_any_value_in_a_choice_is_read_or_refused(value) -> None:
    for choice in (
        {"message": value},
        {"message": {"content": value}},
        {"message": {"content": "great"}, "logprobs": value},
        {"message": {"content": "great"}, "logprobs": {"content": [value]}},
        {"text": "great", "logprobs": {"tokens": value, "top_logprobs": value}},
    ):
        try:
            found = read_reply(json.dumps({"choices": [choice], "usage": value}))
        except (ValueError, FailedReplyError):
            continue
        assert len(found.choices) == 1
