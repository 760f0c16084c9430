"""Who reads the figures of the whole installation."""

from pathlib import Path
from typing import Any

import pytest
from multidict import CIMultiDict

from proxy.web.exposure import is_here
from tests.support.installation import ADMIN_TOKEN, token_of
from tests.support.raw import Answer, connect_unix, request_bytes
from tests.support.stand import Stand
from tests.support.stand import stand as run_stand

PATHS = ("/metrics", "/readyz?verbose", "/readyz?verbose=1", "//metrics/", "/readyz/?a=b&verbose")
AWAY = [("X-Forwarded-For", "203.0.113.9")]


async def _asked(stand: Stand, path: str, token: str | None, *, away: bool) -> Answer:
    return await stand.ask("GET", path, token=token, headers=AWAY if away else [])


@pytest.mark.parametrize(("mode", "here", "away"), [("loopback", 200, 403), ("token", 403, 403), ("open", 200, 200)])
async def test_modes(tmp_path: Path, mode: str, here: int, away: int) -> None:
    """The operator's token opens them anywhere, a user's nowhere; what probes ask stays open."""
    async with run_stand(tmp_path, {"server": {"metrics": mode}}) as stand:
        for path in PATHS:
            assert (await _asked(stand, path, None, away=False)).status == here
            refused = await _asked(stand, path, None, away=True)
            assert refused.status == away
            if away == 403:
                assert refused.json()["error"]["code"] == "operator_only"
                assert f"server.metrics: {mode}" in refused.json()["error"]["message"]
            assert (await _asked(stand, path, ADMIN_TOKEN, away=True)).status == 200
            if mode != "open":
                assert (await _asked(stand, path, token_of("anna"), away=True)).status == 403
        for path in ("/healthz", "/readyz", "/readyz?x=verbose"):
            assert (await _asked(stand, path, None, away=True)).status == 200
        async with await connect_unix(str(stand.database) + ".sock") as client:
            for path in ("/metrics", "/readyz?verbose"):
                await client.send(request_bytes("GET", path))
                assert (await client.read_answer()).status == 200


async def test_without_an_operators_token(tmp_path: Path) -> None:
    async with run_stand(tmp_path, {"admin_token": None}) as stand:
        got = await _asked(stand, "/metrics", ADMIN_TOKEN, away=True)
        assert (got.status, got.json()["error"]["code"]) == (403, "operator_only")


@pytest.mark.parametrize(
    ("peer", "headers", "here"),
    [
        (("127.0.0.1", 5), [], True),
        (("127.8.0.1", 5), [], True),
        (("::1", 5, 0, 0), [], True),
        (("::ffff:127.0.0.1", 5, 0, 0), [], True),
        (("::ffff:192.168.1.5", 5, 0, 0), [], False),
        (("192.168.1.5", 5), [], False),
        (("fe80::1%eth0", 5, 0, 2), [], False),
        (("127.0.0.1", 5), [("Forwarded", "for=203.0.113.9")], False),
        (("127.0.0.1", 5), [("via", "1.1 caddy")], False),
        (("127.0.0.1", 5), [("X-Real-IP", "127.0.0.1")], False),
        ("", [], False),
        (None, [], False),
    ],
)
def test_is_here(peer: Any, headers: list[tuple[str, str]], here: bool) -> None:
    assert is_here(peer, CIMultiDict(headers)) is here
