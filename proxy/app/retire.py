"""Close the connections of providers that are no longer configured, once nobody uses them."""

import asyncio
from collections.abc import Iterable, Mapping

from proxy.providers.provider import ProviderRow


class RetiredProviders:
    """Rows that a newer configuration replaced; requests that began with one may still use its connections."""

    def __init__(self) -> None:
        self._rows: list[ProviderRow] = []
        self._closing: set[asyncio.Task[None]] = set()

    def add(self, rows: Iterable[ProviderRow]) -> None:
        """Close the connections of rows when the last request that can have begun with them has ended."""
        loop = asyncio.get_running_loop()
        for row in rows:
            self._rows.append(row)
            loop.call_later(row.deadlines.total_s, self._close_now, row)

    def _close_now(self, row: ProviderRow) -> None:
        self._rows.remove(row)
        task = asyncio.ensure_future(row.transport.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close the connections of all rows now."""
        await close_all(self._rows)


def is_kept(row: ProviderRow, others: Mapping[str, ProviderRow]) -> bool:
    """Return whether the row's connections are those of the row of the same name among others."""
    other = others.get(row.name)
    return other is not None and other.transport is row.transport


async def close_all(rows: Iterable[ProviderRow]) -> None:
    """Close the connections of rows."""
    for row in rows:
        await row.transport.close()
