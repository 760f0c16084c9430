"""What the provider's records say of calls of which no row knows enough: who made them, and who bills a part of them.

A call that no row names may be another program's, and of a call whose cost nobody told somebody else may bill a part.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final

from msgspec import Struct, field

from proxy.policy.reconciliation.day_comparison import BilledCall, Origin
from proxy.providers.account.source import AccountError, AccountSource
from proxy.providers.key import Key

_AT_ONCE: Final = 4
_ASKED_MAX: Final = 5_000  # of one look; of more the next one asks
_KEPT_MAX: Final = 20_000
_STRETCH: Final = 500  # calls that are gone through at once: a tenth of a millisecond
_PROXY: Final = "tollkeeper"  # how the proxy names itself to providers


class CallOrigins(Struct):
    """Asks for records, and remembers what they said: they do not change."""

    known: dict[str, BilledCall] = field(default_factory=dict)

    async def told(
        self, source: AccountSource, calls: Sequence[BilledCall], keys: Mapping[str, Key]
    ) -> list[BilledCall]:
        """Return those of the calls whose records say something, with what they say.

        keys: those that are in use, by hash: only with the key of a call its record can be had.
        """
        unknown = (call for call in calls if call.generation_id not in self.known and call.key_hash in keys)
        asked = islice(unknown, _ASKED_MAX)

        async def ask() -> None:
            for call in asked:
                told = await _told(source, call, keys[call.key_hash])
                if told is not None:
                    self.known[call.generation_id] = told

        await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
        found: list[BilledCall] = []
        for at in range(0, len(calls), _STRETCH):
            for call in calls[at : at + _STRETCH]:
                known = self.known.get(call.generation_id)
                if known is not None:
                    found.append(call._replace(**_record_of(known)))
            await asyncio.sleep(0)  # there may be a hundred thousand, where other programs use the key
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
