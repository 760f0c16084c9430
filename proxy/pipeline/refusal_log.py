"""The refusals that are still to be written: hears of each at once, and holds a bounded number of them.

Of more than a second's share the newest stay one by one. Those that give way to them are counted by code, status and
network, so that a flood is a few rows that say how many there were.
"""

from collections import deque
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import Final

import orjson

from proxy.core.text import fit_text
from proxy.pipeline.values.finished import RequestRefused
from proxy.storage.refusals import NAME_CHARS_MAX, REASON_CHARS_MAX, RefusalRow
from proxy.storage.rows import id_number

SINGLE_MAX: Final = 200
"""Refusals that are kept one by one until they are written."""
GROUPS_MAX: Final = 50
"""Kinds of the others that are counted by network as well; beyond that by code and status alone."""

_OPERATOR = "/admin/"
_NOT_LET_IN = frozenset({401, 403, 421, 429})
_IPV4_NETWORK = 3  # numbers of an address that name its /24

_Whose = tuple[str | None, str | None, str | None, str | None]
_whose: Callable[[RequestRefused], _Whose] = itemgetter(
    *map(RequestRefused._fields.index, ("user", "group_name", "token_id", "model"))
)


class _Group:
    """Refusals that are counted: how many, the newest of them, and whose they are as far as all are the same's."""

    __slots__ = ("newest", "size", "whose")

    def __init__(self, event: RequestRefused) -> None:
        self.size = 1
        self.newest = event
        self.whose = _whose(event)

    def add(self, event: RequestRefused) -> None:
        self.size += 1
        self.newest = event
        whose = _whose(event)
        if whose != self.whose:
            user, group, token, model = map(_common, whose, self.whose)
            self.whose = user, group, token, model

    def row(self, network: str) -> RefusalRow:
        """Return the row that stands for all of them."""
        user, group, token, model = self.whose
        told = self.newest._replace(user=user, group_name=group, token_id=token, model=model, address=network)
        return _row(told)._replace(more=self.size - 1)


class RefusalLog:
    """A subscriber that collects refusals until somebody takes them."""

    def __init__(self) -> None:
        self._single: deque[RequestRefused] = deque()
        self._groups: dict[tuple[int, str, str], _Group] = {}  # by status, code and network

    def refused(self, event: RequestRefused) -> None:
        """Keep a refusal; where there is no room the oldest one is counted.

        Not what an operator may ask but has asked wrongly: that is nobody's request for tokens.
        """
        if event.path.startswith(_OPERATOR) and event.status not in _NOT_LET_IN:
            return
        single = self._single
        if len(single) >= SINGLE_MAX:
            self._count(single.popleft())
        single.append(event)

    def _count(self, event: RequestRefused) -> None:
        key = (event.status, event.code, network_of(event.address))
        if key not in self._groups and len(self._groups) >= GROUPS_MAX:
            key = (event.status, event.code, "")  # both are words of ours, so that these are bounded too
        known = self._groups.get(key)
        if known is None:
            self._groups[key] = _Group(event)
        else:
            known.add(event)

    def take(self) -> list[RefusalRow]:
        """Return what is to be written, oldest first, and forget it."""
        groups = [group.row(network) for (_, _, network), group in self._groups.items()]
        rows = [*groups, *map(_row, self._single)]
        self._groups.clear()
        self._single.clear()
        return sorted(rows, key=itemgetter(0))


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Return the network of an address: of IPv4 its /24; of IPv6 it is all that is known."""
    parts = address.split(".")
    return f"{'.'.join(parts[:_IPV4_NETWORK])}.0/24" if len(parts) == _IPV4_NETWORK + 1 else address


def _common(one: str | None, other: str | None) -> str | None:
    return one if one == other else None


def _row(event: RequestRefused) -> RefusalRow:
    return RefusalRow(
        id=id_number(event.request_id) or 0,
        started_ms=event.at_ms - event.duration_ms,
        user=event.user,
        group_name=event.group_name,
        token_id=event.token_id,
        address=event.address,
        endpoint=fit_text(_endpoint(event.path), NAME_CHARS_MAX),
        requested_model=_name(event.model),
        use_case=_name(event.use_case),
        session_id=_name(event.session_id),
        status=event.status,
        error=event.code,
        param=_name(event.param),
        fault=event.fault,
        reason=None if event.reason is None else fit_text(event.reason, REASON_CHARS_MAX),
        limit_json=None if event.limit is None else orjson.dumps(event.limit.as_json()).decode(),
        duration_ms=event.duration_ms,
    )


def _endpoint(path: str) -> str:
    """Return a path as requests name their endpoint: without the prefix of the version."""
    return path.removeprefix("/api").removeprefix("/v1").removeprefix("/")


def _name(text: str | None) -> str | None:
    return None if text is None else fit_text(text, NAME_CHARS_MAX)
