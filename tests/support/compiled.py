"""Tests that need the pure build: scripts/test --compiled leaves them out.

What is compiled takes no stand-in for a function or a method of its own, and none of another class for an argument.
"""

from typing import Final

import pytest

from proxy.core.build import IS_COMPILED

_PATCHES = "puts a function of its own in the place of one that is compiled"
_FOLLOWS = "follows each function, and those that are compiled call each other unseen"
_STANDS_IN = "hands in an object of another class than the function names"

# Of tests/holds/test_every_step.py: the steps that only compiled code takes.
_COMPILED_STEPS = ("enter", "send", "head", "opening", "opened", "next", "relay", "settle", "end", "answered")

# The beginnings of their ids, each with the reason.
PURE_ONLY: Final = {
    **{f"tests/holds/test_every_step.py::test_nothing_stays_held[{step}]": _PATCHES for step in _COMPILED_STEPS},
    "tests/alerts/test_limit_measures.py::test_reading_many_limits_takes_turns_and_rests": _PATCHES,
    "tests/holds/test_watchers.py::test_a_hold_without_an_owner": _PATCHES,
    "tests/pipeline/test_free_loop.py::test_the_watch_works": _PATCHES,
    "tests/pipeline/test_plan.py::": _PATCHES,
    "tests/reconciliation/test_killed_sync.py::": _PATCHES,
    "tests/scripts/test_bench_stages.py::test_a_request_is_followed_code_by_code": _FOLLOWS,
    "tests/stops/test_place_in_line.py::test_a_stop_made_on_the_way_to_the_line_frees_the_place": _STANDS_IN,
    "tests/web/test_heads.py::test_on_sockets": _PATCHES,
}


def pytest_runtest_setup(item: pytest.Item) -> None:
    if IS_COMPILED:
        for beginning, reason in PURE_ONLY.items():
            if item.nodeid.startswith(beginning):
                pytest.skip(f"needs the pure build: it {reason}")
