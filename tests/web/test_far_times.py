"""A time that nothing can lie in is empty or refused with a sentence, in the operator's API and on the command line."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from proxy.cli import tollkeeper
from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import stand

FAR = ("1960-01-01", "0001-01-01", "2109-06-01", "2150-01-01", "9999-12-31", "9999-12-31T23:59:59-12:00", "999999w")
MONTHS = ("0001-01", "1969-12", "1970-01", "2150-01", "9999-11", "9999-12")
READS = ("usage?", "usage?by=key,hour&", "requests?", "refusals?by=error,day&", "attempts?", "models/stats?", "audit?")
COMMANDS = ("usage", "usage --by user,day --csv", "export", "export --format focus", "requests")


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Pacific/Pago_Pago"])
async def test_far_times(tmp_path: Path, zone: str) -> None:
    """Days at both ends of the calendar have no midnight in every zone, and ids have no such time."""
    async with stand(tmp_path, {"timezone": zone}) as place:
        assert (await place.chat({})).status == 200
        await place.settled(1)
        times = [f"{name}={time}" for time in FAR for name in ("since", "until")] + [f"month={one}" for one in MONTHS]
        asked = [f"{path}{time}" for path in READS for time in times]
        asked += [f"report?month={one}" for one in MONTHS]
        for query in asked:
            answer = await place.ask("GET", f"/admin/v1/{query.replace('+', '%2B')}", token=ADMIN_TOKEN)
            assert answer.status in (200, 400), (query, answer.body)
        for name in ("usage?", "refusals?", "requests?"):
            answer = await place.ask("GET", f"/admin/v1/{name}since=2150-01-01", token=ADMIN_TOKEN)
            assert answer.status == 200
            data = answer.json()["data"]
            assert not (data if isinstance(data, list) else data["rows"])
        config = str(place.folder / "config.yaml")
        said = [["report", one] for one in MONTHS]
        said += [[*words.split(), f"--{time}"] for words in COMMANDS for time in times]
        for words in said:
            ran = await asyncio.to_thread(CliRunner().invoke, tollkeeper, [*words, "-c", config])
            assert isinstance(ran.exception, SystemExit | None), (words, ran.exception)
            assert ran.exit_code in (0, 1, 2), (words, ran.output)
