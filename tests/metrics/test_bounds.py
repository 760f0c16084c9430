"""However many names callers make up, there are so many series and no more, and no request is left out."""

from pathlib import Path

from proxy.core.limit_figures import LimitFigures
from proxy.pipeline.counters import Counters
from proxy.pipeline.values.finished import RequestFinished, RequestRefused
from proxy.policy.quota import Amounts
from tests.metrics.page import read_metrics
from tests.support.ended_request import END, OPEN
from tests.support.installation import token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.stand import MODEL, stand

FLOOD, NAMES_MAX = 3000, 20
REFUSED = RequestRefused("req_1", 1_000, None, "/v1", None, 402, "budget_exceeded", None, None, "caller", 1)


def _knows(provider: str, model: str) -> bool:
    return (provider, model) == ("openrouter", "listed")


def _flooded(*, names_users: bool) -> Counters:
    counters = Counters(_knows)
    counters.bound(NAMES_MAX, names_users=names_users)
    for n in range(FLOOD):
        failed = END._replace(model=f"made-up-{n}", user=f"user-{n}", status=404, cost_pusd=0)
        counters.finished(RequestFinished(OPEN, failed))
        counters.finished(RequestFinished(OPEN, END._replace(user=f"user-{n}", model=f"answered-{n % 500}")))
        counters.fell_back(("openrouter", f"made-up-{n}"), ("openrouter", f"answered-{n % 500}"), "overloaded")
        counters.refused(
            REFUSED._replace(limit=LimitFigures(f"user:user-{n}", "cost", "day", "hard", (), 1, 1, 0, 1, None))
        )
    counters.finished(RequestFinished(OPEN, END._replace(model="listed", status=404, cost_pusd=7)))
    return counters


def test_a_flood_of_names_is_bounded_and_counted_whole() -> None:
    counters = _flooded(names_users=True)
    ended = counters.ended()
    assert NAMES_MAX <= len(ended.usage) <= NAMES_MAX + 1
    assert len(ended.durations) <= NAMES_MAX + 1
    assert len(counters.fallbacks) <= NAMES_MAX + 1
    assert len(counters.limit_refusals) <= NAMES_MAX + 1
    assert sum(sums.requests for sums in ended.usage.values()) == 2 * FLOOD + 1
    assert sum(sums.failures for sums in ended.usage.values()) == FLOOD + 1
    assert sum(sums.cost_pusd for sums in ended.usage.values()) == FLOOD * (END.cost_pusd or 0) + 7
    assert sum(sum(durations.buckets) for durations in ended.durations.values()) == FLOOD
    assert sum(counters.fallbacks.values()) == sum(counters.limit_refusals.values()) == FLOOD
    assert ("openrouter", "other", "other") in ended.usage


def test_made_up_models_take_no_room_from_real_ones() -> None:
    counters = Counters(_knows)
    counters.bound(NAMES_MAX, names_users=False)
    for n in range(FLOOD):
        counters.finished(RequestFinished(OPEN, END._replace(model=f"made-up-{n}", status=404, cost_pusd=0)))
    for name, status in (("answered", 200), ("answered", 500), ("listed", 500)):
        counters.finished(RequestFinished(OPEN, END._replace(model=name, status=status)))
    usage = counters.ended().usage
    assert {(model, sums.requests) for (_, model, _), sums in usage.items()} == {
        ("other", FLOOD),
        ("answered", 2),
        ("listed", 1),
    }


def test_users_who_are_no_longer_named_leave_no_name_and_no_gap() -> None:
    counters = _flooded(names_users=True)
    before = counters.ended().usage
    counters.bound(NAMES_MAX, names_users=False)
    after = counters.ended().usage
    assert {user for _, _, user in after} == {""}
    assert {scope for scope, _, _ in counters.limit_refusals} == {"user"}
    assert sum(sums.cost_pusd for sums in after.values()) == sum(sums.cost_pusd for sums in before.values())
    assert sum(counters.limit_refusals.values()) == FLOOD


def test_a_cost_that_is_looked_up_counts_once_it_is_known() -> None:
    counters = Counters(_knows)
    pending = END._replace(state="pending", cost_pusd=None, input_tokens=None, output_tokens=None)
    counters.finished(RequestFinished(OPEN, pending))
    (sums,) = counters.ended().usage.values()
    assert (sums.requests, sums.cost_pusd, sum(sums.tokens)) == (1, 0, 0)
    counters.settled(END, was_pending=True)
    (sums,) = counters.ended().usage.values()
    assert (sums.requests, sums.cost_pusd, sums.tokens[:2]) == (1, END.cost_pusd, (312, 45))
    assert sum(sum(durations.buckets) for durations in counters.ended().durations.values()) == 1
    counters.settled(END._replace(status=500, error="crash"), was_pending=False)
    assert counters.ended().requests == {200: 1, 500: 1}


def test_an_end_that_is_not_on_disk_costs_nothing_yet() -> None:
    counters = Counters(_knows)
    counters.finished(RequestFinished(OPEN, END, is_written=False))
    (sums,) = counters.ended().usage.values()
    assert (sums.requests, sums.cost_pusd) == (1, 0)


async def test_the_setting_takes_effect_at_once(tmp_path: Path) -> None:
    names = [f"user-{n}" for n in range(12)]
    users = {name: {"token_hash": token_hash_of(name), "limits": {"requests": "9/day"}} for name in names}
    more = {"users": users, "metrics": {"labels_max": 10}}
    async with stand(tmp_path, more) as at:
        page = await read_metrics(at)
        assert not page.series("tollkeeper_limit"), "limits of users name users"
        for name in names:
            assert (await at.chat(token=token_of(name))).status == 200
        assert {labels["user"] for labels, _ in (await read_metrics(at)).series("tollkeeper_cost_usd_total")} == {""}
        path = tmp_path / "config.yaml"
        path.write_text(path.read_text().replace("labels_max: 10", "labels_max: 10\n  users: true"))

        async def named() -> bool:
            return at.app.live.settings.metrics.users

        await eventually(named)
        for name in names:
            assert (await at.chat(token=token_of(name))).status == 200
        page = await read_metrics(at)
        users_named = {labels["user"] for labels, _ in page.series("tollkeeper_cost_usd_total")}
        assert users_named == {"", "other", *names[:9]}
        assert page.sum("tollkeeper_usage_requests_total", model=MODEL) == 12 + 9
        assert page.sum("tollkeeper_usage_requests_total") == 24
        assert len(page.series("tollkeeper_limit")) == 10
        assert page.sum("tollkeeper_limits_left_out") == 2  # anna has none


async def test_what_a_crash_left_open_is_counted_by_the_start_that_settles_it(tmp_path: Path) -> None:
    async with stand(tmp_path) as at:
        services = at.app.services
        row = OPEN._replace(id=services.ledger.ids.next(services.clock.now_ms()), reserved_pusd=5 * 10**12)
        amounts = Amounts(cost_pusd=5 * 10**12, tokens=9)
        await services.limiter.reserve(row.id, ("user:anna", "all"), row.started_ms, amounts, ())
        await services.ledger.open(row)
        services.look_up_later(row.id)
        (booked,) = await at.settled()
        page = await read_metrics(at)
        assert (booked["status"], booked["cost_source"]) == (500, "reservation")
        assert page.sum("tollkeeper_cost_usd_total") == booked["cost_pusd"] / 10**12 == 5
        assert page.sum("tollkeeper_requests_total", status="500") == 1
        assert page.sum("tollkeeper_usage_requests_total", result="error") == 1
        assert page.sum("tollkeeper_flags_total", flag="crash") == 1
