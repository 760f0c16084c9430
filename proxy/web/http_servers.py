"""What answers on which socket. Each server is loaded when its first connection comes: see on_demand_server.py."""

import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from proxy.core.clock import Clock
from proxy.core.paced_import import paced_imports
from proxy.storage.rows import RequestIds
from proxy.web.deps import Deps
from proxy.web.server.on_demand_server import OnDemandServer

if TYPE_CHECKING:
    from proxy.web.server.aiohttp_server import UserServer
    from proxy.web.server.serve_one import Check, Handler

_Plan = tuple["Handler", "Check"]


class HttpServers:
    """Makes the servers of a proxy."""

    def __init__(self, deps: Deps, ids: RequestIds, clock: Clock, head_timeout_s: float) -> None:
        self._deps, self._ids, self._clock = deps, ids, clock
        self._head_timeout_s = head_timeout_s
        self._loading = threading.Lock()

    def for_users(self) -> OnDemandServer:
        return self._on_demand(_users)

    def for_operators(self) -> OnDemandServer:
        """Return the server of admin.listen."""
        return self._on_demand(_operators)

    def for_socket(self) -> OnDemandServer:
        """Return the server of the socket beside the ledger."""
        return self._on_demand(_socket)

    def _on_demand(self, plan: Callable[[], _Plan]) -> OnDemandServer:
        return OnDemandServer(partial(self._loaded, plan))

    def _loaded(self, plan: Callable[[], _Plan]) -> "Callable[[], UserServer]":
        """Import what a server needs, in a thread; return what makes it."""
        with paced_imports(lambda: self._ids.newest, self._loading):
            from proxy.web.server.aiohttp_server import make_server  # noqa: PLC0415 - with the routes 20 MB and 0.3 s

            answer, check = plan()
        return partial(
            make_server,
            self._deps,
            answer,
            self._ids,
            self._clock,
            check=check,
            head_timeout_s=self._head_timeout_s,
        )


def _users() -> _Plan:
    from proxy.web.routes import answer  # noqa: PLC0415 - loaded with its server
    from proxy.web.server.framing_check import check_request  # noqa: PLC0415

    return answer, check_request


def _operators() -> _Plan:
    from proxy.web.routes import answer_operator  # noqa: PLC0415 - loaded with its server
    from proxy.web.server.framing_check import check_operator_request  # noqa: PLC0415

    return answer_operator, check_operator_request


def _socket() -> _Plan:
    from proxy.web.routes import answer_socket  # noqa: PLC0415 - loaded with its server
    from proxy.web.server.framing_check import check_framing  # noqa: PLC0415

    return answer_socket, check_framing
