"""What is wrong with a request is told in OpenAI's shape, and nothing of a refused request reaches a provider."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.installation import ADMIN_TOKEN, PROVIDER_KEY, token_hash_of, token_of
from tests.support.patience import eventually
from tests.support.raw import Answer, ask, connect, exchange, request_bytes
from tests.support.stand import CHAT, MESSAGES, MODEL, Stand
from tests.support.stand import stand as run_stand

pytestmark = pytest.mark.asyncio(loop_scope="module")

BODY_MAX_BYTES = 100_000
GOOD = {"model": MODEL, "messages": MESSAGES}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=[True, False], ids=["lane", "general"])
async def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stand]:
    more = {
        "server": {
            "fast_path": request.param,
            "body_max_bytes": BODY_MAX_BYTES,
            "body_timeout_s": 0.5,
            "head_timeout_s": 2,
            "hosts": ["llm.home.arpa"],
            "origins": ["https://app.example"],
        },
        "users": {
            "gone": {"token_hash": token_hash_of("gone"), "disabled": True},
            "late": {"token_hash": token_hash_of("late"), "expires_at": "2020-01-01T00:00:00Z"},
            "cut": {
                "tokens": [
                    {"hash": token_hash_of("cut"), "disabled": True},
                    {"hash": token_hash_of("old"), "expires_at": "2020-01-01T00:00:00Z"},
                ]
            },
        },
    }
    async with run_stand(tmp_path_factory.mktemp("bad"), more) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def stand(shared: Stand) -> AsyncIterator[Stand]:
    """Nothing that a test of this file does reaches the provider or the ledger, unless it says so by forgetting."""
    await shared.clear()
    yield shared
    assert await shared.sim.requests() == []
    assert await shared.rows() == []


def refused(got: Answer, status: int, code: str, text: str = "", *, head_read: bool = True) -> dict[str, Any]:
    """Check the shape of an error; text is a part of its message."""
    assert got.status == status, (got.status, got.body)
    assert got.end == "complete"
    assert got.content_type == "application/json"
    body: dict[str, Any] = got.json()
    error: dict[str, Any] = body["error"]
    assert set(error) - {"metadata"} == {"message", "type", "param", "code"}
    if "metadata" in error:  # under /api/v1
        assert (error["code"], error["metadata"]) == (status, {"error_type": code})
    else:
        assert error["code"] == code
    assert text in error["message"]
    assert error["message"][0].isupper() or error["message"][0] in "\"'/" or error["param"]
    if head_read:
        assert set(body) == {"error", "request_id"}
        assert re.fullmatch(r"req_[0-9a-f]{16}", body["request_id"])
        assert got.header("x-request-id") == body["request_id"]
    assert got.header("server") == "tollkeeper"
    assert "aiohttp" not in str(got.headers).lower()
    return error


def nested(depth: int) -> bytes:
    return b'{"model":"m","messages":[{"role":"user"}],"x":' + b"[" * depth + b"]" * depth + b"}"


def chat(**fields: Any) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


MODEL_JSON = b'{"model":"m","messages":[{"role":"user","content":"x"}]'

BODIES: dict[str, tuple[bytes, str, str | None, str]] = {  # name -> (body, code, param, part of the text)
    "empty": (b"", "empty_body", None, "empty"),
    "white space": (b" \n ", "empty_body", None, "empty"),
    "no JSON": (b"hello", "invalid_json", None, "line 1, column 1"),
    "cut off": (b'{"model": "m"', "invalid_json", None, "line 1"),
    "single quotes": (b"{'model': 'm'}", "invalid_json", None, "column 2"),
    "comma at the end": (MODEL_JSON + b",}", "invalid_json", None, "not valid JSON"),
    "two documents": (MODEL_JSON + b"}{}", "invalid_json", None, "not valid JSON"),
    "NaN": (MODEL_JSON + b',"temperature":NaN}', "invalid_json", None, "NaN"),
    "infinity": (MODEL_JSON + b',"temperature":Infinity}', "invalid_json", None, "Infinity"),
    "1e400": (MODEL_JSON + b',"temperature":1e400}', "invalid_json", None, "larger than a double"),
    "lone surrogate": (MODEL_JSON + b',"x":"\\ud800"}', "invalid_json", None, "surrogate"),
    "lone low surrogate": (MODEL_JSON + b',"x":"\\udc00"}', "invalid_json", None, "surrogate"),
    "control character": (MODEL_JSON + b',"x":"\x01"}', "invalid_json", None, "not valid JSON"),
    "no UTF-8": (MODEL_JSON + b',"x":"\xff"}', "invalid_encoding", None, "UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf{}", "missing_required_parameter", "model", "model is missing"),
    "two byte order marks": (b"\xef\xbb\xbf\xef\xbb\xbf{}", "invalid_json", None, "not valid JSON"),
    "UTF-16": ('{"model":"m"}'.encode("utf-16"), "invalid_encoding", None, "UTF-8"),
    "UTF-32": ('{"model":"m"}'.encode("utf-32-be"), "invalid_encoding", None, "UTF-8"),
    "deep": (nested(300), "too_deep", None, "254 levels"),
    "very deep": (nested(40_000), "too_deep", None, "254 levels"),
    "a list": (b"[]", "invalid_type", None, "must be a JSON object"),
    "null": (b"null", "invalid_type", None, "must be a JSON object"),
    "a text": (b'"x"', "invalid_type", None, "must be a JSON object"),
    "a model twice": (b'{"model":"a","model":"b","messages":[]}', "duplicate_key", "model", "given twice"),
    "max_tokens twice": (MODEL_JSON + b',"max_tokens":1,"max_tokens":99999}', "duplicate_key", "max_tokens", "twice"),
    "escaped twice": (MODEL_JSON + b',"x":1,"\\u0078":2}', "duplicate_key", "x", "given twice"),
    "twice inside": (MODEL_JSON + b',"provider":{"only":[],"only":1}}', "duplicate_key", "only", "given twice"),
    "no model": (b'{"messages":[]}', "missing_required_parameter", "model", "GET /v1/models"),
    "model null": (chat(model=None), "invalid_type", "model", "must be a string; found null"),
    "model number": (chat(model=5), "invalid_type", "model", "found an integer"),
    "model list": (chat(model=["a"]), "invalid_type", "model", "found a list"),
    "model empty": (chat(model=""), "invalid_value", "model", "1 to 256"),
    "model long": (chat(model="m" * 257), "invalid_value", "model", "1 to 256"),
    "model with line end": (chat(model="a\nb"), "invalid_value", "model", "printable"),
    "no messages": (b'{"model":"m"}', "missing_required_parameter", "messages", "messages is missing"),
    "messages null": (chat(messages=None), "invalid_type", "messages", "found null"),
    "messages text": (chat(messages="hi"), "invalid_type", "messages", "found a string"),
    "messages object": (chat(messages={}), "invalid_type", "messages", "found an object"),
    "messages empty": (chat(messages=[]), "invalid_value", "messages", "at least one"),
    "message text": (chat(messages=["hi"]), "invalid_type", "messages[0]", "found a string"),
    "message without role": (chat(messages=[*MESSAGES, {}]), "invalid_type", "messages[1].role", "found none"),
    "role number": (chat(messages=[{"role": 1}]), "invalid_type", "messages[0].role", "found an integer"),
    "stream text": (chat(stream="true"), "invalid_type", "stream", "true or false"),
    "stream number": (chat(stream=1), "invalid_type", "stream", "true or false"),
    "max_tokens 0": (chat(max_tokens=0), "invalid_value", "max_tokens", "at least 1"),
    "max_tokens -1": (chat(max_tokens=-1), "invalid_value", "max_tokens", "at least 1"),
    "max_tokens 1.0": (chat(max_tokens=1.0), "invalid_type", "max_tokens", "integer"),
    "max_tokens text": (chat(max_tokens="5"), "invalid_type", "max_tokens", "found a string"),
    "max_tokens true": (chat(max_tokens=True), "invalid_type", "max_tokens", "found a boolean"),
    "max_tokens 2**64": (chat(max_tokens=2**64), "invalid_type", "max_tokens", "integer"),
    "max_tokens 1e308": (chat(max_tokens=1e308), "invalid_type", "max_tokens", "integer"),
    "max_tokens 10**400": (chat(max_tokens=10**400), "invalid_json", None, "larger than a double"),
    "max_tokens 2**40": (chat(max_tokens=2**40), "invalid_value", "max_tokens", "at most"),
    "max_completion_tokens": (chat(max_completion_tokens=[]), "invalid_type", "max_completion_tokens", "a list"),
    "n 0": (chat(n=0), "invalid_value", "n", "at least 1"),
    "n 10**9": (chat(n=10**9), "invalid_value", "n", "at most 128"),
    "n text": (chat(n="2"), "invalid_type", "n", "found a string"),
    "n true": (chat(n=True), "invalid_type", "n", "found a boolean"),
    "stream_options": (chat(stream=True, stream_options="usage"), "invalid_type", "stream_options", "an object"),
    "models": (chat(models="a"), "invalid_type", "models", "list of strings"),
    "models with null": (chat(models=[None]), "invalid_type", "models[0]", "string"),
}


@pytest.mark.sampled(0.3)
@pytest.mark.parametrize("case", BODIES.values(), ids=BODIES)
async def test_body(stand: Stand, case: tuple[bytes, str, str | None, str]) -> None:
    body, code, param, text = case
    got = await stand.ask("POST", CHAT, body)
    error = refused(got, 400, code, text)
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"


NULLS = ["stream", "max_tokens", "max_completion_tokens", "n", "stream_options", "models"]


@pytest.mark.parametrize("name", NULLS)
async def test_null_is_not_given(stand: Stand, name: str) -> None:
    got = await stand.chat({name: None})
    assert got.status == 200, got.body
    await stand.clear()


# --- size and time


async def test_too_large_by_its_length(stand: Stand) -> None:
    """Refused by the head alone: not a byte of the body is waited for."""
    head = request_bytes("POST", CHAT, b"", token=stand.token, headers=[("Content-Length", str(BODY_MAX_BYTES + 1))])
    async with await connect(stand.port) as client:
        await client.send(head)
        refused(await client.read_answer(), 413, "body_too_large", f"{BODY_MAX_BYTES} bytes")


async def test_too_large_in_chunks(stand: Stand) -> None:
    """Refused when the limit is passed, though the text before it is no JSON and would be a 400."""
    head = request_bytes("POST", CHAT, b"", token=stand.token, headers=[("Transfer-Encoding", "chunked")])
    async with await connect(stand.port) as client:
        await client.send(head + (b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 4)
        refused(await client.read_answer(), 413, "body_too_large")


async def test_just_not_too_large(stand: Stand) -> None:
    body = chat(padding="x" * (BODY_MAX_BYTES - len(chat(padding=""))))
    assert len(body) == BODY_MAX_BYTES
    assert (await stand.ask("POST", CHAT, body)).status == 200
    await stand.clear()
    refused(await stand.ask("POST", CHAT, body + b" "), 413, "body_too_large")


@pytest.mark.parametrize("chunked", [False, True])
async def test_slow(stand: Stand, chunked: bool) -> None:
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", "500")
    async with await connect(stand.port) as client:
        await client.send(request_bytes("POST", CHAT, b"", token=stand.token, headers=[framing]))
        await client.send(b'5\r\n{"mod\r\n' if chunked else b'{"mod')
        refused(await client.read_answer(), 408, "body_timeout", "0.5 s")
        assert await client.at_end() in ("fin", "rst")


async def test_a_head_that_never_ends(stand: Stand) -> None:
    async with await connect(stand.port) as client:
        await client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        assert await client.at_end() in ("fin", "rst")


async def test_a_second_head_that_never_ends(stand: Stand) -> None:
    """A connection that was used once is no place to hold a half-sent head either."""
    async with await connect(stand.port) as client:
        await client.send(request_bytes("GET", "/healthz"))
        assert (await client.read_answer()).status == 200
        await client.send(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        assert await client.at_end() in ("fin", "rst")


@pytest.mark.parametrize("length", [5, 5000])
async def test_a_length_that_lies(stand: Stand, length: int) -> None:
    body = chat()
    data = request_bytes("POST", CHAT, body, token=stand.token, headers=[("Content-Length", str(length))])
    got = await exchange(stand.port, data)
    if length < len(body):  # what is beyond belongs to a next request, and is none
        assert got.status == 400
        assert got.json()["error"]["code"] in ("invalid_json", "bad_request")
    else:
        refused(got, 408, "body_timeout")


# --- headers


HEADERS: dict[str, tuple[list[tuple[str, str]], int, str, str]] = {
    "gzip": ([("Content-Encoding", "gzip")], 415, "unsupported_content_encoding", "uncompressed"),
    "br": ([("Content-Encoding", "br")], 415, "unsupported_content_encoding", "uncompressed"),
    "two encodings": ([("Content-Encoding", "identity, gzip")], 415, "unsupported_content_encoding", ""),
    "page": ([("Content-Type", "text/html")], 415, "unsupported_content_type", "'text/html'"),
    "xml": ([("Content-Type", "application/xml")], 415, "unsupported_content_type", "application/json"),
    "form": ([("Content-Type", "multipart/form-data; boundary=x")], 415, "unsupported_content_type", ""),
    "junk expectation": ([("Expect", "200-maybe")], 417, "expectation_failed", "100-continue"),
    "origin": ([("Origin", "https://evil.example")], 403, "origin_not_allowed", "server.origins"),
    "origin null": ([("Origin", "null")], 403, "origin_not_allowed", ""),
    "two origins": (
        [("Origin", "https://app.example"), ("Origin", "https://evil.example")],
        403,
        "origin_not_allowed",
        "",
    ),
    "tags": ([("X-Tollkeeper-Tags", "nothing")], 400, "invalid_tags", "key=value"),
    "many tags": ([("X-Tollkeeper-Tags", ",".join(f"a{n}=b" for n in range(17)))], 400, "invalid_tags", "16"),
    "long header": ([("HTTP-Referer", "x" * 9000)], 431, "header_too_large", ""),
    "many headers": ([(f"X-A{n}", "b") for n in range(200)], 431, "header_too_large", ""),
}


@pytest.mark.parametrize("case", HEADERS.values(), ids=HEADERS)
async def test_header(stand: Stand, case: tuple[list[tuple[str, str]], int, str, str]) -> None:
    headers, status, code, text = case
    refused(await stand.ask("POST", CHAT, GOOD, headers=headers), status, code, text, head_read=status != 431)


@pytest.mark.parametrize(
    "headers",
    [
        [("Content-Encoding", "identity")],
        [("Content-Type", "application/json; charset=utf-8")],
        [("Content-Type", "Application/JSON")],
        [("Content-Type", "application/json; charset=UTF-8")],
        [("Content-Type", "application/json;charset=utf-8; boundary=x")],
        [("Content-Type", "")],
        [("Content-Type", "text/plain")],
        [("Content-Type", "text/plain;charset=UTF-8")],
        [("Content-Type", "application/x-www-form-urlencoded")],
        [("Content-Type", "application/vnd.api+json")],
        [("Content-Type", "text/json")],
        [("Accept", "text/event-stream"), ("TE", "trailers")],
        [("Origin", "https://app.example")],
        [("X-Tollkeeper-Tags", "team=a, job=b")],
    ],
)
async def test_good_header(stand: Stand, headers: list[tuple[str, str]]) -> None:
    assert (await stand.ask("POST", CHAT, GOOD, headers=headers)).status == 200
    await stand.clear()


async def test_expect_continue(stand: Stand) -> None:
    """100 comes when token and size are fine and the body is wanted; not before."""
    body = chat()
    headers = [("Expect", "100-continue"), ("Content-Length", str(len(body)))]
    async with await connect(stand.port) as client:
        await client.send(request_bytes("POST", CHAT, b"", token=stand.token, headers=headers))
        assert await client.read_some() == b"HTTP/1.1 100 Continue\r\n\r\n"
        await client.send(body)
        assert (await client.read_answer()).status == 200
    await stand.clear()
    for token, length, status in (("tk-x", 10, 401), (stand.token, BODY_MAX_BYTES + 1, 413)):
        headers = [("Expect", "100-continue"), ("Content-Length", str(length))]
        async with await connect(stand.port) as client:
            await client.send(request_bytes("POST", CHAT, b"", token=token, headers=headers))
            got = await client.read_answer()
            assert (got.status, got.interim) == (status, [])


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8787", 200),
        ("localhost:1", 200),
        ("LOCALHOST", 200),
        ("[::1]:8787", 200),
        ("llm.home.arpa", 200),
        ("host.docker.internal:8787", 200),
        ("192.168.1.5:8787", 421),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1/healthz?", 421),
        ("127.0.0.1:8787@evil.example", 421),
        ("user@127.0.0.1", 421),
        ("127.0.0.1:x", 421),
        ("127.0.0.1, evil.example", 421),
        ("", 421),
        (None, 421),
    ],
)
@pytest.mark.parametrize("path", ["/v1/models", "/healthz", "/admin/v1/users/list", "/nothing"])
async def test_host(stand: Stand, host: str | None, status: int, path: str) -> None:
    """On every path alike: a web page that points its own name at this machine learns nothing."""
    token = ADMIN_TOKEN if path.startswith("/admin") else stand.token  # wrong ones would count against this address
    got = await ask(stand.port, "GET", path, host=host, token=token)
    if status == 421:
        if got.status == 400 and host is None:
            refused(got, 400, "bad_request", head_read=False)
        else:
            refused(got, 421, "host_not_allowed", "server.hosts")
    else:
        assert got.status != 421


async def test_two_hosts(stand: Stand) -> None:
    got = await stand.ask("GET", "/v1/models", headers=[("Host", "127.0.0.1")])
    assert got.status in (400, 421)
    refused(got, got.status, "bad_request" if got.status == 400 else "host_not_allowed", head_read=got.status == 421)


# --- tokens


def bearer(token: str) -> list[tuple[str, str]]:
    return [("Authorization", f"Bearer {token}")]


_TYPO = token_of("anna")[:-1] + ("0" if token_of("anna")[-1] != "0" else "1")
TOKENS: dict[str, tuple[list[tuple[str, str]], int, str, str]] = {
    "none": ([], 401, "invalid_api_key", 'Send "Authorization: Bearer tk-..."'),
    "empty": (bearer(""), 401, "invalid_api_key", ""),
    "only the scheme": ([("Authorization", "Bearer")], 401, "invalid_api_key", ""),
    "basic": ([("Authorization", "Basic eDp5")], 401, "invalid_api_key", "Bearer tk-"),
    "unknown": (bearer(token_of("nobody")), 401, "invalid_api_key", "is not known. Make one with: tollkeeper tokens"),
    "mistyped or incomplete": (bearer(_TYPO), 401, "invalid_api_key", "mistyped or incomplete"),
    "cut off": (bearer(token_of("anna")[:-3]), 401, "invalid_api_key", "mistyped or incomplete"),
    "an OpenRouter key": (bearer(PROVIDER_KEY), 401, "invalid_api_key", "You sent an OpenRouter key. Use the token"),
    "an OpenAI key": (bearer("sk-proj-1234"), 401, "invalid_api_key", "begin with tk-"),
    "the operator's token": (bearer(ADMIN_TOKEN), 401, "invalid_api_key", ""),
    "disabled user": (bearer(token_of("gone")), 403, "token_disabled", "'gone' is disabled"),
    "disabled token": (bearer(token_of("cut")), 403, "token_disabled", "This token of user 'cut' is disabled"),
    "expired user": (bearer(token_of("late")), 401, "token_expired", "has expired"),
    "expired token": (bearer(token_of("old")), 401, "token_expired", "has expired"),
    "two tokens": (bearer(token_of("anna")) + bearer(token_of("gone")), 401, "invalid_api_key", "several different"),
    "two headers": (
        [*bearer(token_of("anna")), ("x-api-key", token_of("gone"))],
        401,
        "invalid_api_key",
        "several different tokens",
    ),
    "two headers, none of them ours": (
        [*bearer("sk-one"), ("x-api-key", "sk-two")],
        401,
        "invalid_api_key",
        "several different tokens",
    ),
    "a key of Google's": ([("x-goog-api-key", "AIza1234")], 401, "invalid_api_key", "begin with tk-"),
    "a cookie": ([("Cookie", f"token={token_of('anna')}")], 401, "invalid_api_key", "no token"),
    "SQL": (bearer("tk-' OR 1=1 --"), 401, "invalid_api_key", ""),
    "unicode": (bearer("tk-ключ"), 401, "invalid_api_key", ""),
    "broken UTF-8": (bearer("tk-\udcff\udcfe"), 401, "invalid_api_key", ""),
    "long": (bearer("tk-" + "a" * 8000), 401, "invalid_api_key", ""),
}


@pytest.mark.parametrize("path", [CHAT, "/v1/models", "/v1/models/x", "/models", "/api/v1/models"])
@pytest.mark.parametrize("case", TOKENS.values(), ids=TOKENS)
async def test_token(stand: Stand, case: tuple[list[tuple[str, str]], int, str, str], path: str) -> None:
    """The same on every path; the body is not waited for, so that nobody without a token makes us hold it."""
    headers, status, code, text = case
    method = "POST" if path == CHAT else "GET"
    more = [("Content-Length", "50000"), ("Content-Type", "application/json")] if path == CHAT else []
    async with await connect(stand.port) as client:
        await client.send(request_bytes(method, path, headers=[*headers, *more]))
        error = refused(await client.read_answer(), status, code, text)
    assert error["type"] == ("permission_error" if status == 403 else "invalid_request_error")
    assert token_of("anna") not in error["message"]


@pytest.mark.parametrize("name", ["x-api-key", "api-key", "X-API-Key"])
async def test_token_in_other_headers(stand: Stand, name: str) -> None:
    assert (await stand.ask("GET", "/v1/models", token=None, headers=[(name, stand.token)])).status == 200
    both = [(name, stand.token), *bearer(stand.token)]
    assert (await stand.ask("GET", "/v1/models", token=None, headers=both)).status == 200


async def test_a_token_in_the_path_is_none(stand: Stand) -> None:
    got = await stand.ask("GET", f"/v1/models?api_key={stand.token}&key={stand.token}", token=None)
    refused(got, 401, "invalid_api_key", "no token")


async def test_a_token_of_a_megabyte(stand: Stand) -> None:
    got = await exchange(stand.port, request_bytes("GET", "/v1/models", token="tk-" + "a" * 1_000_000))
    refused(got, 431, "header_too_large", head_read=False)
    assert b"aaaa" not in got.body


# --- paths and methods


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "text"),
    [
        ("POST", "/", 405, "method_not_allowed", "accepts GET"),
        ("POST", "//v1//", 405, "method_not_allowed", "accepts GET"),
        ("GET", "/v2", 404, "unknown_url", "POST /v1/chat/completions"),
        ("GET", "/a/stranger/altogether", 404, "unknown_url", "should end in /v1"),
        ("GET", "/.", 404, "unknown_url", ""),
        ("GET", "/v1/..", 404, "unknown_url", ""),
        ("GET", "/v1/%2e%2e/readyz", 404, "unknown_url", ""),
        ("GET", "%2f", 400, "bad_request", ""),
        ("GET", "/%2f", 404, "unknown_url", ""),
        ("GET", "/v1%2fmodels", 404, "unknown_url", ""),
        ("GET", "/%2e/v1/models", 404, "unknown_url", ""),
        ("GET", "/v1\\models", 404, "unknown_url", ""),
        ("POST", "/V1/Chat/completions", 404, "unknown_url", "lower case here: /v1/chat/completions."),
        (
            "POST",
            "/v1/chat/completions/chat/completions",
            404,
            "unknown_url",
            "already contains the path of an endpoint",
        ),
        ("GET", "/v1/chat/completions/models", 404, "unknown_url", "already contains the path of an endpoint"),
        ("POST", "/openai/v1/chat/completions", 404, "unknown_url", "an unknown part before /chat/completions"),
        ("POST", "/v1/chat/completion", 404, "unknown_url", "Did you mean /v1/chat/completions?"),
        ("GET", "/v1/model", 404, "unknown_url", "Did you mean /v1/models?"),
        ("POST", "/v1/audio/speech", 404, "unknown_url", "not served here"),
        ("POST", "/v1/chat%2fcompletions", 404, "unknown_url", ""),
        ("POST", "/v1/./chat/completions", 404, "unknown_url", ""),
        ("POST", "/v1/x/../chat/completions", 404, "unknown_url", ""),
        ("POST", "/v1/%2e%2e/chat/completions", 404, "unknown_url", ""),
        ("POST", "/v1/chat/completions;x=1", 404, "unknown_url", ""),
        ("POST", "/v1\\chat\\completions", 404, "unknown_url", ""),
        ("POST", "/v1/chat/completions%00", 404, "unknown_url", ""),
        ("POST", "/v1/images/generations", 404, "unknown_url", ""),
        ("GET", "/_sim/books", 404, "unknown_url", ""),
        ("GET", "/" + "a" * 8000, 404, "unknown_url", ""),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed", "accepts OPTIONS, POST"),
        ("PUT", "/v1/chat/completions", 405, "method_not_allowed", "accepts OPTIONS, POST"),
        ("DELETE", "/v1/models", 405, "method_not_allowed", "accepts GET"),
        ("POST", "/v1/models", 405, "method_not_allowed", "accepts GET"),
        ("POST", "/v1/models/x", 405, "method_not_allowed", "accepts GET"),
        ("POST", "/healthz", 405, "method_not_allowed", "accepts GET"),
        ("OPTIONS", "/v1/nothing", 404, "unknown_url", ""),
        ("TRACE", "/v1/models", 405, "method_not_allowed", ""),
    ],
)
async def test_path(stand: Stand, method: str, path: str, status: int, code: str, text: str) -> None:
    got = await stand.ask(method, path, GOOD if method == "POST" else None)
    refused(got, status, code, text, head_read=status != 400)
    if status == 405:
        assert got.header("Allow") in ("GET, HEAD, OPTIONS", "OPTIONS, POST")


@pytest.mark.parametrize(
    "path",
    [
        CHAT,
        "/chat/completions",
        "/api/v1/chat/completions",
        CHAT + "?x=1",
        CHAT + "/",
        CHAT + "/?api-version=2024-10-21",
        "/v1//chat/completions",
        "//v1/chat/completions",
        "//v1//chat///completions//?x=/y//",
        "/v1/v1/chat/completions",
        "/api/v1/v1/chat/completions",
        "/v1/api/v1/chat/completions",
        "//chat/completions/",
    ],
)
async def test_other_names_of_the_path(stand: Stand, path: str) -> None:
    assert (await stand.ask("POST", path, GOOD)).status == 200
    await stand.clear()


@pytest.mark.parametrize("path", ["/v1/models/", "//v1//models", "/v1/v1/models/openai%2Fgpt-4o-mini/", "/v1/key/?x=1"])
async def test_other_names_of_a_path_that_is_read(stand: Stand, path: str) -> None:
    assert (await stand.ask("GET", path)).status == 200


async def test_the_query_is_kept(stand: Stand) -> None:
    """A path that is not written as in the table is the same question, with the same query."""
    for path in ("/v1/explain?endpoint=nothing", "/v1//explain/?endpoint=nothing"):
        refused(await stand.ask("POST", path, GOOD), 400, "invalid_value", "endpoint must be one of", head_read=False)
    assert (await stand.ask("GET", "//readyz/?verbose")).json()["pending"] == 0


async def test_another_path_opens_nothing(stand: Stand) -> None:
    """However a path is written, who may not ask is refused."""
    for path in ("//admin/v1/users/list", "/admin//v1/users/list/", "//admin/v1//users/list"):
        refused(await stand.ask("POST", path, {}, token=stand.token), 403, "operator_only")
        assert (await stand.ask("POST", path, {}, token=ADMIN_TOKEN)).status == 200  # and its wrong tries are forgotten
    for path in ("//v1/models", "/v1/models/"):
        assert (await stand.ask("GET", path, token=None)).status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../admin/v1/users/list",
        "/v1/%2e%2e/admin/v1/users/list",
        "/./admin/v1/users/list",
        "/admin/./v1/users/list",
        "/admin/v1/users/x/../list",
        "/admin%2fv1%2fusers%2flist",
        "/%2fadmin/v1/users/list",
        "/%61dmin/v1/users/list",
        "/admin\\v1\\users\\list",
        "/v1/admin/v1/users/list",
        "/ADMIN/v1/users/list",
        "/admin/v1/users/list;x=1",
        "/admin/v1/users/list%00",
    ],
)
async def test_a_path_that_is_only_like_another_is_none(stand: Stand, path: str) -> None:
    """Only slashes are made good: dot segments, encoded slashes and letters lead nowhere, for the operator too.

    What stands in the place of a user's name is a name, which nothing can be posted to.
    """
    for token, status in ((None, 401), (stand.token, 403)):
        assert (await stand.ask("POST", path, {}, token=token)).status in (status, 404)
    is_name = path.startswith("/admin/v1/users/list")
    refused(
        await stand.ask("POST", path, {}, token=ADMIN_TOKEN),
        405 if is_name else 404,
        "method_not_allowed" if is_name else "unknown_url",
    )


@pytest.mark.parametrize(
    ("path", "methods"),
    [(CHAT, "OPTIONS, POST"), ("/api/v1/models", "GET, HEAD, OPTIONS"), ("/models/x%2Fy", "GET, HEAD, OPTIONS")],
)
async def test_options(stand: Stand, path: str, methods: str) -> None:
    got = await stand.ask("OPTIONS", path)
    assert (got.status, got.header("Allow"), got.body) == (204, methods, b"")


async def test_head(stand: Stand) -> None:
    """HEAD is GET without the body."""
    async with await connect(stand.port) as client:
        await client.send(request_bytes("HEAD", "/healthz"))
        assert (await client.read_answer(head_only=True)).status == 200
        await client.send(request_bytes("GET", "/healthz"))
        assert (await client.read_answer()).json() == {"status": "ok"}


# --- HTTP itself


def raw(line: bytes, *headers: bytes, body: bytes = b"") -> bytes:
    token = b"Authorization: Bearer " + token_of("anna").encode()
    return b"\r\n".join([line, b"Host: 127.0.0.1", token, *headers, b"", body])


async def test_http_1_0(stand: Stand) -> None:
    async with await connect(stand.port) as client:
        await client.send(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        assert (await client.read_answer()).json() == {"status": "ok"}
        assert await client.at_end() == "fin"


async def test_a_stream_for_http_1_0(stand: Stand) -> None:
    """It knows no chunks: the end of the connection is the end of the answer."""
    body = chat(stream=True)
    headers = (b"Content-Type: application/json", b"Content-Length: %d" % len(body))
    got = await exchange(stand.port, raw(b"POST /v1/chat/completions HTTP/1.0", *headers, body=body))
    assert got.status == 200
    assert got.header("Transfer-Encoding") is None
    assert got.body.endswith(b"data: [DONE]\n\n")
    await stand.clear()


ILLEGAL: dict[str, bytes] = {
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
    "binary": bytes(range(256)) * 4,
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "labelled HTTP/2.0": raw(b"GET /v1/models HTTP/2.0"),
    "labelled HTTP/1.9": raw(b"GET /v1/models HTTP/1.9"),
    "labelled HTTP/9.9": raw(b"GET /v1/models HTTP/9.9"),
    "unknown method": raw(b"BREW /v1/models HTTP/1.1"),
    "absolute form": raw(b"GET http://evil.example/v1/models HTTP/1.1"),
    "absolute form of ours": raw(b"GET http://127.0.0.1/v1/models HTTP/1.1"),
    "authority form": raw(b"CONNECT evil.example:443 HTTP/1.1"),
    "asterisk": raw(b"OPTIONS * HTTP/1.1"),
    "space before colon": raw(b"GET /v1/models HTTP/1.1", b"X-A : b"),
    "no colon": raw(b"GET /v1/models HTTP/1.1", b"nothing"),
    "NUL in a value": raw(b"GET /v1/models HTTP/1.1", b"X-A: a\x00b"),
    "NUL in the path": raw(b"GET /v1/mod\x00els HTTP/1.1"),
    "CR in a value": raw(b"GET /v1/models HTTP/1.1", b"X-A: a\rb"),
    "folded": raw(b"GET /v1/models HTTP/1.1", b"X-A: a\r\n b"),
}


@pytest.mark.parametrize("data", ILLEGAL.values(), ids=ILLEGAL)
async def test_no_http(stand: Stand, data: bytes) -> None:
    """Refused without repeating a byte of it: a head that cannot be read may hold a token."""
    async with await connect(stand.port) as client:
        await client.send(data)
        got = await client.read_answer()
        assert 400 <= got.status < 506
        assert got.end == "complete"
        assert set(got.json()["error"]) == {"message", "type", "param", "code"}
        assert stand.token.encode() not in got.body
        assert b"evil" not in got.body
        assert await client.at_end() in ("fin", "rst")


SMUGGLED = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + (
    token_of("anna").encode() + b"\r\nContent-Type: application/json\r\n"
)
_BODY = chat()
_N = len(_BODY)
_CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (_N, _BODY)
FRAMINGS: dict[str, bytes] = {
    "length and encoding of nothing": b"Content-Length: %d\r\nTransfer-Encoding:\r\n\r\n%s" % (_N, _BODY),
    "gzip": b"Transfer-Encoding: gzip\r\n\r\n" + _BODY,
    "identity": b"Transfer-Encoding: identity\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "identity alone": b"Transfer-Encoding: identity\r\n\r\n" + _BODY,
    "encodings in two lines": b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "chunked, chunked": b"Transfer-Encoding: chunked, chunked\r\n\r\n" + _CHUNKED,
    "chunked with a parameter": b"Transfer-Encoding: chunked;q=1\r\n\r\n" + _CHUNKED,
    "chunked with a comma": b"Transfer-Encoding: chunked,\r\n\r\n" + _CHUNKED,
    "folded length": b"Content-Length:\r\n %d\r\n\r\n%s" % (_N, _BODY),
    "folded other header": b"X-A: b\r\n c\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "space before the length's colon": b"Content-Length : %d\r\n\r\n%s" % (_N, _BODY),
    "space before the first header": b" Content-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "NUL in a name": b"Content-Length\0: 4\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "NUL in a value": b"X-A: b\0\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "no colon": b"X-A\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "empty name": b": x\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "length and blanks": b"Content-Length: %d \t\r\n\r\n%s" % (_N, _BODY),
    "length of nothing": b"Content-Length:\r\n\r\n" + _BODY,
    "length with an inner blank": b"Content-Length: %d 4\r\n\r\n%s" % (_N, _BODY),
    "chunk extension with LF": b"Transfer-Encoding: chunked\r\n\r\n%x;a\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk extension with CR": b"Transfer-Encoding: chunked\r\n\r\n%x;a\rb\r\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk size of nothing": b"Transfer-Encoding: chunked\r\n\r\n;a=b\r\n%s\r\n0\r\n\r\n" % _BODY,
    "no line end behind a chunk": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s0\r\n\r\n" % (_N, _BODY),
    "bare CR behind a chunk": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r0\r\n\r\n" % (_N, _BODY),
    "last chunk of many zeros": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n000000\r\n\r\n" % (_N, _BODY),
    "length and chunks": b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n%s" % (_N, _CHUNKED),
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n" + _CHUNKED,
    "two lengths": b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s" % (_N, _N - 1, _BODY),
    "the same length twice": b"Content-Length: %d\r\nContent-Length: %d\r\n\r\n%s" % (_N, _N, _BODY),
    "a list of lengths": b"Content-Length: %d, %d\r\n\r\n%s" % (_N, _N, _BODY),
    "negative length": b"Content-Length: -1\r\n\r\n" + _BODY,
    "signed length": b"Content-Length: +%d\r\n\r\n%s" % (_N, _BODY),
    "hexadecimal length": b"Content-Length: 0x%x\r\n\r\n%s" % (_N, _BODY),
    "length with a letter": b"Content-Length: %dx\r\n\r\n%s" % (_N, _BODY),
    "huge length": b"Content-Length: 99999999999999999999999\r\n\r\n" + _BODY,
    "unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n" + _CHUNKED,
    "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n" + _CHUNKED,
    "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n\r\n" + _CHUNKED,
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n" + _CHUNKED,
    "chunked after tab": b"Transfer-Encoding:\tchunked\r\n\r\n" + _CHUNKED,
    "chunked in quotes": b'Transfer-Encoding: "chunked"\r\n\r\n' + _CHUNKED,
    "space before colon": b"Transfer-Encoding : chunked\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "folded encoding": b"Transfer-Encoding:\r\n chunked\r\n\r\n" + _CHUNKED,
    "vertical tab": b"Transfer-Encoding: \x0bchunked\r\n\r\n" + _CHUNKED,
    "bare LF between headers": b"X-A: b\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "bare LF at the end": b"Content-Length: %d\n\n%s" % (_N, _BODY),
    "bare CR": b"X-A: b\rContent-Length: 4\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
    "chunk extension": b"Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk size with sign": b"Transfer-Encoding: chunked\r\n\r\n+%x\r\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk size 0x": b"Transfer-Encoding: chunked\r\n\r\n0x%x\r\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk size with space": b"Transfer-Encoding: chunked\r\n\r\n%x \r\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk size with underscore": b"Transfer-Encoding: chunked\r\n\r\n0_%x\r\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk size overflow": b"Transfer-Encoding: chunked\r\n\r\n10000000000000000%x\r\n%s\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk too long": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%sXX\r\n0\r\n\r\n" % (_N, _BODY),
    "chunk ends in LF": b"Transfer-Encoding: chunked\r\n\r\n%x\n%s\n0\n\n" % (_N, _BODY),
    "trailers": b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nContent-Length: 4\r\n\r\n" % (_N, _BODY),
    "no length": b"\r\n" + _BODY,
    "underscore": b"Content_Length: 4\r\nContent-Length: %d\r\n\r\n%s" % (_N, _BODY),
}


SERVED = {  # what can be read in one way only
    *("length and blanks", "last chunk of many zeros", "chunked after tab", "chunk extension", "underscore"),
}


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize("name", FRAMINGS)
async def test_smuggling(shared: Stand, name: str, split: bool) -> None:
    """However a body's end is disguised: one request, at most one call upstream, and that with the whole body.

    What another server might read in another way is refused, and the connection closed.
    """
    await shared.clear()
    data = SMUGGLED + FRAMINGS[name]
    async with await connect(shared.port) as client:
        if split:
            for n in range(0, len(data), 97):
                await client.send(data[n : n + 97])
                await asyncio.sleep(0)
        else:
            await client.send(data)
        got = await client.read_answer()
        assert got.end == "complete"
        assert got.content_type == "application/json"
        arrived = await shared.sim.requests()
        if got.status == 200:
            assert len(arrived) == 1
            assert json.loads(arrived[0]["body"])["messages"] == MESSAGES
        else:
            assert got.status in (400, 408, 501)
            assert set(got.json()["error"]) == {"message", "type", "param", "code"}
            assert arrived == []
            assert await client.at_end() in ("fin", "rst")
        assert (got.status == 200) is (name in SERVED)
    await shared.clear()


@pytest.mark.parametrize("connection", [b"", b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1/embeddings", b"/nothing"])
async def test_chunks_of_an_older_version(shared: Stand, path: bytes, connection: bytes) -> None:
    """HTTP/1.0 knows no chunks: a server before this one would take them for the body, or for a next request."""
    await shared.clear()
    start = SMUGGLED.replace(b"/v1/chat/completions HTTP/1.1", path + b" HTTP/1.0")
    async with await connect(shared.port) as client:
        await client.send(
            start + connection + b"Transfer-Encoding: chunked\r\n\r\n" + _CHUNKED + request_bytes("GET", "/")
        )
        got = await client.read_answer()
        assert (got.status, got.json()["error"]["code"]) == (400, "bad_request")
        assert await client.at_end() in ("fin", "rst")
    assert await shared.sim.requests() == []


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
async def test_what_follows_a_disguised_end(shared: Stand, framing: bytes) -> None:
    """A whole request behind a body of doubtful end: it is answered as one of its own, or not at all."""
    await shared.clear()
    behind = SMUGGLED + b"Content-Length: %d\r\n\r\n%s" % (_N, _BODY)
    async with await connect(shared.port) as client:
        await client.send(SMUGGLED + framing + behind)
        statuses = []
        while (got := await client.read_answer(patience_s=0.5)).status:
            statuses.append(got.status)
            if got.end != "complete":
                break
    good = statuses.count(200)
    assert good <= 2
    assert len(await shared.sim.requests()) == good
    if any(status != 200 for status in statuses[:1]):
        assert good == 0, "what could not be read was followed by something that was"
    await shared.clear()


async def test_pipelined(stand: Stand) -> None:
    """Requests that are sent without waiting are answered in order, one call upstream each."""
    one = request_bytes("POST", CHAT, GOOD, token=stand.token)
    bad = request_bytes("POST", CHAT, b"{", token=stand.token)
    async with await connect(stand.port) as client:
        await client.send(one + request_bytes("GET", "/healthz") + bad + one)
        answers = [await client.read_answer() for _ in range(4)]
    assert [got.status for got in answers] == [200, 200, 400, 200]
    assert len(await stand.sim.requests()) == 2
    ids = [row["request_id"] for row in await stand.settled(2)]
    assert ids == [answers[0].header("x-request-id"), answers[3].header("x-request-id")]
    await stand.clear()


async def test_many_pipelined(stand: Stand) -> None:
    async with await connect(stand.port) as client:
        await client.send(request_bytes("GET", "/healthz") * 300)
        for _ in range(300):
            assert (await client.read_answer()).status == 200


async def test_an_upgrade_is_not_taken(stand: Stand) -> None:
    headers = [("Connection", "Upgrade"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")]
    got = await stand.ask("GET", "/healthz", headers=headers)
    assert got.status == 200


async def test_a_refused_request_leaves_the_connection_usable(stand: Stand) -> None:
    """Where the whole request was read, the next one may come on the same connection."""
    async with await connect(stand.port) as client:
        for body in (b"{", chat(n=0)):
            await client.send(request_bytes("POST", CHAT, body, token=stand.token))
            assert (await client.read_answer()).status == 400
        await client.send(request_bytes("GET", "/healthz"))
        assert (await client.read_answer()).status == 200


async def test_a_header_that_cannot_travel(stand: Stand) -> None:
    got = await stand.ask("POST", CHAT, GOOD, headers=[("X-Title", "caf\udce9")])
    error = refused(got, 400, "invalid_header", "x-title")
    assert error["param"] == "x-title"


async def test_nothing_is_left(shared: Stand) -> None:
    async def look() -> bool:
        return not shared.app.services.in_flight

    await eventually(look)
    assert (await shared.chat()).status == 200
    await shared.clear()
