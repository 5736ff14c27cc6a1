"""Whole runs of the Flower engine over a grid in this process, every site from its own files.

Time is virtual: work takes none but what a test says, and the engine looks for replies at 0.2 s and
for nodes at 2 s.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from asyndbt.config import load_site_file
from asyndbt.errors import AsyndbtError, RunDirectoryError, SiteError
from asyndbt.run import Event, Result, check_run, open_site, run_config
from asyndbt.run._site import RunSite
from asyndbt.testing import LoopbackGrid

QUIET = {"refresh_every": 0}
FOREVER = 1e9
"""Seconds."""


class Stop(KeyboardInterrupt):
    """What ends a session in these tests: nothing catches it."""


def at_step(number: int, act: Callable[[], None]) -> Callable[[Event], None]:
    """An observer that does something once, when a step is reached."""
    left = [act]

    def observe(event: Event) -> None:
        if event.kind == "step" and event.data["iteration"] == number and left:
            left.pop()()

    return observe


def stop() -> None:
    raise Stop


@pytest.fixture(scope="module")
def undisturbed(
    make_federation: Any, one_machine: Any, tmp_path_factory: pytest.TempPathFactory
) -> Result:
    """The same run on one machine, where all sites are waited for."""
    federation = make_federation(tmp_path_factory.mktemp("undisturbed"))
    federation.write()
    return run_config(one_machine(federation.folder, quorum="all"))


def same(one: Result, other: Result) -> None:
    for name in ("fragment", "metrics", "ledger", "iterations"):
        assert one.data[name] == other.data[name]


# ------------------------------------------------------------------ nothing goes wrong
def test_the_result_is_that_of_one_machine(federation: Any, undisturbed: Any) -> None:
    federation.write(federation={"quorum": "all"})
    same(federation.conduct(federation.grid()), undisturbed)
    for site in federation.sites:
        there = federation.kept(site) / "sites" / site / "prompt.json"
        here = undisturbed.directory / "sites" / site / "prompt.json"
        assert there.read_bytes() == here.read_bytes()


def test_the_coordinator_knows_of_how_many_test_examples_a_part_was_tested(
    federation: Any,
) -> None:
    """Sites whose budget does not cover all: the coordinator has neither their data nor budgets."""
    federation.write(calls=40)
    data = federation.conduct(federation.grid()).data
    for name, site in data["sites"].items():
        assert site["test_examples"] == 6
        assert 1 <= site["metrics"]["test"]["tuned"]["n"] < 6
        assert any(text.startswith(f"site {name}: of 6 test ex") for text in data["warnings"])
    assert data["test_examples"] == 18


def test_with_privacy_scores_and_counts_are_at_the_sites_alone(federation: Any) -> None:
    federation.write(
        method={"iterations": 2, "local_steps": 3},
        federation={"quorum": "all", "privacy": {"epsilon": 4.0}},
    )
    data = federation.conduct(federation.grid()).data
    assert not any(data["metrics"]["test"].values())
    assert {data["ledger"][name] for name in ("calls", "tokens_in", "tokens_out")} == {0}
    assert "(4, 1e-05)-differentially private" in data["warnings"][0]
    for step in federation.events("step"):
        assert (step["loss"], step["entropy_q"], step["validation"]) == ({}, {}, {})
    for site in federation.sites:
        kept = federation.kept(site)
        scores = json.loads((kept / "result.json").read_text("utf-8"))["metrics"]["test"]
        assert {score["n"] for score in scores.values()} == {6}
        counted = json.loads((kept / "sites" / site / "privacy.json").read_text("utf-8"))
        assert counted == {"noisy_reports": 3}


def test_a_second_run_starts_anew_and_leaves_the_first_alone(federation: Any) -> None:
    federation.write(federation={"quorum": "all"})
    grid = federation.grid()
    first = federation.conduct(grid)
    state = (federation.kept("meals") / "sites" / "meals" / "state").read_bytes()
    federation.write(federation={"quorum": "all"}, run={"dir": "second"})
    second = federation.conduct(grid)
    assert second.data == first.data
    runs = sorted((federation.folder / "meals" / "state" / "runs").iterdir())
    kept = [(run / "sites" / "meals" / "state").read_bytes() for run in runs]
    assert kept == [state, state]


def test_a_site_may_lack_a_class_that_others_may_have(federation: Any) -> None:
    def positive(part: str, rows: list[dict[str, str]]) -> list[dict[str, str]]:
        return [row for row in rows if part == "test" or row["label"] == "positive"]

    federation.write(change=positive, method={"iterations": 2, **QUIET})
    result = federation.conduct(federation.grid())
    assert result.data["metrics"]["test"]["tuned"]["n"] > 0
    own = load_site_file(federation.folder / "meals" / "site.toml")
    shared = own.shared()
    warnings = check_run(own.private(shared, federation.folder / "meals"), shared).warnings
    assert any("meals (no 'negative')" in warning for warning in warnings)


def test_a_hundred_sites(federation: Any) -> None:
    names = ("meals", "movies", "phones")
    federation.sites = tuple(f"site{number:03}" for number in range(100))
    federation.write(
        source=lambda site: names[int(site[4:]) % 3],
        change=lambda part, rows: rows if part == "train" else rows[:2],
        method={"mode": "fragment", "iterations": 2, "draws": 2, "batch_size": 1, **QUIET},
        federation={"quorum": 60},
    )
    result = federation.conduct(federation.grid())
    assert result.data["iterations"] == 2
    assert len(result.data["sites"]) == 100
    assert not any(site["gone"] for site in result.data["sites"].values())


# ------------------------------------------------------------------ slow sites
@pytest.mark.parametrize(("staleness", "most"), [(3, 3), (100, 100)])
def test_a_slow_site_is_waited_for_only_as_the_staleness_bound_says(
    federation: Any, staleness: int, most: int
) -> None:
    federation.write(
        method={"iterations": 12, **QUIET},
        federation={"quorum": 2, "staleness": staleness},
        calls=500,
    )
    federation.conduct(federation.grid(seconds={"meals": 1.0, "movies": 1.0, "phones": 10.0}))
    steps = federation.events("step")
    assert len(steps) == 12
    behind = [step["staleness"]["phones"] for step in steps]
    active = [len(step["active"]) for step in steps]
    assert max(behind) <= most
    assert min(active) == 2, "the others go on without it"
    joined_in = sum("phones" in step["active"] for step in steps)
    assert joined_in >= 3 if staleness == 3 else joined_in <= 4


def test_a_late_answer_brings_a_site_back(federation: Any) -> None:
    federation.write(
        method={"iterations": 40, **QUIET},
        federation={"quorum": 2, "lease": 10.0},
        flower={"ttl": 30.0},
        calls=500,
    )
    grid = federation.grid(seconds={"meals": 1.0, "movies": 1.0})
    slow = federation.host("phones").answer
    delays = iter([0.0, 25.0])

    async def once_late(frame: bytes) -> bytes:
        await asyncio.sleep(next(delays, 0.0))
        return await slow(frame)

    grid.connect(3, once_late)
    result = federation.conduct(grid)
    assert [event["site"] for event in federation.events("gone")] == ["phones"]
    assert [event["site"] for event in federation.events("back")] == ["phones"]
    assert not result.data["sites"]["phones"]["gone"]


def test_a_message_that_outlives_its_ttl_is_no_answer(federation: Any) -> None:
    federation.write(
        method={"iterations": 3, **QUIET}, federation={"quorum": 2}, flower={"ttl": 30.0}
    )
    grid = federation.grid()
    work = federation.host("phones").answer
    greeted: list[bytes] = []

    async def only_greets(frame: bytes) -> bytes:
        greeted.append(frame)
        if len(greeted) > 1:
            await asyncio.sleep(FOREVER)
        return await work(frame)

    grid.connect(3, only_greets)
    result = federation.conduct(grid)
    assert {event["why"] for event in federation.events("gone")} == {"too late"}
    assert result.data["sites"]["phones"]["gone"]
    assert not result.data["sites"]["meals"]["gone"]


# ------------------------------------------------------------------ missing sites
def test_a_site_that_never_comes_is_waited_for_a_lease_long(federation: Any) -> None:
    federation.write(method={"iterations": 3}, federation={"quorum": 2, "lease": 600.0})
    grid = federation.grid()
    grid.disconnect(3)
    result = federation.conduct(grid)
    (gone,) = federation.events("gone")
    assert gone["site"] == "phones"
    assert 600.0 <= gone["elapsed"] < 601.0
    assert result.data["sites"]["phones"]["gone"]
    assert result.data["metrics"]["test"]["tuned"]["n"] == 12


@pytest.mark.parametrize("silently", [True, False])
def test_a_site_that_is_started_again_goes_on_where_it_was(
    federation: Any, undisturbed: Any, silently: bool
) -> None:
    """It had saved its answer: asked again for the same piece of work, it does not do it again."""
    federation.write(federation={"quorum": "all"})
    grid = federation.grid()
    work = federation.host("phones").answer
    seen = 0

    async def swallows_one(frame: bytes) -> bytes:
        nonlocal seen
        seen += 1
        answer = await work(frame)
        if seen == 4:
            grid.connect(8, federation.host("phones").answer)
            grid.disconnect(3, silently=silently)
            await asyncio.sleep(FOREVER)
        return answer

    grid.connect(3, swallows_one)
    result = federation.conduct(grid)
    assert not result.data["sites"]["phones"]["gone"]
    if silently:
        same(result, undisturbed)
    else:
        assert [event["why"] for event in federation.events("gone")] == ["node unavailable"]
        assert [event["site"] for event in federation.events("joined")].count("phones") == 2


@pytest.mark.parametrize("number", [1, 5, 9])
def test_a_coordinator_that_was_stopped_goes_on(
    federation: Any, undisturbed: Any, number: int
) -> None:
    federation.write(federation={"quorum": "all"})
    with pytest.raises(Stop):
        federation.conduct(federation.grid(), observers=(at_step(number, stop),))
    federation.opened.close()
    result = federation.conduct(federation.grid())
    same(result, undisturbed)
    steps = [event["iteration"] for event in federation.events("step")]
    assert steps == list(range(1, len(steps) + 1))


# ------------------------------------------------------------------ sites that fail
def test_of_an_error_at_a_site_its_class_alone_is_heard(
    federation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation.write(method={"iterations": 6}, federation={"quorum": 2})
    save, calls = RunSite.save, 0

    def fails_once(site: RunSite) -> None:
        nonlocal calls
        calls += site.worker.site == "phones"
        if site.worker.site == "phones" and calls == 2:
            raise LookupError("zyxsecret: the patient in room 7")
        save(site)

    monkeypatch.setattr(RunSite, "save", fails_once)
    frames: list[bytes] = []
    seconds = dict.fromkeys(federation.sites, 5.0)
    grid = federation.grid(lambda node, way, frame: frames.append(frame), seconds)
    result = federation.conduct(grid)
    (gone,) = federation.events("gone")
    assert (gone["site"], gone["why"]) == ("phones", "LookupError")
    assert not result.data["sites"]["phones"]["gone"], "it came back"
    written = [f.read_bytes() for f in result.directory.rglob("*") if f.is_file()]
    assert not [data for data in (*frames, *written) if b"zyxsecret" in data]


def test_a_run_whose_sites_all_fail_ends_with_their_error(
    federation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    federation.write()

    def fails(site: RunSite) -> None:
        raise PermissionError("the disk is full of zyxsecrets")

    monkeypatch.setattr(RunSite, "save", fails)
    with pytest.raises(SiteError, match="PermissionError; the site's own log says more"):
        federation.conduct(federation.grid())


# ------------------------------------------------------------------ sites that do not belong
def test_a_site_whose_copy_of_the_file_differs_is_refused(federation: Any) -> None:
    federation.write(method={"iterations": 3, **QUIET}, federation={"quorum": 2})
    copy = federation.folder / "phones" / "shared.toml"
    copy.write_text(copy.read_text().replace("How does", "How on earth does"))
    result = federation.conduct(federation.grid())
    refused = federation.events("refused")
    assert {event["site"] for event in refused} == {"phones"}
    assert "give all the same file" in refused[0]["why"]
    assert result.data["sites"]["phones"]["gone"]


def test_a_name_belongs_to_the_node_that_has_it(federation: Any) -> None:
    federation.write(method={"iterations": 3, **QUIET}, federation={"quorum": "all"})
    grid = federation.grid()
    grid.connect(9, federation.twin("meals").answer)
    result = federation.conduct(grid)
    (refused,) = {(event["site"], event["why"]) for event in federation.events("refused")}
    assert refused == ("node 9", "site meals: it is connected already, as another node")
    assert len(result.data["sites"]) == 3


def test_a_name_is_proven_by_the_key_that_is_registered_for_it(federation: Any) -> None:
    """Node 9 would be meals before meals is there, and node 3 another site than its key says."""
    federation.write(method={"iterations": 3, **QUIET}, federation={"lease": 20.0})
    home = federation.config.federation.flower.home
    home.mkdir(parents=True, exist_ok=True)
    nodes = {"meals": 1, "movies": 2, "phones": 3}
    (home / "sites.json").write_text(json.dumps(nodes))
    grid = LoopbackGrid()
    meals, movies = federation.host("meals").answer, federation.host("movies").answer
    for node, handler in ((9, meals), (3, movies), (2, movies), (1, meals)):
        grid.connect(node, handler)
    result = federation.conduct(grid)
    refused = {(event["site"], event["why"]) for event in federation.events("refused")}
    assert refused == {
        ("node 9", "site meals: this is not the node with the key of that site"),
        ("node 3", "site movies: this is not the node with the key of that site"),
    }
    assert not result.data["sites"]["meals"]["gone"]
    assert not result.data["sites"]["movies"]["gone"]
    assert result.data["sites"]["phones"]["gone"]


def test_a_node_that_talks_nonsense_is_left_alone(federation: Any) -> None:
    federation.write(method={"iterations": 3, **QUIET}, federation={"quorum": "all"})
    grid = federation.grid()

    async def nonsense(frame: bytes) -> bytes:
        return b"\x00" * 40

    grid.connect(9, nonsense)
    result = federation.conduct(grid)
    assert {event["site"] for event in federation.events("refused")} == {"node 9"}
    assert len(result.data["sites"]) == 3


def test_nobody_there_at_all(federation: Any) -> None:
    federation.write()
    grid = federation.grid()
    for node in (1, 2, 3):
        grid.disconnect(node)
    with pytest.raises(AsyndbtError, match="all sites are gone"):
        federation.conduct(grid)


@pytest.mark.parametrize("names", [("state",), ("state", "state.before")])
def test_a_site_with_a_damaged_state_takes_no_further_part(
    federation: Any, names: tuple[str, ...]
) -> None:
    federation.write(federation={"quorum": "all"})
    federation.conduct(federation.grid())
    folder = federation.kept("meals") / "sites" / "meals"
    federation.opened.close()
    for name in names:
        (folder / name).write_bytes(b"")
    own = load_site_file(federation.folder / "meals" / "site.toml")
    shared = own.shared()
    private = own.private(shared, federation.folder / "meals")
    with pytest.raises(RunDirectoryError, match="a state of the site is damaged"):
        open_site(shared, private, federation.kept("meals"))


def test_no_two_processes_take_part_for_one_site(federation: Any) -> None:
    """Each would count its own calls, and its own reports where these are private."""
    federation.write()
    own = load_site_file(federation.folder / "meals" / "site.toml")
    shared, folder = own.shared(), federation.folder / "meals" / "state" / "runs" / "1"
    private = own.private(shared, federation.folder / "meals")
    first = open_site(shared, private, folder)
    with pytest.raises(RunDirectoryError, match="is in use: another process"):
        open_site(shared, private, folder)
    asyncio.run(first.close())
    asyncio.run(open_site(shared, private, folder).close())
