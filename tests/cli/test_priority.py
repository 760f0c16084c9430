"""Which commands give way to a proxy beside them, and how."""

import importlib
import os
import subprocess
import sys

import click
import pytest

from proxy.__main__ import STEPS_BACK, steps_back
from proxy.cli import COMMANDS
from proxy.core.process_priority import is_load_full
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


def test_the_table_names_commands_that_there_are() -> None:
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
    ("words", "niceness", "found"), [('"usage"', 0, True), ('"usage"', 3, False), ('"stop"', 0, False)]
)
def test_who_steps_back_stands_still_now_and_then(words: str, niceness: int, found: bool) -> None:
    code = (
        f"import os, sys, runpy; os.nice({niceness}); sys.argv = ['tollkeeper', {words}, '--help']\n"
        "try: runpy.run_module('proxy', run_name='__main__')\n"
        "finally: from proxy.core.pacer import Pacer; print(Pacer.of_this_process() is not None, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stderr.split() == [str(found)]


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
def test_a_child_is_put_back_by_who_started_it(full: bool, niceness: int, found: str) -> None:
    """Whatever priority the proxy was given: its children have less."""
    code = "import os, sys; sys.stdin.read(1); print(os.sched_getscheduler(0) == os.SCHED_IDLE, os.nice(0))"
    begin = (
        f"os.nice({niceness}); import subprocess;"
        f" child = subprocess.Popen([sys.executable, '-c', {code!r}], stdin=subprocess.PIPE, stdout=sys.stderr);"
        " process_priority.put_back(child.pid); child.communicate(b'x'); sys.stderr = sys.stdout"
    )
    assert told(begin, full=full) == found


@needs_policies
def test_next_to_nothing_is_imported_before_a_command_steps_back() -> None:
    """Each module takes its time at the priority of a request."""
    code = "import sys; known = {*sys.modules}; import proxy.__main__; print(*sorted({*sys.modules} - known))"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["proxy", "proxy.__main__", "proxy.core", "proxy.core.process_priority"]


def test_a_machine_is_full_with_more_that_runs_than_processors() -> None:
    assert is_load_full("0.20 0.18 0.12 3/80 11206\n", 2)
    assert not is_load_full("9.20 9.18 9.12 2/80 11206\n", 2)
