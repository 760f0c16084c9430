"""TLS to a provider: who is believed, and that nothing is told to anybody else."""

import asyncio
import hashlib
import ssl
from pathlib import Path

import pytest
from msgspec.structs import replace

from proxy.providers.transport.base import TransportError
from tests.providers.authority import Authority
from tests.providers.conftest import Make
from tests.providers.scripted import BODY, DEADLINES, HEADERS, KEY, Peer, always, plain, read_all, serving


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def test_a_good_certificate(make: Make, authority: Authority) -> None:
    async with serving(always(plain(b"hi")), authority.server("127.0.0.1")) as server:
        transport = make(server.url, authority.trust())
        for _ in range(50):
            answer = await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert await read_all(answer) == b"hi"
        assert server.connections == 1


async def test_a_good_certificate_for_a_name(make: Make, authority: Authority) -> None:
    async with serving(always(plain(b"hi")), authority.server("localhost")) as server:
        url = f"https://localhost:{server.port}"
        answer = await make(url, authority.trust()).send("POST", url + "/x", HEADERS, BODY, DEADLINES)
        assert await read_all(answer) == b"hi"


@pytest.mark.parametrize("wrong", ["host", "time", "authority"])
async def test_a_bad_certificate(make: Make, authority: Authority, tmp_path: Path, wrong: str) -> None:
    requests: list[bytes] = []

    async def play(peer: Peer) -> None:
        requests.append(await peer.reader.read())

    tls = authority.server("example.com" if wrong == "host" else "127.0.0.1", expired=wrong == "time")
    trust = Authority(tmp_path).trust() if wrong == "authority" else authority.trust()
    async with serving(play, tls) as server:
        transport = make(server.url, trust)
        for _ in range(3):
            with pytest.raises(TransportError) as caught:
                await transport.send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
            assert (caught.value.kind, caught.value.dispatched) == ("tls", False)
    assert not any(requests)


async def test_the_systems_authorities_are_believed_by_default(make: Make, authority: Authority) -> None:
    async with serving(always(plain(b"hi")), authority.server("127.0.0.1")) as server:
        with pytest.raises(TransportError) as caught:
            await make(server.url).send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert (caught.value.kind, caught.value.dispatched) == ("tls", False)


async def test_plain_http_on_a_port_for_tls(make: Make, authority: Authority) -> None:
    heard = b""

    async def play(peer: Peer) -> None:
        nonlocal heard
        heard += await peer.reader.read(1 << 16)
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    async with serving(play) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(TransportError) as caught:
            await make(url, authority.trust()).send("POST", url + "/x", HEADERS, BODY, DEADLINES)
        assert (caught.value.kind, caught.value.dispatched) == ("tls", False)
    assert heard[:1] == b"\x16"  # a TLS handshake, and nothing of the request
    assert KEY.encode() not in heard
    assert BODY not in heard


@pytest.mark.parametrize("answer", [b"", b"\x16"])
async def test_a_handshake_that_never_ends(make: Make, authority: Authority, answer: bytes) -> None:
    async def play(peer: Peer) -> None:
        await peer.send(answer)
        await peer.ended()

    async with serving(play) as server:
        url = f"https://127.0.0.1:{server.port}"
        transport = make(url, authority.trust())
        with pytest.raises(TransportError) as caught:
            await transport.send("POST", url + "/x", HEADERS, BODY, replace(DEADLINES, connect_s=0.3))
        assert (caught.value.kind, caught.value.dispatched) == ("connect_timeout", False)


async def test_a_handshake_that_is_cut_off(make: Make, authority: Authority) -> None:
    async def play(peer: Peer) -> None:
        await peer.reader.read(1)

    async with serving(play) as server:
        url = f"https://127.0.0.1:{server.port}"
        with pytest.raises(TransportError) as caught:
            await make(url, authority.trust()).send("POST", url + "/x", HEADERS, BODY, DEADLINES)
        assert (caught.value.kind, caught.value.dispatched) in [("unreachable", False), ("tls", False)]


async def test_cancelled_within_the_handshake(make: Make, authority: Authority) -> None:
    async with serving(Peer.ended) as server:
        url = f"https://127.0.0.1:{server.port}"
        task = asyncio.ensure_future(make(url, authority.trust()).send("GET", url, HEADERS, None, DEADLINES))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_an_old_version_is_refused(make: Make, authority: Authority) -> None:
    tls = authority.server("127.0.0.1")
    tls.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        tls.minimum_version = tls.maximum_version = ssl.TLSVersion.TLSv1_1
    async with serving(always(plain(b"hi")), tls) as server:
        with pytest.raises(TransportError) as caught:
            await make(server.url, authority.trust()).send("POST", server.url + "/x", HEADERS, BODY, DEADLINES)
        assert (caught.value.kind, caught.value.dispatched) in [("tls", False), ("unreachable", False)]


async def test_large_bodies_and_many_connections(make: Make, authority: Authority) -> None:
    body = bytes(range(256)) * (1 << 14)

    async def play(peer: Peer) -> None:
        while request := await peer.request():
            await peer.send(plain(request.partition(b"\r\n\r\n")[2]))

    async with serving(play, authority.server("127.0.0.1")) as server:
        transport = make(server.url, authority.trust())

        async def one() -> None:
            answer = await transport.send("POST", server.url + "/x", HEADERS, body, DEADLINES)
            digest = hashlib.sha256()
            while piece := await answer.read():
                digest.update(piece)
            assert digest.digest() == hashlib.sha256(body).digest()

        for _ in range(2):
            await asyncio.gather(*(one() for _ in range(5)))
        assert server.connections <= 5


async def test_an_answer_that_breaks_off(make: Make, authority: Authority) -> None:
    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(plain(b"hello")[:-2])

    async with serving(play, authority.server("127.0.0.1")) as server:
        answer = await make(server.url, authority.trust()).send("POST", server.url, HEADERS, BODY, DEADLINES)
        with pytest.raises(TransportError) as caught:
            await read_all(answer)
        assert (caught.value.kind, caught.value.dispatched) == ("broken", True)
