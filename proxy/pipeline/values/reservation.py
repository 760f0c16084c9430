"""What was set aside for one request."""

from collections.abc import Mapping

from msgspec import Struct

from proxy.core.limit_kinds import Pieces
from proxy.pipeline.values.identity import Identity
from proxy.pipeline.values.plain_end import PlainEnd
from proxy.pipeline.values.route import Route, Target
from proxy.storage.rows import OpenRow


class Reservation(Struct, eq=False, gc=False):
    """What was set aside for one request; amount_pusd None: some target has no known price.

    route is the one to walk, its body with the max_tokens that was reserved for. told_max_tokens: what was written for
    targets, by provider and model, where it is less than what was asked for; None: nothing was lowered.
    """

    row: OpenRow
    amount_pusd: int | None
    route: Route
    identity: Identity
    told_max_tokens: Mapping[tuple[str, str], int] | None
    id: int
    streamed: bool
    tokens: int | None  # that were reserved
    pieces: Pieces  # that each attempt asks for
    end: PlainEnd | None = None  # of the requests before it; None: it has no plan

    def tell_bound(self, target: Target, tokens: int | None) -> None:
        """Record that a target gets another bound of the answer, of which the client is told; None: it gets none."""
        told, place = self.told_max_tokens, (target.provider, target.model)
        if told is not None and place in told:
            others = {key: bound for key, bound in told.items() if key != place}
            self.told_max_tokens = others if tokens is None else {**others, place: tokens}
