"""A process that is asked through pipes, and when it is given up."""

import os
import sys
from pathlib import Path

import pytest

from proxy.core import child_process
from proxy.core.child_process import ChildGoneError, ChildProcess, ProcessorLook, is_starved, read_look
from proxy.core.errors import LedgerError
from proxy.core.pacer import Pacer

_STAT = "4711 (a (b) c) {state} 1 2 3 4 5 6 7 8 9 10 {user} {system} 0 0 20 0 1 0 99"


def test_progress_is_read_behind_any_name() -> None:
    ticks = os.sysconf("SC_CLK_TCK")
    found = read_look(_STAT.format(state="R", user=3 * ticks, system=ticks), 7.0)
    assert found == ProcessorLook(7.0, 4.0, wants_processor=True)
    assert not read_look(_STAT.format(state="S", user=0, system=0), 0.0).wants_processor


def test_only_who_wants_a_processor_and_gets_none_is_starved() -> None:
    assert is_starved([ProcessorLook(n * 5.0, n * 0.04, wants_processor=True) for n in range(24)])
    assert not is_starved([ProcessorLook(n * 5.0, n * 0.06, wants_processor=True) for n in range(24)])
    assert not is_starved(
        [ProcessorLook(n * 5.0, 0.0, wants_processor=n != 7) for n in range(24)]
    )  # it waited for a disk


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells")
def test_a_process_that_gets_nothing_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_process, "_LOOK_EVERY_MS", 20)
    monkeypatch.setattr(child_process, "_STARVED_SHARE", 1e9)  # whatever it gets is too little
    process = ChildProcess("time:sleep")
    process._command = [sys.executable, "-c", "while True: pass"]
    with pytest.raises(ChildGoneError, match="left no processor"):
        process.do("anything", ())
    process.close()


def test_what_a_method_returns_or_says_comes_back() -> None:
    process = ChildProcess("proxy.storage.labels:Labels", "UTC", "EUR", "0.9")
    assert process.pid is None
    try:
        assert process.do("_asdict", ())["currency_code"] == "EUR"
        pid = process.pid
        assert process.do("index", ("0.9",)) == 2
        assert process.pid == pid
    finally:
        process.close()
    with pytest.raises(ChildGoneError, match="was ended"):
        process.do("_asdict", ())


def test_it_stands_still_for_others() -> None:
    process = ChildProcess("tests.core.test_child_process:_Threads")
    try:
        assert process.do("has_pacer", ())
    finally:
        process.close()


class _Threads:
    def has_pacer(self) -> bool:
        return Pacer.of_this_process() is not None


def test_a_ledger_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    process = ChildProcess(
        "proxy.jobs.reconciliation.day_calls:open_calls", "tests.core.test_child_process:broken", "x"
    )
    process._command[-1] = str(tmp_path)
    try:
        with pytest.raises(LedgerError, match="is damaged"):
            process.do("look", ("openrouter", {}, "own"))
    finally:
        process.close()


class _Broken:
    def ledger_day(self, _: object) -> None:
        raise LedgerError("the ledger is damaged")


def broken(_: Path) -> _Broken:
    return _Broken()
