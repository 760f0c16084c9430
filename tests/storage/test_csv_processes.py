"""An export that several processes share is the same to the byte, and leaves none of them behind."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from proxy.core.errors import LedgerError
from proxy.core.pacer import Pacer
from proxy.core.process_priority import PromptThread
from proxy.storage.adjustment import Correction
from proxy.storage.export import Selection
from proxy.storage.sqlite.adjustments import correct
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.csv_lines import IdSpan, csv_chunks
from proxy.storage.sqlite.csv_processes import CsvPart, shared_csv_chunks
from tests.cli.command_line import ROOT
from tests.storage.made_rows import START_MS, fill, ledger

COUNT = 1500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "tollkeeper.db"
    with ledger(path, zone="Europe/Stockholm", currency="SEK", rate="10.4217") as connection:
        rows = fill(connection, COUNT)
        for row in rows[5::400]:
            correct(connection, [Correction(row["id"], 70_000_000, "late", "generation")], 1)
    return path


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """Give every process that is started."""
    found: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            found.append(self)

    monkeypatch.setattr("proxy.storage.sqlite.csv_processes.subprocess.Popen", Noted)
    return found


@pytest.mark.parametrize(
    "selection",
    [Selection(), Selection(("tags", "cost_local", "user"), users=("anna", "=cmd()"), since_ms=START_MS + 40_000)],
)
def test_it_is_the_same_file(
    made: Path,
    started: list[subprocess.Popen[bytes]],
    selection: Selection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "struct.py").write_text("raise SystemExit('imported from the folder')")
    monkeypatch.chdir(tmp_path)
    with closing(open_reader(made)) as reader:
        alone = list(csv_chunks(reader, selection))
        for alone_s in (60.0, 0.0):
            shared = list(shared_csv_chunks(reader, made, selection, 2, alone_s, 90))
            assert b"".join(one.data for one in shared) == b"".join(one.data for one in alone)
            assert sum(one.rows for one in shared) == sum(one.rows for one in alone) > 100
            assert [one.done for one in shared] == sorted(one.done for one in shared)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)


class _BesideOthers(Pacer):
    """Stands still for so many looks, as it were, and is alone then; is no thread that runs."""

    def __init__(self, looks: int) -> None:
        super().__init__(PromptThread())
        self.looks = looks

    @property
    def is_pausing(self) -> bool:
        self.looks -= 1
        return self.looks >= 0


def test_beside_others_it_stays_alone(
    made: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pacer = _BesideOthers(20)
    monkeypatch.setattr(Pacer, "of_this_process", staticmethod(lambda: pacer))
    with closing(open_reader(made)) as reader:
        chunks, seen = shared_csv_chunks(reader, made, Selection(("user",)), 2, 0.0, 90), list[bytes]()
        while pacer.looks > 0:
            seen.append(next(chunks).data)
            assert not started
        seen += [chunk.data for chunk in chunks]
        assert len(started) == 2
        assert b"".join(seen) == b"".join(chunk.data for chunk in csv_chunks(reader, Selection(("user",))))


def test_who_stops_reading_leaves_no_process(made: Path, started: list[subprocess.Popen[bytes]]) -> None:
    with closing(open_reader(made)) as reader:
        chunks = shared_csv_chunks(reader, made, Selection(("user",)), 2, 0.0, 90)
        while not started:
            next(chunks)
        chunks.close()  # type: ignore[attr-defined]
    assert [process.poll() is None for process in started] == [False, False]


def test_a_process_that_fails_fails_the_export(made: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with closing(open_reader(made)) as reader, pytest.raises(LedgerError, match=r"ended with 4\. tollkeeper check"):
        list(shared_csv_chunks(reader, tmp_path / "gone.db", Selection(), 2, 0.0, 90))
    assert "there is no ledger" in capfd.readouterr().err


def test_a_process_that_was_killed_is_not_the_ledgers_fault(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that is short of memory kills so, without a word."""

    class Killed(subprocess.Popen[bytes]):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self.kill()

    monkeypatch.setattr("proxy.storage.sqlite.csv_processes.subprocess.Popen", Killed)
    with closing(open_reader(made)) as reader, pytest.raises(LedgerError, match="was ended by signal 9") as raised:
        list(shared_csv_chunks(reader, made, Selection(), 2, 0.0, 90))
    assert "cannot be read" not in str(raised.value)


def test_what_a_process_is_told() -> None:
    selection = Selection(("user",), 5, None, ("bö,",), ("m*",))
    told = CsvPart(Path("/a b/c.db"), selection, [IdSpan(1, 2), IdSpan(2, 1 << 62)])
    assert CsvPart.read(told.write()) == told


_EXPORT = """
import os, subprocess, sys
from pathlib import Path
from proxy.core.pacer import Pacer
from proxy.core.process_priority import put_back
from proxy.storage.export import Selection
from proxy.storage.sqlite.connect import open_reader
from proxy.storage.sqlite.csv_processes import shared_csv_chunks

if sys.argv[2] == "back":
    prompt = put_back()
    pacer = Pacer(prompt)
    pacer.rest()  # or it stays alone beside other tests
    prompt.call(pacer.start)
whole, found = subprocess.Popen, []
def noted(*given, **named):
    process = whole(*given, **named)
    found.append(process)
    return process
subprocess.Popen = noted
def is_back(pid):
    return os.sched_getscheduler(pid) == os.SCHED_IDLE or os.getpriority(os.PRIO_PROCESS, pid) >= 10

path, backs = Path(sys.argv[1]), set()
for chunk in shared_csv_chunks(open_reader(path), path, Selection(), 2, 0.0, 90):
    backs.update(is_back(one.pid) for one in found)  # both have ended at the last one, and are waited for later
print(True in backs, len(found))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has the policy")
@pytest.mark.parametrize("is_back", [True, False])
def test_they_give_way_where_the_export_does(made: Path, *, is_back: bool) -> None:
    command = [sys.executable, "-c", _EXPORT, str(made), "back" if is_back else ""]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [str(is_back), "2"]
