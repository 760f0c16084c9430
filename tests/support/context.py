"""A request in a test of one step: the compiled steps take no other object for it."""

from types import SimpleNamespace
from typing import Any

from proxy.pipeline.context import RequestContext


def request_context(id_: int, *, started_ms: int = 0, started_s: float = 0.0, **known: Any) -> RequestContext:
    """Return the context of a request whose client is nobody; known: what steps before have found out."""
    nobody: Any = SimpleNamespace()
    clock: Any = SimpleNamespace(monotonic_s=lambda: started_s)
    context = RequestContext(nobody, id_, clock, started_ms)
    for name, value in known.items():
        setattr(context, name, value)
    return context
