"""/admin/v1/models/stats: what was answered over real sockets, counted once, from the roll-up alone."""

import math
from pathlib import Path
from typing import Any

from proxy.core.histogram import BOUNDS, RELATIVE_ERROR
from tests.support.installation import ADMIN_TOKEN
from tests.support.raw import Answer
from tests.support.stand import MODEL, Stand, sqlite_ledger
from tests.support.stand import stand as run_stand

SPARE = "google/gemini-2.5-flash"
SLOW: dict[str, Any] = {"completion_tokens": 40, "pace_ms": 5, "provider": "OpenAI"}


async def stats(stand: Stand, query: str = "") -> Answer:
    return await stand.ask("GET", f"/admin/v1/models/stats{query}", token=ADMIN_TOKEN)


async def test_what_models_answered_is_counted(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"presets": {"spare": {"targets": [MODEL, SPARE]}}}) as stand:
        for n in range(4):
            await stand.sim.behave(**SLOW)
            assert (await stand.chat({"stream": n % 2 == 1})).status == 200
        await stand.sim.behave(f"model:{MODEL}", error="overloaded")
        assert (await stand.chat({"model": "spare"})).status == 200
        assert (await stand.chat()).status >= 500
        await stand.sim.reset()
        await stand.sim.behave(**{**SLOW, "pace_ms": 50})
        client = await stand.begin_chat({"stream": True})
        await client.read_until(b'"content"')
        await client.hang_up()
        rows = await stand.settled(7)
        found = {one["model"]: one for one in (await stats(stand)).json()["data"]}
        asked, spare = found[MODEL], found[SPARE]
        counted = ("requests", "answered", "errors", "cancelled", "fallbacks")
        assert [asked[name] for name in counted] == [6, 4, 1, 1, 0]
        assert [spare[name] for name in counted] == [1, 1, 0, 0, 1]
        assert (asked["success_share"], spare["success_share"], spare["fallback_share"]) == (0.8, 1, 1)
        mine = [row for row in rows if row["model"] == MODEL]
        assert asked["cost_pusd"] == sum(row["cost_pusd"] for row in mine)
        answered = [row for row in mine if row["status"] == 200]
        for measure, exact in (
            ("latency_ms", sorted(row["duration_ms"] for row in answered)),
            ("first_token_ms", sorted(row["ttft_ms"] for row in answered if row["streamed"])),
        ):
            for word, share in (("p50", 0.5), ("p95", 0.95)):
                wanted = exact[math.ceil(share * len(exact)) - 1]
                assert abs(asked[measure][word] - wanted) <= max(BOUNDS[0], RELATIVE_ERROR * wanted)
        assert asked["tokens_a_second"]["p50"] > 0
        all_of_them = (await stats(stand, "?by=all&histograms=true")).json()["data"]
        (provider,) = (await stats(stand, "?by=provider")).json()["data"]
        assert [all_of_them[0][name] for name in counted] == [asked[name] + spare[name] for name in counted]
        assert (provider["provider"], provider["histograms"]) == ("openrouter", None)
        assert provider["latency_ms"] == all_of_them[0]["latency_ms"]
        buckets = all_of_them[0]["histograms"]["latency_ms"]
        assert sum(one["number"] for one in buckets) == 5
        assert buckets[-1]["at"] >= all_of_them[0]["latency_ms"]["p99"] >= all_of_them[0]["latency_ms"]["p90"]
        await sqlite_ledger(stand.app).change(lambda db: db.execute("DELETE FROM requests"))
        assert {one["model"]: one for one in (await stats(stand, "?since=1h&model=*gpt*")).json()["data"]} == {
            MODEL: asked
        }
        assert (await stats(stand, "?until=2020-01-01")).json() == {"data": [], "next_cursor": None}
        refused = await stats(stand, "?since=soon")
        assert (refused.status, refused.json()["error"]["param"]) == (400, "since")
