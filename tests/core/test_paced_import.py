"""Imports beside requests are done in pieces; where nobody asks, at once."""

import gc
import importlib
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from proxy.core.paced_import import paced_imports

# A module that calls functions for some milliseconds, and tells whether it is watched by Python's profile function.
_MODULE = """
import sys, time
IS_PACED = sys.getprofile() is not None
def work():
    return sum(range(100))
BEGUN_S, COMPUTED_S = time.perf_counter(), time.thread_time()
for _ in range(3000):
    work()
TOOK_S, COMPUTED_S = time.perf_counter() - BEGUN_S, time.thread_time() - COMPUTED_S
"""


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Return the names of two modules that can be imported."""
    names = [f"imported_{tmp_path.name}_{each}".replace("-", "_") for each in "ab"]
    for name in names:
        (tmp_path / f"{name}.py").write_text(_MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield names
    for name in names:
        sys.modules.pop(name, None)


def imported(names: list[str], newest_request: Callable[[], int]) -> list[ModuleType]:
    """Import them in a thread of its own, as the proxy does."""

    def load() -> list[ModuleType]:
        with paced_imports(newest_request, threading.Lock()):
            return [importlib.import_module(name) for name in names]

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(load).result()


def test_beside_requests_it_stands_still_more_than_it_works(names: list[str]) -> None:
    for module in imported(names, itertools.count().__next__):
        assert module.IS_PACED
        assert module.TOOK_S > 2 * module.COMPUTED_S


def test_without_requests_it_goes_on(names: list[str]) -> None:
    assert not any(module.IS_PACED for module in imported(names, lambda: 7))


def test_after_the_last_request_it_goes_on(names: list[str]) -> None:
    """A request between the start and the first module is one; none comes after it."""
    requests = iter([1, 2])
    first, second = names

    def load() -> tuple[bool, bool]:
        with paced_imports(lambda: next(requests, 2), threading.Lock()):
            paced = importlib.import_module(first).IS_PACED
            time.sleep(0.2)  # longer than it is expected that they go on
            return paced, importlib.import_module(second).IS_PACED

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(load).result() == (True, False)


def test_other_threads_import_as_ever(names: list[str]) -> None:
    begun, over = threading.Event(), threading.Event()

    def hold() -> None:
        with paced_imports(itertools.count().__next__, threading.Lock()):
            begun.set()
            over.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert begun.wait(30)
    try:
        assert not importlib.import_module(names[0]).IS_PACED
    finally:
        over.set()
        holder.join()


@pytest.mark.parametrize("fails", [False, True])
def test_afterwards_all_is_as_before(names: list[str], fails: bool) -> None:
    before = (sys.getswitchinterval(), gc.isenabled(), sys.getprofile(), list(sys.meta_path))
    found = []

    def load() -> None:
        with paced_imports(itertools.count().__next__, threading.Lock()):
            importlib.import_module(names[0])
            found.append(gc.isenabled())
            if fails:
                importlib.import_module("no_such_module_anywhere")

    if fails:
        with pytest.raises(ModuleNotFoundError):
            load()
    else:
        load()
    assert found == [False]
    assert (sys.getswitchinterval(), gc.isenabled(), sys.getprofile(), list(sys.meta_path)) == before


def test_two_that_load_at_once_leave_nothing_behind() -> None:
    """The second waits: it would take what the first has set for what there was."""
    interval_s, loading, steps = sys.getswitchinterval(), threading.Lock(), list[str]()

    def load_second() -> None:
        with paced_imports(lambda: 7, loading):
            steps.append("second begins")
            time.sleep(0.05)  # longer than the first goes on
        steps.append("second ends")

    second = threading.Thread(target=load_second)
    with paced_imports(lambda: 7, loading):
        second.start()
        time.sleep(0.02)  # it has the time to begin, if it may
        steps.append("first ends")
    second.join()
    assert steps == ["first ends", "second begins", "second ends"]
    assert (sys.getswitchinterval(), gc.isenabled()) == (interval_s, True)
