from __future__ import annotations

import dataclasses
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyndbt.errors import MessageError
from asyndbt.federation import decode, encode
from asyndbt.federation._codec import pack, unpack
from asyndbt.federation._messages import Step, StepDone, byte_bound
from asyndbt.scoring import Score, Spent


def step(positions: int = 2, words: int = 3, seed: int = 0) -> Step:
    z, pull = np.random.default_rng(seed).normal(size=(2, positions, words))
    return Step(site="north", id=7, iteration=4, z=z, pull=pull, local_steps=2)


def done(**changes: object) -> StepDone:
    message = StepDone(
        site="north",
        id=7,
        spent=Spent(calls=40, tokens_in=900),
        p=np.full((2, 3), 1 / 3),
        proposal=np.array([0, 2]),
        loss=0.25,
        answered=40,
        entropy_q=1.5,
        entropy_q_max=1.75,
        exhausted=False,
        validation=Score(3, 4, 0.5),
    )
    return dataclasses.replace(message, **changes)


@given(st.integers(0, 5), st.integers(1, 40), st.integers(0, 2**32))
def test_a_message_comes_back_bit_for_bit_within_its_bound(
    positions: int, words: int, seed: int
) -> None:
    sent = step(positions, words, seed)
    data = encode(sent)
    received = decode(data)
    assert isinstance(received, Step)
    assert received.z.tobytes() == sent.z.tobytes()
    assert received.pull.tobytes() == sent.pull.tobytes()
    assert (received.id, received.iteration, received.local_steps) == (7, 4, 2)
    assert len(data) <= byte_bound(Step, positions, words)


def test_records_inside_a_message_come_back() -> None:
    received = decode(encode(done()))
    assert isinstance(received, StepDone)
    assert received.spent == Spent(calls=40, tokens_in=900)
    assert received.validation == Score(3, 4, 0.5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"p": np.full((2, 3), np.nan)}, "StepDone.p is not finite"),
        ({"p": np.full((2, 3), -1e300)}, "StepDone.p is not finite, or not in -2"),
        ({"proposal": np.full(2, 2**60)}, "StepDone.proposal is not finite, or not in -2"),
        ({"p": np.zeros((2, 3), dtype=np.int64)}, "StepDone.p is not an array of float64"),
        ({"exhausted": 1}, "StepDone.exhausted is of type int, not a bool"),
        ({"site": "x" * 201}, "longer than 200 characters"),
        ({"site": "../north"}, "not a site's name"),
        ({"site": "north\n"}, "not a site's name"),
        ({"site": "n" * 61}, "not a site's name"),
        ({"answered": -1}, "StepDone.answered is not a number in 0"),
        ({"answered": 10**400}, "StepDone.answered is not a number"),
        ({"loss": -1e300}, "StepDone.loss is not a number"),
        ({"loss": 10**400}, "StepDone.loss is not a number"),
        ({"loss": float("nan")}, "cannot be written"),
        ({"spent": Spent(calls=2**60)}, "StepDone.spent.calls is not a number"),
        ({"spent": Spent(money=-0.5)}, "StepDone.spent.money is not a number"),
        ({"validation": Score(1000, 10)}, "1000.0 right answers of 10"),
        ({"validation": Score(1, 10, -0.1)}, "StepDone.validation.loss is not a number"),
        ({"validation": Score(1, 10, 0.1, -0.1)}, "StepDone.validation.spread is not a number"),
    ],
)
def test_a_wrong_value_is_refused_by_name(change: dict[str, object], said: str) -> None:
    with pytest.raises(MessageError, match=said):
        decode(encode(done(**change)))


def test_another_version_is_refused_with_the_mend() -> None:
    fields, arrays = unpack(encode(done()))
    with pytest.raises(MessageError, match="install the same release"):
        decode(pack({**fields, "version": 99}, arrays))


def test_a_field_too_many_or_too_few_is_refused() -> None:
    fields, arrays = unpack(encode(done()))
    with pytest.raises(MessageError, match="fields are not exactly"):
        decode(pack(fields, {**arrays, "q": np.ones((2, 2))}))
    with pytest.raises(MessageError, match="fields are not exactly"):
        decode(pack(fields, {}))


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_never_crashes(data: bytes) -> None:
    with pytest.raises(MessageError):
        decode(data)


@given(st.integers(0, 400))
def test_a_cut_message_is_refused(length: int) -> None:
    data = encode(done())
    with pytest.raises(MessageError):
        decode(data[: min(length, len(data) - 1)])


HEADERS = [
    b"[]",
    b"7",
    b"{}",
    b'{"arrays":[],"fields":[]}',
    b'{"arrays":7,"fields":{}}',
    b'{"arrays":[["p","f8",[1e999]]],"fields":{}}',
    b'{"arrays":[["p","f8",[-1,-2]]],"fields":{}}',
    b'{"arrays":[["p","f8",["3"]]],"fields":{}}',
    b'{"arrays":[["p","f8",[0,99999999999999999999]]],"fields":{}}',
    b'{"arrays":[[["p"],"f8",[0]]],"fields":{}}',
    b'{"arrays":[["p",["f8"],[0]]],"fields":{}}',
    b'{"arrays":[["p","f8",[0]],["p","f8",[0]]],"fields":{}}',
    b'{"arrays":[],"fields":{"version":1,"kind":["Step"],"content":{}}}',
    b'{"arrays":[],"fields":{"version":1,"kind":"Step","content":[]}}',
    b'{"arrays":[],"fields":{"version":' + b"[" * 100_000 + b"}}",
    b'{"arrays":[],"fields":{"version":' + b"9" * 10_000 + b"}}",
    b"\xff\xfe",
]


@pytest.mark.parametrize("header", HEADERS, ids=range(len(HEADERS)))
def test_an_odd_header_is_refused_and_never_crashes(header: bytes) -> None:
    with pytest.raises(MessageError):
        decode(b"ADBT" + struct.pack("<I", len(header)) + header)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["site", "id", "spent", "loss", "validation"]), _JSON))
def test_any_content_is_refused_or_in_bounds(content: dict[str, object]) -> None:
    fields, arrays = unpack(encode(done()))
    whole = {**fields["content"], **content}
    header = json.dumps({"arrays": [], "fields": {**fields, "content": whole, "kind": "StepDone"}})
    data = b"ADBT" + struct.pack("<I", len(header.encode())) + header.encode()
    with pytest.raises(MessageError):
        decode(data)
    try:
        message = decode(pack({**fields, "content": json.loads(json.dumps(whole))}, arrays))
    except (MessageError, ValueError):
        return
    assert isinstance(message, StepDone)
    assert 0 <= message.validation.correct <= message.validation.n <= 2**53


def test_a_message_over_its_limit_is_refused_before_it_is_read() -> None:
    data = encode(done())
    assert decode(data, len(data)).site == "north"
    with pytest.raises(MessageError, match="where 40 are the most"):
        decode(data, 40)


def test_no_message_has_a_field_for_texts_or_demonstration_policies() -> None:
    from asyndbt.federation import _messages as messages

    kinds = list(vars(messages).values())
    records = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
    texts = {
        (kind.__name__, field.name)
        for kind in records
        for field in dataclasses.fields(kind)
        if field.type in ("str", str)
    }
    assert {name for _, name in texts} == {"site", "agreement"}
    assert not any(f.name == "q" for kind in records for f in dataclasses.fields(kind))
