"""A place in a provider's line is free again, whatever ended the wait for it."""

from types import SimpleNamespace
from typing import Any

import pytest

from proxy.core.errors import OwnError
from proxy.pipeline.upstream.concurrency import ConcurrencyLimit
from proxy.pipeline.upstream.hops import Hops


def _stopped(_context: object) -> None:
    raise OwnError(503, "stopped", "Everything is stopped.")


async def test_a_stop_made_on_the_way_to_the_line_frees_the_place() -> None:
    line = ConcurrencyLimit(1, 5)
    hops: Any = Hops.__new__(Hops)  # on its way: the stop comes between its look at the stops and the line
    hops._services = SimpleNamespace(
        stops=SimpleNamespace(active=True, check=_stopped), clock=SimpleNamespace(monotonic_s=lambda: 0.0)
    )
    hops._context, hops._line = SimpleNamespace(gone=False, started_s=0.0), None
    hops.route, hops._passes = SimpleNamespace(deadline_s=9.0), None
    hops.place = SimpleNamespace(health=SimpleNamespace(line=line))
    attempt = SimpleNamespace(
        provider=SimpleNamespace(queue_timeout_s=1.0), result=SimpleNamespace(error=None), passes=None
    )
    hops.attempts = [attempt]
    with pytest.raises(OwnError):
        await hops.stand_in_line(attempt)
    assert line.running == 1
    hops.leave()
    assert line.running == 0
