"""No step of a request blocks the event loop: everybody else's stream would stop with it."""

from collections.abc import Iterator

import blockbuster
import pytest

from tests.support.installation import ADMIN_TOKEN
from tests.support.stand import CHAT, MODEL, Stand


@pytest.fixture
def watched(stand: Stand) -> Iterator[None]:
    """Make every blocking call of proxy/ in a running loop an error, answered with 500. Starting may block."""
    assert stand.port
    watch = blockbuster.BlockBuster("proxy")
    watch.activate()
    yield
    watch.deactivate()


@pytest.mark.usefixtures("watched")
async def test_chat(stand: Stand) -> None:
    for stream in (False, True):
        for model in (
            MODEL,
            "plain/gpt-4o-mini",
            "sim/usage-missing",
            "sim/error-provider-error",
            "sim/rst-after-headers",
        ):
            assert (await stand.chat({"model": model, "stream": stream})).status in (200, 502)
    await stand.ended(10)


@pytest.mark.usefixtures("watched")
async def test_hang_up(stand: Stand) -> None:
    await stand.sim.behave(completion_tokens=20, pace_ms=10, provider="OpenAI")
    client = await stand.begin_chat({"stream": True})
    await client.read_until(b"delta")
    await client.hang_up()
    (row,) = await stand.settled()
    assert row["cost_source"] == "generation"


@pytest.mark.usefixtures("watched")
async def test_everything_else(stand: Stand) -> None:
    for method, path, body, status in (
        ("GET", "/v1/models", None, 200),
        ("GET", f"/v1/models/{MODEL}", None, 200),
        ("GET", "/v1/models/gpt-4o-min", None, 404),
        ("GET", "/healthz", None, 200),
        ("GET", "/readyz?verbose", None, 200),
        ("POST", CHAT, b"{", 400),
        ("GET", "/nothing", None, 404),
    ):
        assert (await stand.ask(method, path, body)).status == status
    for path, fields in (
        ("users/add", {"name": "bo"}),
        ("tokens/add", {"user": "bo"}),
        ("tokens/list", {}),
        ("users/remove", {"name": "bo"}),
        ("reload", {}),
    ):
        assert (await stand.ask("POST", f"/admin/v1/{path}", fields, token=ADMIN_TOKEN)).status == 200


@pytest.mark.usefixtures("watched")
async def test_the_watch_works(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted pause in the middle of a request is seen."""
    import time

    import proxy.pipeline.request.body as step
    from proxy.wire.body import parse_sized

    def slow(raw: bytes) -> object:
        time.sleep(0.001)
        return parse_sized(raw)

    slow.__code__ = slow.__code__.replace(co_filename=step.__file__)
    monkeypatch.setattr(step, "parse_sized", slow)
    assert (await stand.chat()).status == 500
