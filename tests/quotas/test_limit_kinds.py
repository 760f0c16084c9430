"""Every kind of limit of the table, from the setting to the audit; and what counts as an image."""

import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from proxy.app.rebuild import rebuilt_book
from proxy.cli.limit_option import read_limits
from proxy.core.counts import Counts
from proxy.core.limit_kinds import BY_NAME, COUNTED, KINDS, LimitKind, Pieces
from proxy.pipeline.settlement.sum_attempts import SettledAttempt, add_up
from proxy.pipeline.values.settlement import Settlement, State
from proxy.policy.quota import LimitRow
from proxy.storage.rows import Reserved
from proxy.storage.sqlite.verify import ExpectedTotals, verify
from tests.quotas.place import Place, error_of, user
from tests.storage.made_requests import attempt_end, open_row, request_end
from tests.support.installation import token_hash_of
from tests.support.raw import Answer
from tests.support.stand import MESSAGES, MODEL

UTC = ZoneInfo("UTC")
Open = Callable[..., Awaitable[Place]]
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
PICTURE = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, IMAGE]}]
END = "2026-11-19T00:00:00Z"


def by_kind(kinds: tuple[LimitKind, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds, ids=lambda kind: kind.name)


def limited(kind: LimitKind, amount: object) -> dict[str, Any]:
    """Return people of whom anna may use so much a day, and free as much as she likes."""
    limit = amount if kind.unit == "open" else {"amount": amount, "window": "day"}
    return {"users": {"free": user("free"), "anna": user("anna", limits={kind.name: limit})}}


async def see(place: Place, who: str = "anna", **fields: Any) -> Answer:
    """Ask about one image: it takes something of every kind."""
    return await place.chat(who, messages=PICTURE, **fields)


def audited(place: Place) -> tuple[list[str], list[str]]:
    """Return what an audit notes and finds, held against anna's limits."""
    row = place.app.live.current.directory.find(token_hash_of("anna").removeprefix("sha256:"))
    assert row is not None
    expected = ExpectedTotals(row.identity.allowance.quotas, UTC, None, 1e9, 1e9)
    with closing(sqlite3.connect(place.folder / "ledger.db", isolation_level=None)) as connection:
        found = verify(connection, expected, place.clock.now_ms())
    return found.notes, [f"{one.check} {one.where}: {one.text}" for one in found.differences]


def rebuilt(place: Place) -> list[LimitRow]:
    """Return what anna's limits say by the ledger alone, as after a crash at this moment."""
    row = place.app.live.current.directory.find(token_hash_of("anna").removeprefix("sha256:"))
    assert row is not None
    book = rebuilt_book(place.app.reports, UTC, place.clock.now_ms())
    return book.limits_view(row.identity.allowance.quotas, place.clock.now_ms())


@by_kind(KINDS)
def test_every_kind_is_an_option_of_commands(kind: LimitKind) -> None:
    text = kind.example if kind.unit == "money" else f"{kind.name}={kind.example}"
    assert read_limits([text]) == {kind.name: [kind.example]}
    if kind.unit == "count":
        amount, _, window = kind.example.partition("/")
        assert read_limits([f"{amount} {kind.name}/{window}"]) == {kind.name: [kind.example]}


@by_kind(COUNTED)
async def test_from_the_setting_to_the_audit(opened: Open, kind: LimitKind) -> None:
    """Two requests use all of a limit up; the third is refused, and is again after a start anew."""
    place = await opened({"users": {"free": user("free"), "anna": user("anna")}})
    figure = "used_pusd" if kind.unit == "money" else "used"
    await place.configure(limited(kind, 10**6))
    for _ in range(2):
        answer = await see(place)
        assert answer.status == 200, answer.body
    used = (await place.limit(kind=kind.name))[figure]
    assert used >= 2
    await place.configure(limited(kind, f"{used / 10**12:.12f}" if kind.unit == "money" else used))

    async def is_refused() -> None:
        refused = await see(place)
        assert (refused.status, error_of(refused)["code"]) == (402, "insufficient_quota"), refused.body
        assert refused.header("x-tollkeeper-budget-resets-at") == END
        if kind.unit == "count":
            text = f'{used} {kind.name} a day for user "anna" are used up ({used} used'
            assert text in error_of(refused)["message"]
            assert refused.header(f"x-ratelimit-limit-{kind.name}") == str(used)
            assert refused.header(f"x-ratelimit-remaining-{kind.name}") == "0"
            assert refused.header(f"x-ratelimit-reset-{kind.name}") == "13h39m30s"
        else:
            assert refused.header("x-tollkeeper-budget-remaining-usd") == "0"

    await is_refused()
    before = await place.limits()
    assert before[0][figure] == used
    await place.restart()
    assert await place.limits() == before
    await is_refused()
    place.move_to(END)
    assert (await place.limits())[0][figure] == 0
    await place.check_books()
    assert audited(place) == ([], [])


# --- images

IMAGES = BY_NAME["images"]


@pytest.mark.parametrize(
    ("fields", "count"),
    [
        ({"messages": MESSAGES}, 0),
        ({"messages": PICTURE}, 1),
        ({"messages": [{"role": "user", "content": [IMAGE, IMAGE, IMAGE]}]}, 3),
        ({"messages": [*PICTURE, {"role": "assistant", "content": "A dot."}, *PICTURE]}, 2),
        ({"messages": MESSAGES, "modalities": ["image", "text"]}, 1),
        ({"messages": MESSAGES, "modalities": ["image", "text"], "n": 3}, 3),
        ({"messages": PICTURE, "modalities": ["image"], "n": 2}, 3),
        ({"messages": MESSAGES, "tools": [{"type": "image_generation"}]}, 1),
        ({"messages": MESSAGES, "n": 4}, 0),
    ],
)
async def test_what_a_request_asks_for_is_held_and_counted(opened: Open, fields: dict[str, Any], count: int) -> None:
    place = await opened(limited(IMAGES, 10))
    await place.sim.behave("all", first_token_ms=600)
    client = await place.begin_chat(**fields)
    await place.arrived(1)
    running = await place.limit(kind="images")
    assert (running["used"], running["reserved"]) == (0, count)
    assert [(row.used, row.reserved) for row in rebuilt(place)] == [(0, count)]
    assert (await client.read_answer()).status == 200
    await place.quiet()
    ended = await place.limit(kind="images")
    assert (ended["used"], ended["reserved"]) == (count, 0)
    assert [(row.used, row.reserved) for row in rebuilt(place)] == [(count, 0)]
    assert audited(place) == ([], [])


@pytest.mark.parametrize(
    ("asked", "sent", "counts", "used"),
    [
        (2, 2, Counts(), 2),  # the provider counts none apiece
        (2, 2, Counts(images=1), 2),  # never below what was sent
        (2, 2, Counts(images=3), 3),
        (3, 1, Counts(images=4), 5),  # those that were made, and the one that was sent
        (1, 0, Counts(images=1), 1),
        (1, 1, Counts(image_output_tokens=1290), 2),  # made unasked
        (0, 0, Counts(image_output_tokens=1290), 1),
        (0, 0, Counts(searches=3), 0),
    ],
)
def test_the_provider_may_count_more(asked: int, sent: int, counts: Counts, used: int) -> None:
    pieces = Pieces((asked,), (sent,))
    assert pieces.used(counts) == (used,)
    (uncounted,) = pieces.uncounted(counts)
    assert counts.images + uncounted == used


async def test_what_the_provider_counts_stands(opened: Open) -> None:
    place = await opened(limited(IMAGES, 10))
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18, "cost": 0.000009, "num_images": 4}
    message = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Four."}}
    body = {"id": "gen-1", "object": "chat.completion", "model": MODEL, "choices": [message], "usage": usage}
    await place.sim.behave("all", body=json.dumps(body))
    assert (await place.chat(modalities=["image"])).status == 200
    assert (await place.limit(kind="images"))["used"] == 4
    assert [row.used for row in rebuilt(place)] == [4]
    (row,) = place.rows("SELECT images, uncounted_images, reserved_images FROM requests")
    assert row == {"images": 4, "uncounted_images": None, "reserved_images": 1}
    await place.restart()
    assert (await place.limit(kind="images"))["used"] == 4
    assert audited(place) == ([], [])


async def test_one_request_too_many_at_once(opened: Open) -> None:
    """Those that run hold what they ask for: together they do not pass the limit."""
    place = await opened(limited(IMAGES, 3))
    await place.sim.behave("all", first_token_ms=600)
    running = [await place.begin_chat(messages=PICTURE) for _ in range(3)]
    await place.arrived(3)
    refused = await see(place)
    assert refused.status == 402
    assert "3 images a day" in error_of(refused)["message"]
    assert (await place.chat()).status == 200  # what takes none passes
    for client in running:
        assert (await client.read_answer()).status == 200
    assert (await place.limit(kind="images"))["used"] == 3


async def test_what_was_not_billed_counts_none(opened: Open) -> None:
    place = await opened(limited(IMAGES, 3))
    await place.sim.behave("all", error="no-image-endpoints")
    assert (await see(place)).status == 404
    await place.quiet()
    ended = await place.limit(kind="images")
    assert (ended["used"], ended["reserved"]) == (0, 0)
    assert [row.used for row in rebuilt(place)] == [0]


@pytest.mark.parametrize("first", ["settled", "released"])
def test_attempts_that_are_billed_count_each(first: State) -> None:
    """The sum over the attempts of one request, as the row has it."""
    charged = Settlement("settled", 5, "provider", frozenset())
    parts = [
        SettledAttempt(Settlement(first, 0, "none", frozenset()), attempt_end(1)),
        SettledAttempt(charged, attempt_end(1, 2, counts=Counts(images=1))),
    ]
    end = add_up(request_end(open_row(1)), parts, Reserved(10, None), Pieces((2,), (2,)))
    assert end.pieces == ((4,) if first == "settled" else (2,))
    assert end.counts == Counts(images=1)
