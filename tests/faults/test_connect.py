"""U1 to U3: no connection can be made. Certainly nothing was sent, so nothing is billed."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import Open
from tests.faults.place import Place
from tests.faults.raw_upstream import RawUpstream
from tests.faults.seen import BOTH, KINDS, refused
from tests.providers.authority import Authority
from tests.support.installation import OPENAI_KEY, PROVIDER_KEY
from tests.support.raw import Answer

_SLOW_S = 1.0  # above the connect time-out of 0.5 s
RELEASED = ("released", 0, "none", None, "upstream_unreachable", 502)


def unreachable(answer: Answer) -> None:
    refused(answer, 502, "upstream_unreachable")
    assert (answer.json()["error"]["type"], answer.json()["error"]["param"]) == ("provider_error", None)


async def cannot_connect(place: Place, provider: str, *, stream: bool) -> None:
    unreachable(await place.chat(provider, stream=stream))
    row = await place.booked()
    assert (await place.figures(), row["outcomes"]) == (RELEASED, ["upstream_unreachable"])
    assert not place.upstream.chats()


@BOTH
@KINDS
async def test_u1_nobody_listens(opened: Open, provider: str, stream: bool) -> None:
    place = await opened()
    await place.works(provider)
    await place.upstream.down()
    before = len(place.upstream.chats())
    unreachable(await place.chat(provider, stream=stream))
    assert await place.figures() == RELEASED
    await place.upstream.up()
    assert len(place.upstream.chats()) == before
    await place.works(provider)


class Names:
    """What the system's resolver says of one name; all else it answers itself. faults: what it does next."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.getaddrinfo
        self.fault = ""
        self.asked = 0
        monkeypatch.setattr(loop, "getaddrinfo", self.getaddrinfo, raising=False)

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        if host != "provider.test":
            return await self._real(host, port, **more)
        self.asked += 1
        if self.fault == "unknown":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if self.fault == "server":
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if self.fault == "slow":
            await asyncio.sleep(_SLOW_S)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        if self.fault == "empty":
            return []
        return await self._real("127.0.0.1", port, **more)


@pytest.mark.parametrize("fault", ["unknown", "server", "slow", "empty"])
async def test_u2_no_address(opened: Open, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    names = Names(monkeypatch)
    names.fault = fault

    def edit(content: dict[str, Any], ups: list[RawUpstream]) -> None:
        for kind, path in (("openrouter", "api"), ("plain", "openai")):
            content["providers"][kind]["base_url"] = f"http://provider.test:{ups[0].port}/{path}/v1"
            content["providers"][kind]["connect_timeout_s"] = 0.5
        content["providers"]["openrouter"]["prices"] = content["providers"]["plain"]["prices"]

    place = await opened(edit=edit, models_known=fault != "slow")
    await cannot_connect(place, "openrouter", stream=False)
    await cannot_connect(place, "plain", stream=True)
    assert names.asked >= 2
    names.fault = ""
    await asyncio.sleep(_SLOW_S if fault == "slow" else 0)  # a look-up that hangs is shared by all who wait for it
    await place.works("plain")
    await place.works("openrouter")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def believe(authority: Authority, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system know one authority and no other, as OpenSSL is told to."""
    path = folder / "authority.pem"
    path.write_text(authority.pem())
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("SSL_CERT_DIR", str(folder / "none"))


def priced(content: dict[str, Any], _: list[RawUpstream]) -> None:
    content["providers"]["openrouter"]["prices"] = content["providers"]["plain"]["prices"]


@BOTH
@pytest.mark.parametrize("wrong", ["authority", "time", "host", "plain HTTP"])
async def test_u3_a_certificate_that_is_none(
    opened: Open, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str, stream: bool
) -> None:
    """Not a byte of key or body leaves, and it is never tried without TLS."""
    believe(authority, tmp_path, monkeypatch)
    signer = Authority(tmp_path) if wrong == "authority" else authority
    good = authority.server("127.0.0.1")
    bad = None if wrong == "plain HTTP" else signer.server("example.com" if wrong == "host" else "127.0.0.1")
    if wrong == "time":
        bad = signer.server("127.0.0.1", expired=True)
    place = await opened(edit=priced, tls=good)
    upstream = place.upstream
    await place.works()
    await upstream.down()
    before = len(upstream.requests)
    upstream.tls = bad
    await upstream.up()
    for _ in range(2):
        unreachable(await place.chat(stream=stream))
        assert await place.figures() == RELEASED
    assert len(upstream.requests) == before
    for secret in (PROVIDER_KEY, OPENAI_KEY, "a story", "Authorization", "POST"):
        assert secret.encode() not in upstream.received
    assert upstream.received.startswith(b"\x16\x03") if wrong == "plain HTTP" else upstream.received == b""
    await upstream.down()
    upstream.tls = good
    await upstream.up()
    await place.works()
