"""What the handlers are given beside the call."""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from proxy.pipeline.parts import Parts
from proxy.policy.wrong_tokens import WrongTokens
from proxy.web.shelf import Shelf


class Change(Protocol):
    """Run a change in the ledger's file; when it returns, tokens and users in force are those on disk."""

    def __call__(self, call: Callable[[sqlite3.Connection], Any]) -> Awaitable[Any]: ...


@dataclass(slots=True)
class State:
    parts: Parts
    change: Change
    reload: Callable[[], Awaitable[str | None]]  # gives the problem, or None where the file is in force now
    config_problem: Callable[[], str | None]
    clock_problem: Callable[[], str | None]
    pending: Callable[[], int]
    jobs: Callable[[], Mapping[str, str]]  # background jobs that do not run now, and why
    ownerless: Callable[[], int]  # holds without a running request, at the last look
    shelf: Shelf = field(default_factory=Shelf)
    wrong_tokens: WrongTokens = field(default_factory=WrongTokens)  # of the operator
