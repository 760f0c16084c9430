"""The demo's made-up weeks: the same each time, and as long as they say; what they cost is what the bill says."""

from zoneinfo import ZoneInfo

from proxy.cli.demo_people import PEOPLE, PRESETS
from proxy.cli.demo_script import WEEKS, DemoWeeks, begin_ms, write_weeks

END_MS = 1_795_000_000_000
ZONE = ZoneInfo("Europe/Stockholm")  # the clocks change within these weeks


def weeks(seed: int = 1) -> DemoWeeks:
    return write_weeks(END_MS, ZONE, seed, {one.name: f"tok_{one.name}" for one in PEOPLE})


def test_they_repeat_themselves_and_another_seed_does_not() -> None:
    assert weeks() == weeks()
    assert weeks().requests != weeks(2).requests


def test_they_fill_the_time_and_everybody_takes_part() -> None:
    found = weeks()
    starts = [one.open.started_ms for one in found.requests]
    assert starts == sorted(starts)
    assert begin_ms(END_MS, ZONE) <= starts[0] < starts[-1] < END_MS
    assert len({one.open.day for one in found.requests}) == WEEKS * 7 + 1
    assert {one.open.user for one in found.requests} == {one.name for one in PEOPLE}
    assert {one.open.requested_model for one in found.requests} >= PRESETS.keys()
    assert {one.end.status for one in found.requests} >= {200, 499, 502, 503}
    assert {one.end.state for one in found.requests} == {"settled", "released", "pending"}
    assert len({one.open.id for one in found.requests}) == len(found.requests)


def test_the_bill_has_each_call_at_what_the_ledger_comes_to() -> None:
    found = weeks()
    charged = {call["id"]: call["charged_pusd"] for call in found.calls}
    assert len(charged) == len(found.calls)
    late = {one.request_id: one.actual_pusd for one in found.late}
    billed = [one for one in found.requests if one.end.provider == "openrouter" and one.end.generation_id]
    for one in billed:
        if one.end.state == "settled":
            assert charged[one.end.generation_id or ""] == late.get(one.open.id, one.end.cost_pusd)
        assert (one.end.cost_pusd or 0) <= (one.open.reserved_pusd or 0)
    assert len(found.calls) == len(billed) + 2  # those outside
