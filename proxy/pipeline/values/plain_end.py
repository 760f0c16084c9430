"""What the ends of plain requests have in common, from one to the next of a plan."""

from typing import Any

from proxy.pipeline.values.route import Target
from proxy.providers.provider import ProviderRow


class PlainEnd:
    """The columns of RequestEnd from finish_reason on, and what has to be the same again for them to hold.

    target None: nothing is kept yet. The others are what the provider said, as it said it, but for status and streamed.
    columns: of an answer that one target gave at once, that nothing is odd about, and whose cost the provider told.
    """

    __slots__ = (
        "columns",
        "finish_reason",
        "is_byok",
        "model",
        "provider",
        "served_by",
        "status",
        "streamed",
        "target",
    )

    def __init__(self) -> None:
        self.target: Target | None = None
        self.provider: ProviderRow | None = None
        self.columns: tuple[Any, ...] = ()
        self.status = 0
        self.streamed = False
        self.finish_reason: str | None = None
        self.model: str | None = None
        self.served_by: str | None = None
        self.is_byok: int | None = None
