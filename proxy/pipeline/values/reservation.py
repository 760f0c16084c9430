"""What was set aside for one request."""

from msgspec import Struct

from proxy.core.limit_kinds import Pieces
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.plain_end import PlainEnd
from proxy.pipeline.values.route import Route
from proxy.storage.rows import OpenRow


class Reservation(Struct, eq=False, gc=False):
    """What was set aside for one request; amount_pusd None: some target has no known price.

    route is the one to walk, its body with the max_tokens that was reserved for; told_max_tokens: it was lowered.
    """

    row: OpenRow
    amount_pusd: int | None
    route: Route
    identity: Identity
    told_max_tokens: int | None
    id: int
    streamed: bool
    tokens: int | None  # that were reserved
    pieces: Pieces  # that each attempt asks for
    end: PlainEnd | None = None  # of the requests before it; None: it has no plan
