"""No text crosses a site's border: words that occur nowhere else are planted and searched for."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import asyndbt.run._session
from asyndbt.federation import Report, StepDone, Worker, decode
from asyndbt.federation.engines._base import Channel
from asyndbt.run import run_config
from asyndbt.scoring import Spent

CANARIES = {part: f"zyxquux{number}" for number, part in enumerate(("train", "validation", "test"))}
LABEL_CANARIES = {"positive": "zyxlabelpos", "negative": "zyxlabelneg"}
ENGINES: dict[str, dict[str, Any]] = {
    "local": {"quorum": "majority"},
    "virtual": {
        "engine": "virtual",
        "quorum": "majority",
        "delays": {"kind": "pareto", "dead": {"phones": 5.0}, "rejoin": {"phones": 12.0}},
        "lease": 4.0,
    },
}


class Recording:
    """Bytes on the wire, and every policy that a worker ever had: q, and p of the fragment."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str, bytes]] = []
        self.policies: list[np.ndarray] = []
        self.fragments: list[np.ndarray] = []

    def tap(self, site: str, direction: str, data: bytes) -> None:
        self.sent.append((site, direction, data))


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    record, handle = Recording(), Worker.handle

    async def working(worker: Worker, assignment: Any) -> Any:
        report = await handle(worker, assignment)
        record.policies.append(worker.learner.q)
        record.fragments.append(worker.learner.p)
        return report

    monkeypatch.setattr(Worker, "handle", working)
    monkeypatch.setattr(asyndbt.run._session, "Channel", partial(Channel, tap=record.tap))
    return record


def planted(small: Any) -> dict[str, Any]:
    """Data with a canary of its part in every text, and canaries as labels."""
    files = {}
    for part, word in CANARIES.items():
        rows = [
            {
                **row,
                "text_a": f"{word} {row['text_a']} {word}{row['site']}",
                "label": LABEL_CANARIES[row["label"]],
            }
            for row in small.rows(part)
        ]
        files[part] = small.write(f"planted-{part}.jsonl", rows)
    return files


def canary_labels(small: Any) -> dict[str, Any]:
    """Changes that put canaries in the places of the labels."""
    labels = {LABEL_CANARIES[label]: word for label, word in small.task.labels.items()}
    return {**dict.fromkeys(small.task.labels), **labels}


@pytest.mark.parametrize(
    ("engine", "method"),
    [("local", {}), ("virtual", {}), ("virtual", {"neighbours": ["tfidf"]})],
)
def test_planted_words_are_found_in_the_sites_own_parts_only(
    small: Any, recording: Recording, engine: str, method: dict[str, Any]
) -> None:
    config = small.config(
        data=planted(small),
        method=method,
        task={"labels": canary_labels(small)},
        federation=ENGINES[engine],
    )
    result = run_config(config)
    needles = [b"zyx", *(word.encode() for word in CANARIES.values())]

    assert len(recording.sent) > 60
    assert {direction for _, direction, _ in recording.sent} == {"in", "out"}
    for site, direction, data in recording.sent:
        for needle in needles:
            assert needle not in data, (site, direction, decode(data))

    found = _files_with(result.directory, b"zyx")
    sites = {path for path in found if path.startswith("sites/")}
    # The configuration is written by the user, labels and all: it is not the sites' secret.
    assert found - sites == {"config.toml"}
    assert b"zyxquux" not in (result.directory / "config.toml").read_bytes()
    for name in small.sites:
        assert {f"sites/{name}/prompt.json", f"sites/{name}/result.json"} <= sites
    others = [
        (path, other)
        for path in sites
        for other in small.sites
        if path.split("/")[1] != other
        and f"zyxquux0{other}".encode() in (result.directory / path).read_bytes()
    ]
    assert others == [], "nor in another site's part"


def _files_with(directory: Path, needle: bytes) -> set[str]:
    files = [file for file in directory.rglob("*") if file.is_file()]
    assert {"events.jsonl", "checkpoint", "result.json", "traffic.json"} <= {f.name for f in files}
    return {str(f.relative_to(directory)) for f in files if needle in f.read_bytes()}


def test_private_reports_hold_neither_planted_words_nor_the_policies_that_sites_have(
    small: Any, recording: Recording
) -> None:
    """Nor does a file of the coordinator have a score, which the sites keep."""
    config = small.config(
        data=planted(small),
        task={"labels": canary_labels(small)},
        method={"iterations": 3, "local_steps": 4, "eta_p": 50.0},
        federation={**ENGINES["virtual"], "privacy": {"epsilon": 8.0}},
    )
    result = run_config(config)
    sent = [decode(data) for _, direction, data in recording.sent if direction == "out"]
    assert any(isinstance(message, StepDone) for message in sent)
    for site, _, data in recording.sent:
        assert b"zyx" not in data, (site, decode(data))
    rows = {row.tobytes() for p in recording.fragments for row in p if row.min() < row.max()}
    assert len(rows) > 20
    assert not [row for row in rows for _, _, data in recording.sent if row in data]
    assert {message.spent for message in sent if isinstance(message, Report)} == {Spent()}
    assert result.data["metrics"]["test"]["tuned"] is None
    for name in small.sites:
        kept = small.read(result.directory / "sites" / name / "result.json")
        assert kept["metrics"]["test"]["tuned"]["n"] == small.test


@pytest.mark.parametrize("exchange", ["policies", "effects"])
def test_no_message_holds_a_row_of_a_demonstration_policy(
    small: Any, recording: Recording, exchange: str
) -> None:
    """Nor a file of the coordinator; uniform rows and one-hot rows are nobody's secret."""
    result = run_config(small.config(method={"eta_q": 0.3, "exchange": exchange}))
    rows = {row.tobytes() for q in recording.policies for row in q if 0 < row.min() < row.max() < 1}
    assert len(rows) > 50
    seen = [data for _, _, data in recording.sent]
    seen += [file.read_bytes() for file in result.directory.iterdir() if file.is_file()]
    assert not [row for row in rows for data in seen if row in data]
    state = (result.directory / "sites" / "meals" / "state").read_bytes()
    assert [row for row in rows if row in state], "the search finds what is there"


def test_the_words_of_a_message_are_names_of_sites_and_of_fields(
    small: Any, recording: Recording
) -> None:
    """Whatever a message says in letters is known beforehand: kinds, fields, sites, one digest."""
    from asyndbt.federation import Message

    run_config(small.config(method={"iterations": 4}))
    for site, _, data in recording.sent:
        message = decode(data)
        assert isinstance(message, Message)
        texts = {
            name: getattr(message, name)
            for name in message.__dataclass_fields__
            if isinstance(getattr(message, name), str)
        }
        digest = texts.pop("agreement", "0" * 16)
        assert texts == {"site": site}
        assert site in small.sites
        assert len(digest) == 16
        assert int(digest, 16) >= 0


def test_traffic_counts_every_byte(small: Any, recording: Recording) -> None:
    result = run_config(small.config())
    traffic = small.read(result.directory / "traffic.json")
    for name in small.sites:
        counted = sum(count for count, _ in traffic[name].values())
        size = sum(size for _, size in traffic[name].values())
        carried = [data for site, _, data in recording.sent if site == name]
        assert (counted, size) == (len(carried), sum(map(len, carried)))
