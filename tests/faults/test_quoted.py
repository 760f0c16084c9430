"""U13: words that put a key at fault are the provider's own, not the client's that it only repeats."""

import pytest

from tests.faults.conftest import Open
from tests.faults.place import Place
from tests.faults.raw_upstream import Turn
from tests.faults.told import error, plain
from tests.support.raw import ask

WORDS = "API key not valid"


async def reasons(place: Place) -> list[str | None]:
    shown = (await ask(place.app.port, "GET", "/readyz?verbose", token=place.token)).json()
    return [key["reason"] for key in shown["providers"]["openrouter"]["keys"]]


@pytest.mark.parametrize("quotes", [True, False])
async def test_u13_words_of_a_request_put_no_key_aside(opened: Open, quotes: bool) -> None:
    """Anybody could take a key from all others by a prompt that reads like a refusal."""
    place = await opened()
    place.upstream.next(Turn((plain(error(400, f"Cannot render the template near: {WORDS}"), status=400),)))
    content = f"What does '{WORDS}' mean?" if quotes else "Hello"
    await place.chat(messages=[{"role": "user", "content": content}])
    assert await reasons(place) == [None if quotes else "bad_key"]
