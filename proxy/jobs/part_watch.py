"""Watch the parts that nothing restarts and that every promise depends on: the ledger's writer and the open sockets."""

import asyncio
from collections.abc import Callable, Mapping

_EVERY_S = 1.0


async def watch_parts(parts: Mapping[str, Callable[[], bool]], broken: Callable[[str], None]) -> None:
    """Run until cancelled; broken is called with the name of a part that has ended.

    parts maps a name to a function that returns whether the part is alive.
    """
    while True:
        await asyncio.sleep(_EVERY_S)
        for name, lives in parts.items():
            if not lives():
                broken(f"{name} has ended")
