"""U20 and U21: figures that cannot be. What is doubtful is asked for; nothing is free because it is nonsense."""

import json

import pytest

from tests.faults.conftest import Open
from tests.faults.place import PRICED_PUSD, Place, clean
from tests.faults.raw_upstream import Turn
from tests.faults.seen import BOTH, limit
from tests.faults.told import END, Told, plain

COST_PUSD = 4_000_000
DOUBTFUL = {
    "negative": "-0.5",
    "too large for a float": "1e400",
    "NaN": "NaN",
    "Infinity": "Infinity",
    "a text": '"0.000004"',
    "a list": "[1]",
    "true": "true",
    "huge": "123456789012345678901234567890",
    "more than 64 digits": "0." + "1" * 70,
    "zero for a model that has a price": "0",
    "zero as a fraction": "0.0000",
}


def sent(told: Told, usage: str, *, stream: bool) -> tuple[bytes, bytes]:
    """Give an answer with this usage as it is sent, and as a client should see it."""
    if not stream:
        return plain(told.body(usage), f"X-Generation-Id: {told.id}"), told.body(usage)
    events = [*told.content(), told.finish(), told.piece(usage=usage), told.events()[-1]]
    return told.stream(events) + END, b"".join(events)


async def passed(place: Place, told: Told, usage: str, *, stream: bool, known: bool = True) -> None:
    data, want = sent(told, usage, stream=stream)
    place.upstream.next(Turn((data,), {told.id: told.charged_pusd} if known else {}))
    answer = clean(await place.chat(stream=stream))
    assert (answer.status, answer.end, answer.body) == (200, "complete", want)


def usage_with(cost: str) -> str:
    return f'{{"prompt_tokens": 9, "completion_tokens": 11, "total_tokens": 20, "cost": {cost}}}'


@BOTH
@pytest.mark.parametrize("case", DOUBTFUL)
async def test_u20_a_cost_that_cannot_be(opened: Open, case: str, stream: bool) -> None:
    """Looked up; where nobody knows, the worst case is charged and the row says that the figure was doubtful."""
    place = await opened({"ledger": {"lookup_timeout_s": 0}})
    await passed(place, Told("gen-known", COST_PUSD), usage_with(DOUBTFUL[case]), stream=stream)
    assert await place.figures() == ("settled", COST_PUSD, "generation", None, None, 200)
    await passed(place, Told("gen-unknown", 0), usage_with(DOUBTFUL[case]), stream=stream, known=False)
    row = await place.booked()
    want = ("settled", row["reserved_pusd"], "reservation", "cost_doubtful", None, 200)
    assert await place.figures() == want
    await place.works()


@BOTH
async def test_u20_forty_digits(opened: Open, stream: bool) -> None:
    """Finer than a pico-USD: rounded up, and said so."""
    place = await opened()
    cost = "0.0000040000000000000000000000000000000001"
    await passed(place, Told("gen-fine", COST_PUSD + 1), usage_with(cost), stream=stream)
    assert await place.figures() == ("settled", COST_PUSD + 1, "provider", "cost_rounded", None, 200)
    await place.works()


@pytest.mark.parametrize("cost", ["4e-06", "0.000004", "0.0000040000", "4E-6", "0.4e-5", "400e-8"])
async def test_u20_the_same_amount_in_other_words(opened: Open, cost: str) -> None:
    place = await opened()
    await passed(place, Told("gen-same", COST_PUSD), usage_with(cost), stream=True)
    assert await place.figures() == ("settled", COST_PUSD, "provider", None, None, 200)
    await place.works()


@BOTH
async def test_u20_more_than_was_set_aside(opened: Open, stream: bool) -> None:
    """Booked in full and flagged; the limit counts all of it, and what follows is refused."""
    limits = {"users": {"anna": {"limits": {"cost": "$1"}}}}
    place = await opened(limits)
    await place.works()
    told = Told("gen-dear", 2 * 10**12)
    await passed(place, told, usage_with("2.0"), stream=stream)
    assert await place.figures() == ("settled", 2 * 10**12, "provider", "over_reservation", None, 200)
    assert (await limit(place))["remaining_pusd"] == 0
    refused = await place.chat(stream=stream)
    assert (refused.status, refused.json()["error"]["code"]) == (402, "insufficient_quota")
    assert len(place.upstream.chats()) == 3


ABSURD = {
    "negative": '{"prompt_tokens": -9, "completion_tokens": -11, "cost": COST}',
    "texts": '{"prompt_tokens": "9", "completion_tokens": "eleven", "cost": COST}',
    "fractions": '{"prompt_tokens": 9.5, "completion_tokens": 1e3, "cost": COST}',
    "huge": '{"prompt_tokens": 99999999999999999999999, "completion_tokens": 9007199254740993, "cost": COST}',
    "large": '{"prompt_tokens": 9007199254740993, "completion_tokens": 9007199254740994, "cost": COST}',
    "lists": '{"prompt_tokens": [], "completion_tokens": {}, "cost": COST}',
    "true": '{"prompt_tokens": true, "completion_tokens": false, "cost": COST}',
    "null": '{"prompt_tokens": null, "completion_tokens": null, "cost": COST}',
    "details": (
        '{"prompt_tokens": 9, "completion_tokens": 11, "prompt_tokens_details": "x",'
        ' "completion_tokens_details": [], "cost": COST}'
    ),
}


COUNTS = {"details": (9, 11)}  # half a count is none


@BOTH
@pytest.mark.parametrize("case", ABSURD)
async def test_u21_counts_that_cannot_be(opened: Open, case: str, stream: bool) -> None:
    """The cost stands; of the counts nothing is made up, and what cannot be one is flagged."""
    place = await opened()
    await passed(place, Told("gen-odd", COST_PUSD), ABSURD[case].replace("COST", "0.000004"), stream=stream)
    flags = None if case in ("lists", "null", "details") else "usage_unreadable"
    assert await place.figures() == ("settled", COST_PUSD, "provider", flags, None, 200)
    row = await place.booked()
    assert (row["input_tokens"], row["output_tokens"]) == COUNTS.get(case, (None, None))
    await place.works()


@BOTH
@pytest.mark.parametrize("case", [case for case in ABSURD if case != "details"])
async def test_u21_where_the_cost_is_tokens_times_price(opened: Open, case: str, stream: bool) -> None:
    """Nothing can be reckoned from them: the worst case is charged."""
    place = await opened()
    usage = ABSURD[case].replace(', "cost": COST', "")
    data, _ = sent(Told("chatcmpl-1", 0), usage, stream=stream)
    place.upstream.next(Turn((data,)))
    answer = clean(await place.chat("plain", stream=stream))
    assert (answer.status, answer.end) == (200, "complete")
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "estimate")
    assert (row["input_tokens"], row["output_tokens"]) == COUNTS.get(case, (None, None))
    await place.works("plain")


@BOTH
async def test_u21_counts_above_all_that_was_set_aside(opened: Open, stream: bool) -> None:
    """Tokens times price is charged in full, and flagged."""
    place = await opened()
    usage = json.dumps({"prompt_tokens": 10**6, "completion_tokens": 10**6, "total_tokens": 2 * 10**6})
    data, _ = sent(Told("chatcmpl-1", 0), usage, stream=stream)
    place.upstream.next(Turn((data,)))
    assert (await place.chat("plain", stream=stream)).status == 200
    cost_pusd = 10**6 * (150_000 + 600_000)
    assert await place.figures() == ("settled", cost_pusd, "price", "over_reservation", None, 200)
    assert cost_pusd > PRICED_PUSD
    await place.works("plain")
