"""Answer a request to the operator's API that a command makes in its own process, where no proxy runs."""

from functools import partial

from proxy.pipeline.context import RequestContext
from proxy.pipeline.downstream import Reply
from proxy.pipeline.snapshot import Snapshot
from proxy.storage.audit import Actor
from proxy.web.admin.route import PREFIX, Operator, Role
from proxy.web.admin.routes import admin
from proxy.web.deps import Deps
from proxy.web.server.collecting_downstream import CollectingDownstream
from proxy.web.server.serve_one import serve_one


async def answer_in_process(deps: Deps, user: str, method: str, path: str, body: bytes) -> tuple[int, bytes]:
    """Return status and body. user: who runs the command; path: with /admin/v1/ and the query."""
    services = deps.services
    now_ms = services.clock.now_ms()
    downstream = CollectingDownstream(path, {"Content-Type": "application/json"}, body)
    context = RequestContext(downstream, services.ledger.ids.next(now_ms), services.clock, now_ms)
    operator = Operator(Actor(user, "command line"), Role.ADMIN)
    await serve_one(context, deps, _let_in, partial(_answer, operator, method, path.removeprefix(PREFIX)))
    return downstream.status, bytes(downstream.collected)


def _let_in(_context: RequestContext, _snapshot: Snapshot) -> None:
    """Let the request in: it came over no network."""


async def _answer(operator: Operator, method: str, path: str, context: RequestContext, deps: Deps) -> Reply:
    return await admin(context, deps, operator, method, path)
