"""Servers known by their address to report an answer's cost, and where.

Sources: the API references of these services.
"""

from typing import Final
from urllib.parse import urlsplit

_FIELDS: Final = {
    "openrouter.ai": "usage.cost",
    "ai-gateway.vercel.sh": "usage.cost",
    "router.requesty.ai": "usage.cost",
    "api.perplexity.ai": "usage.cost.total_cost",
    "api.x.ai": "usage.cost_in_usd_ticks",
    "api.deepinfra.com": "usage.estimated_cost",
}


def told_cost_field(base_url: str) -> str | None:
    """Return the field of the answers of this server that tells the cost; None where none is known."""
    host = (urlsplit(base_url).hostname or "").removeprefix("www.")
    for known, field in _FIELDS.items():
        if host == known or host.endswith(f".{known}"):
            return field
    return None
