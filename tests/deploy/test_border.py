"""What crosses a site's border, and by which ways: no text, label or demonstration by any."""

from __future__ import annotations

import asyncio
import threading
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from asyndbt._relay import pass_on
from asyndbt.deploy._app import bundled
from asyndbt.deploy._site import serve_requests
from asyndbt.errors import DeployError, FrameError, MessageError
from asyndbt.federation import decode
from asyndbt.federation._messages import Step, StepDone, byte_bound
from asyndbt.federation.engines import _envelope as frames

CANARIES = {part: f"zyxquux{number}" for number, part in enumerate(("train", "validation", "test"))}
RUN = "0123456789abcdef"


def planted(part: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
    word = CANARIES[part]
    labels = {"positive": "zyxlabelpos", "negative": "zyxlabelneg"}
    return [
        {"text_a": f"{word} {row['text_a']} {word}", "label": labels[row["label"]]} for row in rows
    ]


def test_planted_words_stay_at_the_sites(federation: Any) -> None:
    """In every frame and every file of the coordinator: labels are in what all sites agree on."""
    federation.write(change=planted, labels={"zyxlabelpos": "great", "zyxlabelneg": "terrible"})
    seen: list[tuple[int, str, bytes]] = []
    result = federation.conduct(federation.grid(lambda *what: seen.append(what)))
    assert len(seen) > 60
    assert {way for _, way, _ in seen} == {"in", "out"}
    assert not [frame for _, _, frame in seen if b"zyx" in frame]
    files = [file for file in result.directory.rglob("*") if file.is_file()]
    assert {"events.jsonl", "checkpoint", "result.json", "traffic.json"} <= {f.name for f in files}
    assert {file.name for file in files if b"zyx" in file.read_bytes()} == {"config.toml"}
    assert b"zyxquux" not in (result.directory / "config.toml").read_bytes()
    for site in federation.sites:
        kept = federation.kept(site) / "sites" / site / "prompt.json"
        assert b"zyxquux0" in kept.read_bytes(), "the search finds what is there"


def test_bytes_of_a_step_are_within_the_documented_bound(federation: Any) -> None:
    federation.write(method={"refresh_every": 0})
    result = federation.conduct(federation.grid())
    traffic = federation.read(result.directory / "traffic.json")
    for kinds in traffic.values():
        for name, kind in (("in Step", Step), ("out StepDone", StepDone)):
            count, size = kinds[name]
            assert size <= count * byte_bound(kind, 3, 12)


def test_every_frame_is_a_message_in_an_envelope_of_little_else(federation: Any) -> None:
    federation.write(method={"iterations": 2})
    seen: list[tuple[str, bytes]] = []
    federation.conduct(federation.grid(lambda node, way, frame: seen.append((way, frame))))
    for way, frame in seen:
        message = frames.unpack_request(frame)[1] if way == "in" else frames.unpack_reply(frame)
        assert len(frame) - len(message) < 150
        if message:
            assert decode(message).site in federation.sites


# ------------------------------------------------------------------ the app
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_app_holds_its_own_four_files_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("flwr")
    from flwr.cli.build import build_fab_from_disk

    for name in ("train.jsonl", "notes.md", "site.toml", "secret.py"):
        (tmp_path / name).write_text("zyxquux")
    monkeypatch.chdir(tmp_path)
    with bundled() as app:
        fab = build_fab_from_disk(app)
    with zipfile.ZipFile(BytesIO(fab)) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    modules = {f"asyndbt_relay/{name}.py" for name in ("__init__", "client_app", "server_app")}
    assert set(held) == {"pyproject.toml", ".info/CONTENT", *modules}
    assert not [name for name, content in held.items() if b"zyx" in content]
    assert len(fab) < 5_000


# ------------------------------------------------------------------ the relay
def test_frames_pass_through_the_socket(tmp_path: Path) -> None:
    socket = tmp_path / "s"

    async def doubled(frame: bytes) -> bytes:
        return frame * 2

    async def ask(frame: bytes) -> bytes:
        async with serve_requests(socket, doubled):
            assert socket.stat().st_mode & 0o077 == 0
            return await asyncio.to_thread(pass_on, frame, socket)

    big = bytes(range(256)) * 10_000
    assert asyncio.run(ask(big)) == big * 2
    assert not socket.exists()


def test_asks_are_answered_one_after_another(tmp_path: Path) -> None:
    at_work, most = 0, 0

    async def counted(frame: bytes) -> bytes:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(0.01)
        at_work -= 1
        return frame

    async def ask() -> list[bytes]:
        async with serve_requests(tmp_path / "s", counted):
            asks = (asyncio.to_thread(pass_on, b"%d" % k, tmp_path / "s") for k in range(4))
            return await asyncio.gather(*asks)

    assert asyncio.run(ask()) == [b"0", b"1", b"2", b"3"]
    assert most == 1


def test_without_the_sites_process_the_class_of_the_error_is_the_answer(tmp_path: Path) -> None:
    with pytest.raises(FrameError, match="FileNotFoundError"):
        frames.unpack_reply(pass_on(b"", tmp_path / "zyxnowhere"))


def test_a_process_that_goes_away_meanwhile(tmp_path: Path) -> None:
    import socket

    def hear_and_leave() -> None:
        line, _ = listener.accept()
        with line:
            line.recv(1)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        threading.Thread(target=hear_and_leave).start()
        with pytest.raises(FrameError, match="Connection"):
            frames.unpack_reply(pass_on(b"ask", tmp_path / "s"))


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    async def serve() -> None:
        async with serve_requests(tmp_path / ("x" * 120), lambda frame: frame):  # type: ignore[arg-type]
            pass

    with pytest.raises(DeployError, match="set TMPDIR"):
        asyncio.run(serve())


@pytest.mark.parametrize("run", ["", "../../etc/passwd", "0123456789ABCDEF", RUN + "0"])
def test_a_run_is_named_by_digits_alone(run: str) -> None:
    with pytest.raises(MessageError, match="16 hexadecimal digits"):
        frames.unpack_request(frames.pack_request(run))


def test_what_is_no_message_for_this_site_is_refused(federation: Any) -> None:
    federation.write()
    host = federation.host("meals")
    for work in (b"nonsense", decoded_join(host)):
        with pytest.raises(FrameError, match="MessageError"):
            frames.unpack_reply(asyncio.run(host.answer(frames.pack_request(RUN, work))))


def decoded_join(host: Any) -> bytes:
    return frames.unpack_reply(asyncio.run(host.answer(frames.pack_request(RUN))))


# ------------------------------------------------------------------ Flower's messages
def test_the_app_of_a_site_passes_on_what_flower_brings(tmp_path: Path) -> None:
    pytest.importorskip("flwr")
    from flwr.app import Context, Message, RecordDict

    from asyndbt._flower_record import from_record, to_record
    from asyndbt._relay import client_app
    from asyndbt.federation.engines import FlowerGrid

    async def doubled(frame: bytes) -> bytes:
        return frame * 2

    class Fake:
        """A grid whose only node has the app of a site."""

        def __init__(self) -> None:
            self.replies: dict[str, Message] = {}

        def get_node_ids(self) -> list[int]:
            return [5]

        def push_messages(self, messages: list[Message]) -> list[str]:
            (message,) = messages
            message.metadata.__dict__["_message_id"] = "m1"
            message.metadata.__dict__["_src_node_id"] = 1
            node = {"relay": str(tmp_path / "s"), "site": "meals"}
            context = Context(
                run_id=1, node_id=5, node_config=node, state=RecordDict(), run_config={}
            )
            self.replies["m1"] = client_app()(message, context)
            return ["m1"]

        def pull_messages(self, ids: list[str]) -> list[Message]:
            return [self.replies[id_] for id_ in ids]

    async def ask() -> list[Any]:
        grid = FlowerGrid(Fake())  # type: ignore[arg-type]
        async with serve_requests(tmp_path / "s", doubled):
            assert list(grid.nodes()) == [5]
            id_ = await asyncio.to_thread(grid.push, 5, b"frame", 10.0)
            return grid.pull([id_ or ""])

    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    (reply,) = asyncio.run(ask())
    assert (reply.frame, reply.error) == (b"frameframe", "")
    assert from_record(Message(to_record(b"x"), 5, "query")) == b"x"
    assert from_record(Message(RecordDict(), 5, "query")) == b""
