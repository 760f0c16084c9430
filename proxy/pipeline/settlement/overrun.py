"""Report what breaks the assumption behind limits: a provider that bills more than its worst case."""

import logging

from proxy.core.money import pusd_to_usd
from proxy.pipeline.counters import Counters
from proxy.storage.rows import id_text

log = logging.getLogger("tollkeeper.record")


def report_overrun(
    counters: Counters, request_id: int, user: str, model: str | None, cost_pusd: int, reserved_pusd: int
) -> None:
    """Log a request that cost more than was set aside, and count it; it is booked in full."""
    counters.over_requests += 1
    counters.over_pusd += cost_pusd - reserved_pusd
    log.warning(
        "request.over_reservation",
        extra={
            "request_id": id_text(request_id),
            "user": user,
            "model": model,
            "cost_usd": pusd_to_usd(cost_pusd),
            "reserved_usd": pusd_to_usd(reserved_pusd),
        },
    )
