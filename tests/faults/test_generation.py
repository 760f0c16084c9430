"""U27: the provider's own record of an answer comes late, never, or says something else."""

from typing import Any

import pytest

from tests.faults.conftest import Open
from tests.faults.place import Place
from tests.faults.raw_upstream import GENERATION, Close, Reset, Turn
from tests.faults.seen import BOTH, limit
from tests.faults.told import DONE, END, Told, plain
from tests.support.installation import PROVIDER_KEY

COST_PUSD = 4_000_000
UNKNOWN = Turn((plain({"error": {"code": 404, "message": "Generation not found"}}, status=404),))


async def without_bill(place: Place, told: Told, *, stream: bool, billed: bool = True) -> None:
    """Have one good answer that does not say what it cost."""
    events = [*told.content(), told.finish(), DONE]
    sent = told.stream(events) + END if stream else plain(told.body(None), f"X-Generation-Id: {told.id}")
    place.upstream.next(Turn((sent,), {told.id: told.charged_pusd} if billed else {}))
    assert (await place.chat(stream=stream)).status == 200


def asked(place: Place) -> list[str]:
    return [heard.path for heard in place.upstream.requests if GENERATION in heard.path]


@BOTH
@pytest.mark.parametrize("times", [1, 2])
async def test_u27_not_known_for_a_while(opened: Open, stream: bool, times: int) -> None:
    """It is asked for again; the reservation stays meanwhile."""
    place = await opened({"ledger": {"lookup_timeout_s": 60}})
    place.upstream.next(*[UNKNOWN] * times, path=GENERATION)
    await without_bill(place, Told("gen-late", COST_PUSD), stream=stream)
    (row,) = place.rows()
    assert (row["state"], row["cost_pusd"]) == ("pending", None)
    assert (await limit(place))["reserved_pusd"] == row["reserved_pusd"]
    assert await place.figures() == ("settled", COST_PUSD, "generation", None, None, 200)
    assert asked(place) == ["/api/v1/generation?id=gen-late"] * (times + 1)
    assert all(PROVIDER_KEY.encode() in heard.head for heard in place.upstream.requests)
    await place.works()


def record(told: Told, **more: Any) -> bytes:
    return plain({"data": {**told.record(), **more}})


TOLD = Told("gen-odd", COST_PUSD)
USELESS: dict[str, Turn] = {
    "404": UNKNOWN,
    "500": Turn((plain(b"<html>", status=500),)),
    "200 with a page": Turn((plain(b"<html>"),)),
    "401": Turn((plain({"error": {}}, status=401),)),
    "redirect": Turn((plain(b"", "Location: http://127.0.0.1:1/", status=302),)),
    "reset": Turn((Reset(),)),
    "cut off": Turn((record(TOLD)[:-9], Close())),
    "another id": Turn((record(TOLD, id="gen-other"),)),
    "what others bill is missing": Turn((record(TOLD, is_byok=True, upstream_inference_cost=None),)),
    "negative": Turn((record(TOLD, total_cost=-1),)),
    "words": Turn((record(TOLD, total_cost="four"),)),
    "null": Turn((record(TOLD, total_cost=None),)),
    "NaN": Turn((plain(b'{"data": {"id": "gen-odd", "total_cost": NaN}}'),)),
    "no data": Turn((plain({"id": "gen-odd"}),)),
    "data is a list": Turn((plain({"data": []}),)),
    "deep": Turn((plain(b"[" * 100_000),)),
    "2 MB": Turn((record(TOLD, more="x" * (2 << 20)),)),
}


@pytest.mark.parametrize("case", USELESS)
async def test_u27_never_known(opened: Open, case: str) -> None:
    """After its time the worst case is charged: a lower figure would be made up."""
    place = await opened({"ledger": {"lookup_timeout_s": 0.5}})
    place.upstream.always[GENERATION] = USELESS[case]
    await without_bill(place, TOLD, stream=True, billed=False)
    row = await place.booked()
    want = ("settled", row["reserved_pusd"], "reservation", "usage_missing", None, 200)
    assert await place.figures() == want
    assert len(asked(place)) >= 2
    assert (await limit(place))["used_pusd"] == row["reserved_pusd"]
    del place.upstream.always[GENERATION]
    await place.works()


async def test_u27_the_port_is_closed_when_it_is_asked(opened: Open) -> None:
    place = await opened({"ledger": {"lookup_timeout_s": 0.5}})
    await without_bill(place, Told("gen-gone", COST_PUSD), stream=False)
    await place.upstream.down()
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "reservation")
    await place.upstream.up()
    await place.works()


async def test_u27_another_cost_than_the_broken_stream_told(opened: Open) -> None:
    """What a stream had counted on its way is not what it cost: the record is."""
    place = await opened()
    told = Told("gen-differs", COST_PUSD)
    preview = '{"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10, "cost": 0.000000000007}'
    events = [told.piece("Once", usage=preview), told.piece(" upon", usage=preview)]
    place.upstream.next(Turn((told.stream(events), Close()), {told.id: COST_PUSD}))
    assert (await place.chat(stream=True)).status == 200
    want = ("settled", COST_PUSD, "generation", "answer_broken", "upstream_broken", 200)
    assert await place.figures() == want
    row = await place.booked()
    assert (row["input_tokens"], row["output_tokens"]) == (9, 11)
    await place.works()


async def test_u27_more_than_was_set_aside(opened: Open) -> None:
    place = await opened()
    told = Told("gen-dear", 2 * 10**12)
    await without_bill(place, told, stream=True)
    want = ("settled", 2 * 10**12, "generation", "over_reservation", None, 200)
    assert await place.figures() == want
    await place.works()


async def test_u27_an_own_key(opened: Open) -> None:
    """With the account's own key the bill of the provider behind comes on top of the fee."""
    place = await opened()
    told = Told("gen-own", COST_PUSD)
    record_ = record(told, is_byok=True, upstream_inference_cost=0.001)
    place.upstream.next(Turn((record_,)), path=GENERATION)
    await without_bill(place, told, stream=False, billed=False)
    assert (await place.figures())[:3] == ("settled", COST_PUSD + 10**9, "generation")
    await place.works()


@pytest.mark.parametrize("id_", ["../../secret", "a b", "x" * 200, "gen\u00e9", "a?id=b", "a/b"])
async def test_u27_an_id_that_is_none(opened: Open, id_: str) -> None:
    """It would go into a URL: it is not asked for."""
    place = await opened({"ledger": {"lookup_timeout_s": 0.5}})
    told = Told(id_, COST_PUSD)
    place.upstream.next(Turn((plain(told.body(None)),)))
    assert (await place.chat()).status == 200
    row = await place.booked()
    assert (row["cost_pusd"], row["cost_source"]) == (row["reserved_pusd"], "reservation")
    assert asked(place) == []
    await place.works()
