"""Providers behind a proxy: what the proxy sees, what the provider gets, and whose failure is told."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.providers.transport.base import TransportError
from proxy.providers.transport.network import Network, ProxyServer
from tests.providers.authority import Authority
from tests.providers.conftest import Make
from tests.providers.proxy_server import proxying
from tests.providers.scripted import (
    BODY,
    DEADLINES,
    HEADERS,
    KEY,
    DeafListener,
    Peer,
    always,
    closed_port,
    plain,
    read_all,
    serving,
)

FAR = "llm.corp.invalid"  # a name that nobody but the proxy can find


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


def _by(url: str, authority: Authority | None = None) -> Network:
    return Network(ProxyServer.read(url), None if authority is None else authority.pem())


@pytest.mark.parametrize("credentials", [None, "anna:s3cr%40t"])
async def test_https(make: Make, authority: Authority, credentials: str | None) -> None:
    """The proxy is told a name and a port, and sees neither key nor body; one tunnel carries many requests."""
    async with serving(always(plain(b"hi")), authority.server(FAR)) as server, proxying(credentials) as proxy:
        url = f"https://{FAR}:{server.port}"
        transport = make(url, network=_by(proxy.url, authority))
        for _ in range(5):
            answer = await transport.send("POST", url + "/x", HEADERS, BODY, DEADLINES)
            assert (answer.status, await read_all(answer)) == (200, b"hi")
        assert proxy.asked == [f"CONNECT {FAR}:{server.port} HTTP/1.1"]
        assert KEY.encode() not in proxy.seen
        assert BODY not in proxy.seen


@pytest.mark.parametrize("credentials", [None, "anna:s3cr%40t"])
async def test_http(make: Make, credentials: str | None) -> None:
    """Where nothing is encrypted the proxy is sent whole URLs; with its password."""
    heads: list[bytes] = []

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            heads.append(request)
            await peer.send(plain(b"hi"))

    async with serving(play) as server, proxying(credentials) as proxy:
        url = f"http://{FAR}:{server.port}"
        transport = make(url, network=_by(proxy.url))
        for path in ("/x?y=1", "/z"):
            answer = await transport.send("POST", url + path, HEADERS, BODY, DEADLINES)
            assert await read_all(answer) == b"hi"
        assert proxy.asked[0] == f"POST {url}/x?y=1 HTTP/1.1"
        assert f"\r\nHost: {FAR}:{server.port}\r\n".encode() in heads[0]
        assert f"Authorization: Bearer {KEY}".encode() in heads[0]
        assert heads[0].endswith(BODY)


REFUSALS = {
    "no password": (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", "asks for a user and"),
    "not let through": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "does not let this provider through"),
    "no way on": (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "cannot reach the provider"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_proxy_that_refuses(make: Make, authority: Authority, name: str) -> None:
    """It is the proxy's failure, said so, and nothing was sent that could be billed."""
    answer, text = REFUSALS[name]
    async with proxying(refusal=answer) as proxy:
        url = f"https://{FAR}"
        with pytest.raises(TransportError, match=text) as caught:
            await make(url, network=_by(proxy.url, authority)).send("POST", url + "/x", HEADERS, BODY, DEADLINES)
        assert (caught.value.kind, caught.value.dispatched) == ("unreachable", False)
        assert f"the proxy http://127.0.0.1:{proxy.port} " in str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_wrong_password(make: Make, authority: Authority, scheme: str) -> None:
    """The text names the proxy and what it wants, never the password."""
    async with proxying("anna:right") as proxy:
        url = f"{scheme}://{FAR}"
        network = _by(proxy.url.replace("right", "wr0ng-one"), authority)
        with pytest.raises(TransportError, match="wants another user and password") as caught:
            await make(url, network=network).send("POST", url + "/x", HEADERS, BODY, DEADLINES)
        assert (caught.value.kind, caught.value.dispatched) == ("unreachable", False)
        assert "wr0ng" not in f"{caught.value!r} {network!r}"


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_no_proxy_there(make: Make, scheme: str) -> None:
    url = f"{scheme}://{FAR}"
    for place, text in ((f"127.0.0.1:{closed_port()}", "refused it"), ("nobody.invalid:3128", "cannot be found")):
        with pytest.raises(TransportError, match=text) as caught:
            await make(url, network=_by(f"http://{place}")).send("POST", url + "/x", HEADERS, BODY, DEADLINES)
        assert (caught.value.kind, caught.value.dispatched) == ("unreachable", False)
        assert f"the proxy http://{place}" in str(caught.value)


@pytest.mark.parametrize("answers", [False, True], ids=["deaf", "silent"])
async def test_a_proxy_that_takes_its_time(make: Make, answers: bool) -> None:
    async def silent(peer: Peer) -> None:
        await peer.head()
        await asyncio.sleep(30)

    url = f"https://{FAR}"
    deadlines = replace(DEADLINES, connect_s=0.3)
    with DeafListener() as deaf:
        async with serving(silent) as server:
            port = server.port if answers else deaf.port
            transport = make(url, network=_by(f"http://127.0.0.1:{port}"))
            with pytest.raises(TransportError, match="by the proxy") as caught:
                await transport.send("POST", url + "/x", HEADERS, BODY, deadlines)
    assert (caught.value.kind, caught.value.dispatched) == ("connect_timeout", False)


async def test_a_proxy_that_speaks_nonsense(make: Make, kind: str, authority: Authority) -> None:
    """Nothing was sent; aiohttp cannot tell, and so is on the safe side."""
    for answer in (b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200"):
        async with proxying(refusal=answer) as proxy:
            url = f"https://{FAR}"
            with pytest.raises(TransportError) as caught:
                await make(url, network=_by(proxy.url, authority)).send("POST", url + "/x", HEADERS, BODY, DEADLINES)
            assert caught.value.dispatched is False or kind == "aiohttp"


async def test_further_authorities(make: Make, authority: Authority, tmp_path: Path) -> None:
    """ca_file is believed beside the system's; without it the text says what may be missing."""
    async with serving(always(plain(b"hi")), authority.server("127.0.0.1")) as server:
        good = make(server.url, network=Network(None, authority.pem()))
        answer = await good.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert await read_all(answer) == b"hi"
        for network in (Network(), Network(None, Authority(tmp_path).pem())):
            with pytest.raises(TransportError, match=r"certificate.*set ca_file") as caught:
                await make(server.url, network=network).send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert caught.value.kind == "tls"
