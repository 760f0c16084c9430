"""Which commands give way to a proxy beside them, and how."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from proxy.__main__ import LONG, STEPS_BACK, steps_back
from proxy.cli import COMMANDS
from proxy.core.child_python import background_command, child_environ
from proxy.core.process_priority import PromptThread, is_load_full
from tests.cli.command_line import ROOT

needs_policies = pytest.mark.skipif(not hasattr(os, "sched_setscheduler"), reason="only Linux has the policy")
_TOLD = """
import os, runpy, sys
from proxy.core import process_priority
process_priority._is_full = lambda: {full}
try:
    {begin}
finally:
    print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0), file=sys.stderr)
"""
_PROGRAM = 'sys.argv = ["tollkeeper", {words}, "--help"]; runpy.run_module("proxy", run_name="__main__")'


def told(begin: str, *, full: bool = False) -> str:
    """Return what a process has in the end: whether it has the idle policy, and its niceness."""
    code = _TOLD.format(begin=begin, full=full)
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return ran.stderr.strip()


def test_the_tables_name_commands_that_there_are() -> None:
    assert {(name,) for name in LONG} <= STEPS_BACK
    for first, *rest in STEPS_BACK:
        module, name, _ = COMMANDS[first]
        command = getattr(importlib.import_module(module), name)
        for word in rest:
            assert isinstance(command, click.Group)
            assert word in command.commands, (first, word)


@pytest.mark.parametrize(
    ("line", "is_back"),
    [
        ("usage --by user", True),
        ("audit", True),
        ("audit log", True),
        ("models stats --json", True),
        ("models", False),
        ("models set gpt", False),
        ("users add bo", False),
        ("serve", False),
        ("demo", False),
        ("stop user bo", False),
        ("resume 1", False),
        ("--help", False),
        ("", False),
    ],
)
def test_who_changes_something_does_not_wait(line: str, is_back: bool) -> None:
    assert steps_back(line.split()) is is_back


@needs_policies
def test_a_report_gets_what_nobody_wants() -> None:
    assert told(_PROGRAM.format(words='"usage"')) == "True 0"


@needs_policies
@pytest.mark.parametrize(
    ("words", "niceness", "found"),
    [('"usage"', 0, "True"), ('"export"', 0, "False"), ('"usage"', 3, "None"), ('"stop"', 0, "None")],
)
def test_who_steps_back_stands_still_now_and_then(words: str, niceness: int, found: str) -> None:
    """A short command does so for others alone of whom there is a sign."""
    code = (
        f"import os, sys, runpy; os.nice({niceness}); sys.argv = ['tollkeeper', {words}, '--help']\n"
        "try: runpy.run_module('proxy', run_name='__main__')\n"
        "finally: from proxy.core.pacer import Pacer; pacer = Pacer.of_this_process();"
        " print(getattr(pacer, '_is_short', None), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr.split() == [found]


@needs_policies
def test_on_a_full_machine_it_is_nice() -> None:
    """With the idle policy it would get next to nothing there, and nobody could put it back."""
    assert told("process_priority.step_back(); process_priority.step_back()", full=True) == "False 10"


@needs_policies
def test_a_niceness_that_was_given_stays() -> None:
    assert told("os.nice(3); process_priority.step_back()") == "False 3"


@needs_policies
def test_a_stop_keeps_its_priority() -> None:
    assert told(_PROGRAM.format(words='"stop"')) == "False 0"


@needs_policies
@pytest.mark.parametrize(
    ("full", "niceness", "found"),
    [(False, 0, "True 0"), (False, 3, "True 3"), (True, 3, "False 10"), (True, 12, "False 12")],
)
def test_who_works_for_another_steps_back_whatever_it_was_given(full: bool, niceness: int, found: str) -> None:
    assert told(f"os.nice({niceness}); process_priority.put_back()", full=full) == found


@needs_policies
@pytest.mark.parametrize("full", [True, False])
def test_a_prompt_thread_keeps_what_there_was(full: bool) -> None:
    """So do threads and processes that are started in it."""
    look = "import os; print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0))"
    begin = (
        f"import subprocess; prompt = process_priority.step_back();"
        f" print(prompt.call(lambda: (os.sched_getscheduler(0) == os.SCHED_OTHER, os.nice(0))), file=sys.stderr);"
        f" prompt.call(lambda: subprocess.Popen([sys.executable, '-c', {look!r}], stdout=sys.stderr)).wait();"
        f" subprocess.Popen([sys.executable, '-c', {look!r}], stdout=sys.stderr).wait()"
    )
    own = "False 10" if full else "True 0"
    assert told(begin, full=full).splitlines() == ["(True, 0)", "False 0", own, own]


@needs_policies
@pytest.mark.parametrize("full", [True, False])
def test_the_processes_of_a_command_do_as_it_does(full: bool) -> None:
    """While they start the machine is full, of themselves."""
    put_back = (
        "import os; from proxy.core import process_priority; process_priority._is_full = lambda: True;"
        " process_priority.put_back(); print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0))"
    )
    begin = (
        "import subprocess; prompt = process_priority.step_back();"
        f" prompt.call(lambda: subprocess.Popen([sys.executable, '-c', {put_back!r}], stdout=sys.stderr)).wait()"
    )
    own = "False 10" if full else "True 0"
    assert told(begin, full=full).splitlines() == [own, own]


def test_a_prompt_thread_raises_what_was_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        PromptThread().call(lambda: 1 / 0)


@needs_policies
def test_a_module_in_the_background_gives_way(tmp_path: Path) -> None:
    (tmp_path / "looks.py").write_text(
        "import os, sys, threading\n"
        "from proxy.core.pacer import Pacer\n"
        "pacer = Pacer.of_this_process()\n"
        "policies = [os.sched_getscheduler(thread) for thread in (0, pacer.native_id)]\n"
        "print(policies == [os.SCHED_IDLE, os.SCHED_OTHER] or os.nice(0), sys.argv[1:], __name__)\n"
    )
    environ = {**child_environ(), "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    command = background_command("looks", "a", "b c")
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    assert ran.stdout in ("True ['a', 'b c'] __main__\n", "10 ['a', 'b c'] __main__\n")  # 10: the machine is full


@needs_policies
def test_next_to_nothing_is_imported_before_a_command_steps_back() -> None:
    """Each module takes its time at the priority of a request."""
    code = "import sys; known = {*sys.modules}; import proxy.__main__; print(*sorted({*sys.modules} - known))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["_queue", "proxy", "proxy.__main__", "proxy.core", "proxy.core.process_priority"]


def test_a_machine_is_full_with_more_that_runs_than_processors() -> None:
    assert is_load_full("0.20 0.18 0.12 3/80 11206\n", 2)
    assert not is_load_full("9.20 9.18 9.12 2/80 11206\n", 2)
