"""A provider's account for the bench: tells for every row of a made ledger what was charged, as OpenRouter does.

python account_upstream.py PORT LEDGER

It works its bill out before it listens, half a minute for ten million rows: a provider computes elsewhere, and what it
would compute here, requests would feel. So it tells nothing of rows that come later.

GET  …/models, …/key, …/credits, …/keys, …/activity?date=DAY
POST …/analytics/query         what each generation of a time was charged; one of 10,000 another sum than booked
"""

import hashlib
import json
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web

from proxy.core.process_priority import put_back
from proxy.storage.rows import id_floor
from proxy.storage.sqlite.connect import open_reader

API_KEY = "sk-or-v1-bench"
_EACH = 10_000
_MORE_PUSD = 5_000
_HOUR_MS = 3_600_000
_DAY_MS = 86_400_000
_DAYS = 30
_CALLS = f"""
SELECT generation_id, cost_pusd + CASE WHEN id % {_EACH} = 0 THEN {_MORE_PUSD} ELSE 0 END AS billed_pusd
FROM requests WHERE id >= ? AND id < ? AND target_provider = 'openrouter'
"""  # noqa: S608 - constants
_SUM = f"SELECT count(*), sum(billed_pusd) FROM ({_CALLS})"  # noqa: S608 - as above


class Account:
    """Answers from the ledger's file, as it was at the start for the days that are over."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._hash = hashlib.sha256(API_KEY.encode()).hexdigest()
        self._sums: dict[int, bytes] = {}  # of days, by their start
        self._calls: dict[tuple[int, int], bytes] = {}  # of hours, by their start and end

    def work_out(self) -> None:
        """Work out what it will be asked: sums of the days, calls of their hours."""
        today = datetime.now(UTC).date()
        for back in range(_DAYS, 0, -1):
            start_ms = _epoch_ms((today - timedelta(days=back)).isoformat())
            self._sums[start_ms] = self._tell_sum(start_ms)
            for hour_ms in range(start_ms, start_ms + _DAY_MS, _HOUR_MS):
                span = hour_ms, hour_ms + _HOUR_MS
                self._calls[span] = self._tell_calls(*span)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/api/v1/models", self._models),
            web.get("/api/v1/key", self._key),
            web.get("/api/v1/credits", self._credits),
            web.get("/api/v1/keys", self._keys),
            web.get("/api/v1/activity", self._activity),
            web.post("/api/v1/analytics/query", self._query),
        ]

    def _read(self, query: str, start_ms: int, end_ms: int) -> list[Any]:
        with closing(open_reader(self._ledger)) as reader:
            return reader.execute(query, (id_floor(start_ms), id_floor(end_ms))).fetchall()

    async def _models(self, _: web.Request) -> web.Response:
        prices = {"prompt": "0.0000001", "completion": "0.0000006"}
        row = {"id": "bench/model-0", "name": "bench", "context_length": 8192, "pricing": prices}
        return web.json_response({"data": [row]})

    async def _key(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"label": "bench", "usage": 0, "limit": None, "is_management_key": True}})

    async def _credits(self, _: web.Request) -> web.Response:
        return web.json_response({"data": {"total_credits": 1000, "total_usage": 1}})

    async def _keys(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"hash": self._hash, "name": "main", "label": "bench", "usage": 0}]})

    async def _activity(self, request: web.Request) -> web.Response:
        start_ms = _epoch_ms(request.query["date"])
        body = self._sums.get(start_ms) or self._tell_sum(start_ms)
        return web.Response(body=body, content_type="application/json")

    async def _query(self, request: web.Request) -> web.Response:
        asked = (await request.json())["time_range"]
        span = _epoch_ms(asked["start"]), _epoch_ms(asked["end"])
        body = self._calls.get(span) or self._tell_calls(*span)
        return web.Response(body=body, content_type="application/json")

    def _tell_sum(self, start_ms: int) -> bytes:
        ((count, pusd),) = self._read(_SUM, start_ms, start_ms + _DAY_MS)
        row = {"date": _day(start_ms), "model": "bench/model-0", "usage": 0, "requests": count}
        text = json.dumps({"data": [row | {"prompt_tokens": 0, "completion_tokens": 0}]})
        return text.replace('"usage": 0', f'"usage": {_usd(pusd or 0)}').encode()

    def _tell_calls(self, start_ms: int, end_ms: int) -> bytes:
        rows = self._read(_CALLS, start_ms, end_ms)
        told = ",".join(f'{{"generation_id":"{id_}","total_usage":{_usd(pusd)}}}' for id_, pusd in rows)
        return f'{{"data":{{"data":[{told}],"metadata":{{"row_count":{len(rows)},"truncated":false}}}}}}'.encode()


def _day(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).date().isoformat()


def _epoch_ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _usd(pusd: int) -> str:
    return f"{pusd // 10**12}.{pusd % 10**12:012d}"


def main(port: str, ledger: str) -> None:
    put_back()  # it is no part of what is measured: requests must not feel it either
    account = Account(Path(ledger))
    account.work_out()
    app = web.Application()
    app.add_routes(account.routes())
    web.run_app(app, host="127.0.0.1", port=int(port), print=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
