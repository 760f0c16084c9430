"""Power cuts at every write, in the short form; and proof that the search sees what it should."""

from random import Random

import pytest

from tests.support.sampling import count, seed

from .disk import Disk
from .power_cut import run_power_cuts
from .recorder import Acknowledged, Create, Delete, Note, Recorder, Sync, Truncate, Write

STATES = count(3000, 0.3)


def _quiet(_states: int, _text: str) -> None:
    pass


def test_nothing_acknowledged_is_lost() -> None:
    told: list[int] = []
    report = run_power_cuts(seed(7), STATES, lambda states, _text: told.append(states), a_point=count(3, 0.2))
    assert report.texts == []
    assert report.failures == 0
    assert report.states == told[-1] == STATES
    assert report.lives > 1  # recoveries were cut as well
    assert report.commits > 40


@pytest.mark.parametrize(("synchronous", "kind"), [("NORMAL", "lost"), ("OFF", "unopened")])
def test_weaker_settings_are_found_out(synchronous: str, kind: str) -> None:
    """The same search must find acknowledged rows gone where SQLite does not sync each commit."""
    report = run_power_cuts(
        7, 900, _quiet, synchronous=synchronous, enough=lambda report: getattr(report, kind) and report.texts
    )
    assert getattr(report, kind) > 0
    assert len(report.texts) > 0


def test_an_acknowledgement_before_the_sync_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit that is told too early is the fault that all of this is about."""

    def early(self: Recorder, commit: int) -> None:
        last = max(n for n, note in enumerate(self.notes) if isinstance(note, Write))
        self.notes.insert(last, Acknowledged(commit))

    monkeypatch.setattr(Recorder, "acknowledge", early)
    assert run_power_cuts(7, 900, _quiet, enough=lambda report: report.lost).lost > 0


def _states(notes: list[Note], files: dict[str, bytes], draws: int = 400) -> set[tuple[tuple[str, bytes], ...]]:
    disk = Disk(files)
    for note in notes:
        disk.follow(note)
    return {tuple(sorted(disk.left_by_cut(Random(seed)).items())) for seed in range(draws)}


def test_what_was_synced_is_always_there() -> None:
    notes: list[Note] = [Write("a", 0, b"new"), Sync("a", folder=False)]
    assert _states(notes, {"a": b"old and longer"}) == {(("a", b"new and longer"),)}


def test_what_was_not_synced_may_be_there_or_not_in_any_order() -> None:
    notes: list[Note] = [Write("a", 0, b"1"), Write("a", 0, b"2"), Write("a", 2, b"3")]
    found = {state[0][1] for state in _states(notes, {"a": b"...."})}
    assert {b"....", b"1...", b"2...", b"1.3.", b"2.3.", b"..3."} <= found


def test_a_write_is_torn_at_sectors_only() -> None:
    found = {state[0][1] for state in _states([Write("a", 256, b"x" * 512)], {"a": bytes(1024)})}
    halves = {data[256:512] for data in found if data[512:768] == bytes(256)}
    assert {bytes(256), b"x" * 256} <= halves
    assert all(data[:256] == bytes(256) and data[768:] == bytes(256) for data in found)  # nothing beside the write


def test_a_file_may_be_missing_or_back_until_its_folder_is_synced() -> None:
    assert _states([Create("b"), Sync("b", folder=False)], {}) == {(), (("b", b""),)}
    assert _states([Create("b"), Sync("b", folder=True)], {}) == {(("b", b""),)}
    assert _states([Delete("a", folder=False)], {"a": b"x"}) == {(), (("a", b"x"),)}
    assert _states([Delete("a", folder=True)], {"a": b"x"}) == {()}
    assert (("a", b""),) in _states([Truncate("a", 0)], {"a": b"x"})
