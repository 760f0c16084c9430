"""U26: the list of prices is down, broken, or says what cannot be."""

import json
from typing import Any

import pytest

from tests.faults.conftest import Open
from tests.faults.place import Place
from tests.faults.raw_upstream import MODELS, PRICED, Close, Reset, Turn
from tests.faults.seen import refused
from tests.faults.told import chunk, head, plain, stream_head

OTHERS = [{**PRICED, "id": f"test/model-{n}"} for n in range(9)]


def listed(**pricing: Any) -> bytes:
    """Give a list in which the model of the tests has other prices."""
    changed = {**PRICED, "pricing": {**PRICED["pricing"], **pricing}}
    return plain({"data": [changed, *OTHERS]})


def times(factor: int) -> dict[str, str]:
    return {"prompt": f"{0.00000015 * factor:.12f}", "completion": f"{0.0000006 * factor:.12f}"}


async def with_list(opened: Open) -> Place:
    place = await opened(models_known=False)
    place.upstream.models = [PRICED, *OTHERS]
    await refresh(place)
    await place.works()
    return place


async def refresh(place: Place, *turns: Turn) -> None:
    place.upstream.next(*turns, path=MODELS)
    await place.app.model_lists.refresh(place.app.live.current.providers["openrouter"])
    assert not place.upstream.turns[MODELS]


async def reserved_pusd(place: Place) -> int:
    """Make a good request and give what was set aside for it."""
    assert (await place.chat()).status == 200
    found = (await place.booked())["reserved_pusd"]
    assert isinstance(found, int)
    return found


BROKEN: dict[str, Turn] = {
    "reset": Turn((Reset(),)),
    "closed": Turn((Close(),)),
    "cut off": Turn((listed()[:-50], Close())),
    "cut off without a length": Turn(
        (head(200, "Connection: close") + listed().partition(b"\r\n\r\n")[2][:-5], Close())
    ),
    "half a chunk": Turn((stream_head(type_="application/json") + chunk(b'{"data": [')[:5], Close())),
    "a page": Turn((plain(b"<html></html>", type_="text/html"),)),
    "500": Turn((plain(b"{}", status=500),)),
    "404": Turn((plain(b"{}", status=404),)),
    "a redirect": Turn((plain(b"", "Location: /elsewhere", status=302),)),
    "no list": Turn((plain({"data": {"a": 1}}),)),
    "null": Turn((plain(b"null"),)),
    "empty": Turn((plain({"data": []}),)),
    "no ids": Turn((plain({"data": [{"pricing": {}}]}),)),
    "everything times 1000": Turn((plain({"data": [{**one, "pricing": times(1000)} for one in [PRICED, *OTHERS]]}),)),
    "everything through 1000": Turn(
        (
            plain(
                {"data": [{**one, "pricing": {"prompt": "1e-10", "completion": "1e-10"}} for one in [PRICED, *OTHERS]]}
            ),
        )
    ),
}


@pytest.mark.parametrize("case", BROKEN)
async def test_u26_a_list_that_cannot_be(opened: Open, case: str) -> None:
    """The last good one stays in force, and the operator can see why."""
    place = await with_list(opened)
    before = await reserved_pusd(place)
    await refresh(place, BROKEN[case])
    listing = place.app.model_lists.listing("openrouter")
    assert listing.problem
    assert await reserved_pusd(place) == before
    assert listing.models
    await place.works()
    await refresh(place)
    assert listing.problem is None
    await place.works()


async def test_u26_one_price_times_1000(opened: Open) -> None:
    """A rise counts at once, for a bound that is too low costs money; the list is reported."""
    place = await with_list(opened)
    before = await reserved_pusd(place)
    await refresh(place, Turn((listed(**times(1000)),)))
    assert place.app.model_lists.listing("openrouter").problem
    assert await reserved_pusd(place) == before * 1000
    await place.works()


async def test_u26_one_price_falls_to_nothing(opened: Open) -> None:
    """A fall does not count until somebody confirms it."""
    place = await with_list(opened)
    before = await reserved_pusd(place)
    await refresh(place, Turn((listed(prompt="0", completion="0"),)))
    assert await reserved_pusd(place) == before
    await place.works()


@pytest.mark.parametrize("price", ["-1", "NaN", "1e400", "", "free", None, [1]])
async def test_u26_what_is_no_price(opened: Open, price: Any) -> None:
    """The model has none then: under a hard limit it is refused, not counted as free. The others keep theirs."""
    place = await with_list(opened)
    await refresh(place, Turn((listed(prompt=price),)))
    before = len(place.upstream.chats())
    for stream in (False, True):
        refused(await place.chat(stream=stream), 402, "price_unknown")
    assert len(place.upstream.chats()) == before
    assert (await place.chat("test/model-3")).status == 200
    place.upstream.always.pop(MODELS, None)
    await refresh(place)
    await place.works()


async def test_u26_the_model_is_no_longer_listed(opened: Open) -> None:
    """The other provider still lists it, and that name is told."""
    place = await with_list(opened)
    place.upstream.models = list(OTHERS)
    await refresh(place)
    refused(await place.chat(), 404, "model_not_found")
    place.upstream.models = [PRICED, *OTHERS]
    await refresh(place)
    await place.works()


async def test_u26_down_from_the_start(opened: Open) -> None:
    """Without any list no model has a price; with a configured one the list is not needed."""
    down = Turn((plain(b"{}", status=503),))

    def edit(content: dict[str, Any], ups: Any) -> None:
        ups[0].always[MODELS] = down
        content["providers"]["openrouter"]["prices"] = {"openai/gpt-4o-mini": {"input": "0.15", "output": "0.60"}}

    place = await opened(edit=edit)
    refused(await place.chat("test/model-3"), 402, "price_unknown")
    assert json.loads(plain({"a": 1}).partition(b"\r\n\r\n")[2]) == {"a": 1}
    await place.works()
