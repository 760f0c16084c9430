"""What the provider's records say of calls of which no row knows enough: who made them, and who bills a part of them.

A call that no row names may be another program's, and of a call whose cost nobody told somebody else may bill a part.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from proxy.policy.reconciliation.day_comparison import BilledCall, Origin
from proxy.providers.account.source import AccountError, AccountSource
from proxy.providers.key import Key

_AT_ONCE: Final = 4
_ASKED_MAX: Final = 5_000  # of one look; of more the next one asks
_KEPT_MAX: Final = 20_000
_PROXY: Final = "tollkeeper"  # how the proxy names itself to providers


@dataclass(slots=True)
class CallOrigins:
    """Asks for records, and remembers what they said: they do not change."""

    known: dict[str, BilledCall] = field(default_factory=dict)

    async def told(
        self, source: AccountSource, calls: Iterable[BilledCall], keys: Mapping[str, Key]
    ) -> dict[str, BilledCall]:
        """Return calls with what their records say, by generation id.

        They are as they were where nobody says.

        keys: those that are in use, by hash: only with the key of a call its record can be had.
        """
        slots = asyncio.Semaphore(_AT_ONCE)
        found = {call.generation_id: call for call in calls}
        unknown = [call for call in found.values() if call.generation_id not in self.known and call.key_hash in keys]

        async def ask(call: BilledCall) -> None:
            async with slots:
                told = await _told(source, call, keys[call.key_hash])
            if told is not None:
                self.known[call.generation_id] = told

        await asyncio.gather(*(ask(call) for call in unknown[:_ASKED_MAX]))
        for id_, call in found.items():
            known = self.known.get(id_)
            if known is not None:
                found[id_] = call._replace(**_record_of(known))
        while len(self.known) > _KEPT_MAX:
            self.known.pop(next(iter(self.known)))
        return found


async def _told(source: AccountSource, call: BilledCall, key: Key) -> BilledCall | None:
    """Return a call as its record tells of it; None where there is none, or none that can be had now."""
    try:
        record = await source.generation(call.generation_id, key)
    except AccountError:
        return None
    if record is None:
        return None
    is_ours = (record.user_agent or "").casefold().startswith(_PROXY)
    origin: Origin = "proxy" if is_ours else "other"
    return call._replace(
        origin=origin,
        model=record.model or "",
        session=record.session_id or "",
        upstream_pusd=record.upstream_cost_pusd or 0,
    )


def _record_of(call: BilledCall) -> dict[str, Any]:
    """Return what the record of a call said of it; what it costs is the bill's to say."""
    return {name: getattr(call, name) for name in ("origin", "model", "session", "upstream_pusd")}
