"""reserve: the worst case of the dearest target, durable before the first byte goes upstream."""

from dataclasses import dataclass
from datetime import datetime

from proxy.core.errors import OwnError
from proxy.pipeline.authenticate import Identity
from proxy.pipeline.call import Call
from proxy.pipeline.parts import Parts, Snapshot
from proxy.pipeline.route import Route, Target
from proxy.pipeline.tags import Tags
from proxy.policy.pricing import BodyFacts, Price, Unbounded, read_facts, worst_case_pusd
from proxy.storage.rows import AttemptRow, OpenRow
from proxy.storage.writer import LedgerUnavailableError


@dataclass(frozen=True, slots=True)
class Reservation:
    """What was set aside for one request; amount_pusd None: some target has no known price."""

    row: OpenRow
    amount_pusd: int | None
    route: Route
    identity: Identity

    @property
    def id(self) -> int:
        return self.row.id


async def reserve(
    call: Call,
    identity: Identity,
    route: Route,
    tags: Tags,
    size_bytes: int,
    parts: Parts,
    snapshot: Snapshot,
) -> Reservation:
    """Write the open row and its first attempt; returns when they are on disk, else raises OwnError 503."""
    facts = read_facts(route.body, size_bytes)
    amount = worst_case(route.targets, facts, parts, snapshot)
    row = OpenRow(
        id=call.id,
        started_ms=call.started_ms,
        day=day_text(call.started_ms, snapshot),
        user=identity.user,
        group_name=identity.group,
        token_id=identity.token_id,
        endpoint="chat/completions",
        requested_model=route.requested_model,
        use_case=tags.use_case or route.use_case,
        session_id=tags.session_id,
        tags=tags.pairs,
        reserved_pusd=amount,
        reserved_tokens=None,
        streamed=int(route.body.get("stream") is True),
    )
    try:
        await parts.ledger.open(row, first_attempt(row, route.targets[0], snapshot))
    except LedgerUnavailableError as error:
        raise ledger_down(str(error)) from None
    return Reservation(row, amount, route, identity)


def worst_case(targets: tuple[Target, ...], facts: BodyFacts, parts: Parts, snapshot: Snapshot) -> int | None:
    """Give the worst case in pico-USD over all targets, or None where one of them has no price or no bound."""
    prices: list[Price] = []
    for target in targets:
        price = parts.catalogue.price(snapshot.providers[target.provider], target.model)
        if price is None:
            return None
        prices.append(price)
    try:
        return worst_case_pusd(prices, facts)
    except Unbounded:  # neither the request nor the price list says how long the answer may be
        return None


def first_attempt(row: OpenRow, target: Target, snapshot: Snapshot) -> AttemptRow:
    provider = snapshot.providers[target.provider]
    return AttemptRow(row.id, 1, row.started_ms, provider.name, provider.key_label, target.model)


def day_text(ms: int, snapshot: Snapshot) -> str:
    return datetime.fromtimestamp(ms // 1000, snapshot.zone).date().isoformat()


def ledger_down(reason: str) -> OwnError:
    return OwnError(
        503,
        "ledger_unavailable",
        f"The ledger cannot be written ({reason}), so nothing was sent. Try again soon. Operator: see /readyz.",
        retry_after_s=2,
    )
