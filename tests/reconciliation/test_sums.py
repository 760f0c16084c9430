"""A bill that tells sums alone: what no request accounts for is booked, and taken back where single calls are told."""

from pathlib import Path

from tests.reconciliation.month import FOREIGN, KEY_HASH, _ms, _Script
from tests.reconciliation.test_month import found_classes, played, today

_STRANGE = "mistralai/mistral-small"
_QUERIES = "path:/api/v1/analytics/query"


async def test_what_only_sums_tell_is_booked_once(tmp_path: Path) -> None:
    script = _Script(today(), 3, 1)
    month, (first, second, _) = script.month, script.month.days
    for n, day in enumerate((first, second)):
        script._agreed(day, _ms(day) + 3_600_000, 10**8 + n, 1)
    usual = {"model": _STRANGE, "user_agent": FOREIGN}
    known, more = (
        script._call(_ms(second) + minute * 60_000, pusd, **usual) for minute, pusd in ((90, 7 * 10**8), (95, 10**7))
    )
    async with played(tmp_path, month, "report") as play:
        await play.sim.behave(_QUERIES, error="management-only")
        found = await play.sync([second])
        assert [one.level for one in found.values()] == ["models"]
        assert found_classes(found.values())[second.isoformat()] == {"outside_call": 71 * 10**7}
        assert play.adjustments() == []

        await play.let_adjust()
        reference = f"sum of {second} {KEY_HASH[:16]} {_STRANGE}"
        for charged in (71 * 10**7, 74 * 10**7, 73 * 10**7):  # the bill of the day changes afterwards
            await play.sim.charge(known, charged - 10**7)
            for _ in range(2):
                found = await play.sync([second])
                assert found_classes(found.values())[second.isoformat()] == {}
                assert sum(one["amount_pusd"] for one in play.adjustments()) == charged
        assert {one["reference"] for one in play.adjustments()} == {reference}
        assert [one["amount_pusd"] for one in play.adjustments()] == [71 * 10**7, 3 * 10**7, -(10**7)]
        [row] = play.rows("SELECT DISTINCT charged_key, model, day FROM adjustments")
        assert row == {"charged_key": "main", "model": _STRANGE, "day": second.isoformat()}
        assert (await play.used())["all"] == 2 * 10**8 + 1 + 73 * 10**7

        await play.sim.normal()
        found = await play.sync([second])  # now each call is told: what was booked for the sum gives way to them
        assert [one.level for one in found.values()] == ["calls"]
        assert found_classes(found.values())[second.isoformat()] == {}
        booked = {one["reference"]: 0 for one in play.adjustments()}
        for one in play.adjustments():
            booked[one["reference"]] += one["amount_pusd"]
        assert booked == {reference: 0, known: 72 * 10**7, more: 10**7}
        assert (await play.used())["all"] == 2 * 10**8 + 1 + 73 * 10**7
