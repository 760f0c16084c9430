"""What a refusal says: status, text, headers; and which of several is told."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.quotas.place import Place, cost, error_of, usd, user
from tests.support.raw import Answer

Open = Callable[..., Awaitable[Place]]

SPENT = 2_499_900_000_000  # $2.4999


def world(limits: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"users": {"anna": user("anna", limits=limits)}, **more}


async def spent(opened: Open, window: str, amount_pusd: int = SPENT, **more: Any) -> Place:
    """Open with a cost limit that one answer has used to the last pico-USD."""
    place = await opened(world({}))
    await place.charge(amount_pusd)
    assert (await place.chat()).status == 200
    await place.sim.normal()
    await place.configure(world({"cost": cost(amount_pusd, window)}, **more))
    return place


@pytest.mark.parametrize(
    ("window", "name", "resets", "header"),
    [
        ("minute", "per-minute budget", "2026-11-18 10:21 UTC (in 30 s)", "2026-11-18T10:21:00Z"),
        ("hour", "hourly budget", "2026-11-18 11:00 UTC (in 39 min 30 s)", "2026-11-18T11:00:00Z"),
        ("day", "daily budget", "2026-11-19 00:00 UTC (in 13 h 39 min)", "2026-11-19T00:00:00Z"),
        ("week", "weekly budget", "2026-11-23 00:00 UTC (in 4 d 13 h)", "2026-11-23T00:00:00Z"),
        ("month", "monthly budget", "2026-12-01 00:00 UTC (in 12 d 13 h)", "2026-12-01T00:00:00Z"),
        ("30d", "30d budget", "2026-12-18 11:00 UTC (in 30 d 0 h)", "2026-12-18T11:00:00Z"),
        ("total", "budget", None, None),
    ],
)
async def test_a_spent_budget(opened: Open, window: str, name: str, resets: str | None, header: str | None) -> None:
    place = await spent(opened, window)
    answer = await place.chat()
    assert answer.status == 402
    text = f'The {name} of $2.4999 for user "anna" is spent ($2.4999).'
    assert answer.json() == {
        "error": {
            "message": text + (f" It resets at {resets}." if resets else ""),
            "type": "insufficient_quota",
            "param": None,
            "code": "insufficient_quota",
            "scope": "user:anna",
            "kind": "cost",
            "window": window,
            "mode": "hard",
            "models": None,
            "limit": "2.4999",
            "limit_pusd": SPENT,
            "used": "2.4999",
            "used_pusd": SPENT,
            "reserved": "0",
            "reserved_pusd": 0,
            "needed": usd(error_of(answer)["needed_pusd"]),
            "needed_pusd": error_of(answer)["needed_pusd"],
            "remaining": "0",
            "remaining_pusd": 0,
            "resets_at": header,
            "affordable_max_tokens": 0,
        },
        "request_id": answer.header("x-request-id"),
    }
    assert answer.header("x-should-retry") == "false"
    assert answer.header("Retry-After") is None
    assert answer.header("x-tollkeeper-budget-resets-at") == header
    assert answer.header("x-tollkeeper-budget-remaining-usd") == "0"


async def test_the_reset_is_told_in_the_zone_of_the_windows(opened: Open) -> None:
    place = await opened(world({"cost": cost(1, "day")}, timezone="Europe/Stockholm"))
    assert "It resets at 2026-11-19 00:00 CET (in 12 h 39 min)." in error_of(await place.chat())["message"]


async def test_open_requests_are_told(opened: Open) -> None:
    place = await spent(opened, "day")
    await place.configure(world({"cost": cost(2 * SPENT, "day")}, quotas={"wait_s": 0}))
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang")
    first = await place.begin_chat(stream=True, max_tokens=16_384)
    await place.arrived(2)
    await place.configure(world({"cost": cost(SPENT, "day")}, quotas={"wait_s": 0}))
    message = error_of(await place.chat())["message"]
    assert message.startswith('The daily budget of $2.4999 for user "anna" is spent ($2.4999, 1 request still open).')
    await first.hang_up()
    await place.quiet()


@pytest.mark.parametrize("status", [400, 402, 429])
async def test_the_status_can_be_chosen(opened: Open, status: int) -> None:
    """For money and for long windows; a rate stays 429."""
    place = await spent(opened, "day", quotas={"budget_status": status})
    answer = await place.chat()
    assert (answer.status, error_of(answer)["code"]) == (status, "insufficient_quota")
    assert answer.header("x-should-retry") == "false"
    assert answer.header("Retry-After") is None
    await place.configure(world({"requests": "1/day"}, quotas={"budget_status": status}))
    answer = await place.chat()
    assert (answer.status, error_of(answer)["code"]) == (status, "insufficient_quota")
    text = '1 requests a day for user "anna" are used up (1 used, 1 needed). It resets at 2026-11-19 00:00 UTC'
    assert error_of(answer)["message"].startswith(text)
    await place.configure(world({"requests": "1/minute"}, quotas={"budget_status": status}))
    answer = await place.chat()
    assert (answer.status, error_of(answer)["code"]) == (429, "rate_limit_exceeded")


@pytest.mark.parametrize(
    ("second", "after_s"),
    [("00.000", 60), ("00.001", 60), ("29.500", 31), ("53.000", 7), ("58.999", 2), ("59.000", 1), ("59.999", 1)],
)
async def test_retry_after_is_the_truth(opened: Open, second: str, after_s: int) -> None:
    """Rounded up, so that who comes back then is let in; from 1 to 60."""
    place = await opened(world({"requests": "1/minute"}))
    place.move_to(f"2026-11-18T10:20:{second}Z")
    assert (await place.chat()).status == 200
    answer = await place.chat()
    assert answer.status == 429
    text = f'1 requests a minute for user "anna" are used up. Try again in {after_s} s.'
    assert error_of(answer)["message"] == text
    assert answer.header("Retry-After") == str(after_s)
    assert answer.header("retry-after-ms") == str(after_s * 1000)
    place.clock.ms += after_s * 1000 - 1000
    assert (await place.chat()).status == 429
    place.clock.ms += 1000
    assert (await place.chat()).status == 200


async def test_no_refusal_sends_anyone_away_for_longer_than_a_minute(opened: Open) -> None:
    limits = {"requests": "1/month", "tokens": "1/30d", "cost": cost(1, "month")}
    place = await opened(world(limits))
    for left in ("cost", "tokens", "requests"):
        await place.configure(world({kind: limits[kind] for kind in limits if kind >= left}))
        answer = await place.chat()
        if answer.status == 200:
            answer = await place.chat()
        assert answer.status == 402
        assert answer.header("Retry-After") is None


async def test_rate_headers_on_every_answer(opened: Open) -> None:
    """In OpenAI's names; of several limits of a kind the one that leaves least."""
    place = await opened(world({"requests": ["9/minute", "100/day"], "tokens": "100k/hour", "cost": "$1/day"}))

    def told(answer: Answer, requests: int) -> None:
        assert answer.header("x-ratelimit-limit-requests") == "9"
        assert answer.header("x-ratelimit-remaining-requests") == str(requests)
        assert answer.header("x-ratelimit-reset-requests") == "30s"
        assert answer.header("x-ratelimit-limit-tokens") == "100000"
        assert int(answer.header("x-ratelimit-remaining-tokens") or "") <= 100_000
        assert answer.header("x-ratelimit-reset-tokens") == "39m30s"
        assert answer.header("x-tollkeeper-budget-resets-at") == "2026-11-19T00:00:00Z"
        assert re.fullmatch(r"[01](\.\d{1,12})?", answer.header("x-tollkeeper-budget-remaining-usd") or "")

    plain = await place.chat()
    assert plain.status == 200
    told(plain, 8)
    streamed = await place.chat(stream=True)
    assert streamed.status == 200
    told(streamed, 7)
    await place.sim.behave("all", error="overloaded")
    passed_on = await place.chat()
    assert passed_on.status == 503
    told(passed_on, 6)
    await place.sim.behave("all", stop_at="before_headers", stop_with="rst")
    broken = await place.chat()
    assert broken.status == 502
    told(broken, 5)
    await place.sim.normal()
    wrong = await place.chat(messages="none")
    assert wrong.status == 400
    told(wrong, 5)
    unpriced = await place.chat(plugins=[{"id": "web"}])
    assert unpriced.status == 402
    told(unpriced, 5)
    for left in (4, 3, 2, 1, 0):
        told(await place.chat(), left)
    refused = await place.chat()
    assert refused.status == 429
    told(refused, 0)


async def test_no_limits_no_headers(opened: Open) -> None:
    place = await opened(world({}))
    answer = await place.chat()
    names = {name.lower() for name, _ in answer.headers}
    assert not {name for name in names if name.startswith(("x-ratelimit", "x-tollkeeper-budget"))}


# the order in which refusals are told, docs/concepts/quotas.md: (kind, window, scope)
ORDER = [
    ("cost", "total", "user"),
    ("cost", "total", "group"),
    ("cost", "total", "all"),
    ("cost", "month", "all"),
    ("cost", "30d", "user"),
    ("cost", "day", "user"),
    ("cost", "minute", "group"),
    ("tokens", "month", "group"),
    ("tokens", "day", "user"),
    ("tokens", "minute", "all"),
    ("requests", "total", "all"),
    ("requests", "week", "user"),
    ("requests", "hour", "group"),
    ("requests", "minute", "user"),
    ("concurrency", "", "user"),
    ("concurrency", "", "group"),
    ("concurrency", "", "all"),
]
_WHOSE = {"user": 'user "anna"', "group": 'group "family"', "all": "everyone together"}


def limited(limits: list[tuple[str, str, str]]) -> dict[str, Any]:
    """Give a configuration with the least possible limits."""
    blocks: dict[str, dict[str, Any]] = {"user": {}, "group": {}, "all": {}}
    for kind, window, scope in limits:
        if kind == "concurrency":
            blocks[scope][kind] = 1
            continue
        one = cost(1, window) if kind == "cost" else {"amount": 1, "window": window}
        blocks[scope].setdefault(kind, []).append(one)
    return {
        "limits": blocks["all"],
        "groups": {"family": {"limits": blocks["group"]}},
        "users": {"anna": user("anna", group="family", limits=blocks["user"])},
        "quotas": {"wait_s": 30},
    }


def names(message: str, limit: tuple[str, str, str]) -> bool:
    """Tell whether a refusal names this limit."""
    kind, window, scope = limit
    words = {
        "total": "budget of" if kind == "cost" else "in all",
        "month": "monthly" if kind == "cost" else "a month",
        "week": "a week",
        "day": "daily" if kind == "cost" else "a day",
        "hour": "an hour",
        "minute": "per-minute" if kind == "cost" else "a minute",
        "30d": "30d",
        "": "at once",
    }
    return words[window] in message and _WHOSE[scope] in message and (kind == "cost") == ("$" in message)


async def test_which_refusal_is_told(opened: Open) -> None:
    """All of them refuse; the first of the order is told; taken away, the next."""
    place = await opened(limited([]))
    assert (await place.chat()).status == 200
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang")
    running = await place.begin_chat(stream=True)
    await place.arrived(2)
    for n, first in enumerate(ORDER):
        await place.configure(limited(list(reversed(ORDER[n:]))))
        message = error_of(await place.chat())["message"]
        assert names(message, first), (first, message)
        assert not any(names(message, other) for other in ORDER[n + 1 :]), (first, message)
    await place.configure(limited([]))
    await running.hang_up()
    await place.quiet()
    await place.check_books()


@pytest.mark.parametrize("limit", [("requests", "day", "user"), ("tokens", "month", "all"), ("cost", "day", "group")])
async def test_what_waiting_cannot_cure_is_told_at_once(opened: Open, limit: tuple[str, str, str]) -> None:
    """The money would be there if the open request ended, but another limit is used up: nobody waits for that."""
    place = await opened(limited([]))
    assert (await place.chat()).status == 200
    await place.sim.behave("next", stop_at="after_chunks", stop_after=1, stop_with="hang")
    running = await place.begin_chat(stream=True)
    await place.arrived(2)
    first, second = place.rows()
    for others in ([], [limit]):
        more = limited(others)
        more["users"]["anna"]["limits"]["cost"] = [cost(first["cost_pusd"] + second["reserved_pusd"] + 10_000_000)]
        if not others:
            more["quotas"]["wait_s"] = 0
            await place.configure(more)
            assert "is left of the budget" in error_of(await place.chat())["message"]
    await place.configure(more)
    answer = await place.chat()
    assert names(error_of(answer)["message"], limit), answer.body
    await running.hang_up()
    await place.quiet()


async def test_the_longer_window_is_told_where_both_are_short(opened: Open) -> None:
    """The day leaves less than the month, but tomorrow the month would refuse all the same."""
    place = await opened(world({"cost": [cost(1000, "day"), cost(2000, "month")]}))
    answer = await place.chat()
    message = error_of(answer)["message"]
    assert f"${usd(2000)} is left of the monthly budget" in message
    assert answer.header("x-tollkeeper-budget-resets-at") == "2026-12-01T00:00:00Z"
