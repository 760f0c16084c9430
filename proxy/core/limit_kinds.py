"""The kinds of limits, one row each: all that settings, quotas, ledger, texts, headers and commands know of a kind.

The table stands in core because the settings, which are below the quota engine, are written by it as well. A new kind
is a row here, and a migration where it is kept in columns that the ledger does not have.
"""

from collections.abc import Callable, Sequence
from typing import Final, Literal, Protocol

from msgspec import Struct

from proxy.core.counts import Counts

Unit = Literal["money", "count", "open"]
"""What an amount is: pico-USD, a number of something, or requests that are open now (these have no window)."""


class Contents(Protocol):
    """What a request says about the pieces that it takes (policy/pricing/body_facts.py)."""

    images: int
    images_out: int


class PieceRule(Struct, frozen=True):
    """How a kind that few requests take any of is counted.

    sent and made return how many a request sends, and how many it asks the answer for. used returns what it took, and
    never less: from what it asked for in all, what of that it sent, and what the provider counted.
    """

    sent: Callable[[Contents], int]
    made: Callable[[Contents], int]
    used: Callable[[int, int, Counts], int]


def _images_used(asked: int, sent: int, counts: Counts) -> int:
    counted = counts.images or min(counts.image_output_tokens, 1)
    is_made = asked > sent or counts.image_output_tokens > 0
    return max(asked, counted + sent if is_made else counted)


class LimitKind(Struct, frozen=True):
    """One kind of limit.

    name is the setting, the option of commands, and the word in texts and headers. window is the one that a limit has
    which names none; None: it must name one. is_exact: what a request takes is known before it is sent, so that a soft
    limit is as hard as a hard one. is_returned: a request may take less than it holds, so that waiting may help.

    settled are the columns of the ledger whose sum it counts, none of them for one that counts rows. uncounted is the
    column of what it counts beyond them, because nobody else counted it, reserved that of what a request holds. piece:
    of a kind that few requests take any of.
    """

    name: str
    unit: Unit
    example: str
    help: str
    window: str | None = None
    is_exact: bool = False
    is_returned: bool = True
    settled: tuple[str, ...] = ()
    uncounted: str | None = None
    reserved: str | None = None
    piece: PieceRule | None = None


KINDS: Final = (  # in the order in which refusals are told
    LimitKind(
        "cost",
        "money",
        "$2/day",
        "Money: $2/day, [$50/hour, $500/30d], $100 for all time.",
        window="total",
        settled=("cost_pusd",),
        reserved="reserved_pusd",
    ),
    LimitKind(
        "tokens",
        "count",
        "1M/day",
        "Tokens, in and out together: 1M/day.",
        settled=("input_tokens", "output_tokens"),
        uncounted="uncounted_tokens",
        reserved="reserved_tokens",
    ),
    LimitKind("requests", "count", "60/minute", "Requests: 60/minute.", is_exact=True, is_returned=False),
    LimitKind(
        "images",
        "count",
        "10/day",
        "Images, sent and made together: 10/day.",
        is_exact=True,
        settled=("images",),
        uncounted="uncounted_images",
        reserved="reserved_images",
        piece=PieceRule(lambda asked: asked.images, lambda asked: asked.images_out, _images_used),
    ),
    LimitKind("concurrency", "open", "4", "Requests open at once: 4.", window="", is_exact=True, is_returned=False),
)
BY_NAME: Final = {kind.name: kind for kind in KINDS}
NAMES: Final = tuple(BY_NAME)
ORDER: Final = {name: place for place, name in enumerate(BY_NAME)}
"""The place of each kind in the order in which refusals are told."""
COUNTED: Final = tuple(kind for kind in KINDS if kind.unit != "open")
"""The kinds of which sums are kept; a sum is a sequence of amounts in this order."""
INDEX: Final = {kind.name: index for index, kind in enumerate(COUNTED)}
COST, TOKENS, REQUESTS = INDEX["cost"], INDEX["tokens"], INDEX["requests"]
PIECES: Final = COUNTED[3:]
"""The kinds that few requests take any of; every request takes cost, tokens and itself."""
_RULES: Final = tuple(kind.piece for kind in PIECES if kind.piece is not None)
_COLUMNS: Final = tuple(tuple(map(Counts._fields.index, kind.settled)) for kind in PIECES)
NO_PIECES: Final = (0,) * len(PIECES)
"""Of a request that takes none; the same object wherever that is known, so that nearly all requests pass by it."""
NOTHING: Final = (0,) * len(COUNTED)

Taken = tuple[int, int, int, tuple[int, ...]]
"""What a request takes: cost in pico-USD, tokens, requests, and of each of PIECES."""


class Pieces(Struct, frozen=True):
    """What one attempt of a request asks for of each of PIECES, and what of it the request itself sends."""

    asked: tuple[int, ...] = NO_PIECES
    sent: tuple[int, ...] = NO_PIECES

    def used(self, counts: Counts | None) -> tuple[int, ...]:
        """Return what an attempt that is charged took; counts: the provider's."""
        if counts is None:
            return self.asked
        each = zip(_RULES, self.asked, self.sent, strict=True)
        return tuple(rule.used(asked, sent, counts) for rule, asked, sent in each)

    def uncounted(self, counts: Counts | None) -> tuple[int, ...]:
        """Return what an attempt that is charged took beyond what the provider counted."""
        return uncounted_pieces([self.used(counts)], counts)


NONE_ASKED: Final = Pieces()


def pieces_of(contents: Contents) -> Pieces:
    """Return the pieces that a request asks for."""
    sent = tuple(rule.sent(contents) for rule in _RULES)
    asked = tuple(rule.made(contents) + known for rule, known in zip(_RULES, sent, strict=True))
    return Pieces(asked, sent) if any(asked) else NONE_ASKED


def counted_pieces(counts: Counts | None) -> tuple[int, ...]:
    """Return what the provider counted of each of PIECES, as the ledger's columns have it."""
    if counts is None:
        return NO_PIECES
    return tuple(sum(counts[column] for column in columns) for columns in _COLUMNS)


def uncounted_pieces(used: Sequence[tuple[int, ...]], counts: Counts | None) -> tuple[int, ...]:
    """Return what attempts took beyond what the provider counted. used: of each that is charged; counts: of all."""
    if not any(map(any, used)):
        return NO_PIECES
    sums = map(sum, zip(*used, strict=True))
    left = tuple(max(0, took - told) for took, told in zip(sums, counted_pieces(counts), strict=True))
    return left if any(left) else NO_PIECES


def listed(texts: Sequence[str]) -> str:
    """Return texts as English lists them: one, another or a third."""
    return f"{', '.join(texts[:-1])} or {texts[-1]}" if len(texts) > 1 else "".join(texts)
