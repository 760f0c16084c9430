"""No key, token, prompt or answer is in any log, error, file or export of a proxy that logs all it can."""

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proxy.core.user_token import new_token
from tests.support.canary import canary, files, forms, found
from tests.support.control import Controls
from tests.support.installation import settings, write_config
from tests.support.patience import eventually
from tests.support.process import Process, clean_environment, serving
from tests.support.raw import Answer, connect, connect_unix, exchange, request_bytes
from tests.support.stand import CHAT, MODEL, read_rows

PROMPT = canary("prompt")
ANSWER = canary("answer")
KEY = "sk-or-v1-" + canary("key")
OPENAI_KEY = "sk-" + canary("openai")
ADMIN = canary("admin")
HEADER = canary("header")
WRONG = "tk-" + canary("wrong")


class Log:
    """Answers as they came, ours and the provider's own apart."""

    def __init__(self) -> None:
        self.ours: list[tuple[str, bytes]] = []
        self.passed: list[tuple[str, bytes]] = []

    def take(self, name: str, got: Answer, *, passed_on: bool = False) -> None:
        text = got.body + "\n".join(f"{key}: {value}" for key, value in got.headers).encode()
        (self.passed if passed_on else self.ours).append((name, text))


def _messages() -> list[dict[str, Any]]:
    picture = "data:image/png;base64," + base64.b64encode(PROMPT.encode() * 3).decode()
    return [
        {"role": "system", "content": PROMPT},
        {
            "role": "user",
            "content": [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": picture}}],
        },
        {
            "role": "assistant",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": PROMPT}}],
        },
    ]


async def _good(process: Process, sim: Controls, token: str) -> None:
    headers = [("X-Title", HEADER), ("X-Secret", HEADER), ("Cookie", f"a={HEADER}")]
    for model in (MODEL, "plain/gpt-4o-mini"):
        for stream in (False, True):
            await sim.behave(content=ANSWER)
            body = {"model": model, "messages": _messages(), "stream": stream, "stop": PROMPT}
            got = await process.ask("POST", CHAT, body, token=token, headers=headers)
            assert got.status == 200
            assert stream or ANSWER.encode() in got.body


async def _refused(process: Process, token: str, log: Log) -> None:
    """Requests that are wrong in a value: the error may name the field, never what stood in it."""
    bad: list[bytes] = [
        PROMPT.encode(),
        b'{"model": "' + PROMPT.encode(),
        json.dumps({"model": 5, "messages": _messages()}).encode(),
        json.dumps({"model": MODEL, "messages": PROMPT}).encode(),
        json.dumps({"model": MODEL, "messages": [PROMPT]}).encode(),
        json.dumps({"model": MODEL, "messages": _messages(), "stream": PROMPT}).encode(),
        json.dumps({"model": MODEL, "messages": _messages(), "max_tokens": PROMPT}).encode(),
        json.dumps({"model": MODEL, "messages": _messages(), "n": [PROMPT]}).encode(),
        b'{"model": "m", "x": "%s", "x": "%s"}' % (PROMPT.encode(), PROMPT.encode()),
        b'{"model": "m", "x": "%s\xff"}' % PROMPT.encode(),
        b'{"model": "m", "x": "%s\\ud800"}' % PROMPT.encode(),
        (json.dumps({"model": MODEL, "messages": [{"role": "user", "content": PROMPT * 5000}]})).encode(),
    ]
    for n, body in enumerate(bad):
        got = await process.ask("POST", CHAT, body, token=token)
        assert 400 <= got.status < 500, got.body
        log.take(f"bad body {n}", got)
    for n, wrong in enumerate((WRONG, KEY, OPENAI_KEY, ADMIN, token[:-2], token + "x", new_token()[:-1] + "!")):
        log.take(f"wrong token {n}", await process.ask("POST", CHAT, {"messages": PROMPT}, token=wrong))
    for path in (f"/v1/{PROMPT}", f"/v1/models/{PROMPT}", f"/{PROMPT}", f"/v1/models?key={token}", f"/v1/v1/{PROMPT}"):
        got = await process.ask("GET", path, token=token)
        log.take(path[:5], got, passed_on=path.startswith("/v1/models/"))  # a model's name is told back
    for path in ("/admin/v1/users/list", "/admin/v1/reload", "/admin/v1/users/add"):
        log.take(path, await process.ask("POST", path, {"name": "x", "secret": PROMPT}, token=WRONG))
    for extra in ("Host: evil\r\n", "X-A: \x00", "Content-Length: x\r\n", "X-A : b\r\n", "X-Long: " + "y" * 9000):
        head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nX-B: {HEADER}\r\n"
        head += f"{extra}\r\n\r\n"
        log.take(f"head {extra[:5]}", await exchange(process.port, head.encode() + PROMPT.encode()))


async def _upstream_errors(process: Process, sim: Controls, token: str, log: Log) -> None:
    names = [
        *("error-provider-error", "error-moderation", "error-user-not-found", "error-credits-insufficient"),
        *("error-html-502", "error-upstream-rate-limit", "midstream-error-after-3", "error-in-200", "redirect"),
        *("rst-before-headers", "rst-after-3-chunks", "fin-after-100-bytes", "no-http", "not-json", "nul-in-header"),
        *("hang-before-headers", "hang-after-3-chunks", "choice-error", "cost-nan", "usage-absurd", "gzip"),
    ]
    for name in names:
        for stream in (False, True):
            fields = {"error_message": f"you said {PROMPT}"} if name.startswith("error-") and "html" not in name else {}
            await sim.behave(named=name, content=ANSWER, **fields)
            # a model whose provider asks to wait is not asked meanwhile, so that this one gets models of its own
            model = f"openai/gpt-4{'o' if stream else '.1-mini'}" if name == "error-upstream-rate-limit" else MODEL
            body = {"model": model, "messages": _messages(), "stream": stream}
            got = await process.ask("POST", CHAT, body, token=token)
            log.take(name, got, passed_on=True)


async def _hang_ups(process: Process, sim: Controls, token: str) -> None:
    for stream in (False, True):
        await sim.behave(content=ANSWER * 5, pace_ms=5, padding_units=50, provider="OpenAI")
        body = {"model": MODEL, "messages": _messages(), "stream": stream}
        async with await connect(process.port) as client:
            await client.send(request_bytes("POST", CHAT, body, token=token))
            await client.read_some()
            await client.hang_up()


async def _people(folder: Path) -> list[str]:
    """Make tokens as the command line does; they are shown once and kept as a hash."""
    async with await connect_unix(str(folder / "ledger.db.sock")) as client:

        async def change(operation: str, /, **fields: Any) -> Any:
            await client.send(request_bytes("POST", f"/admin/v1/{operation}", fields))
            got = await client.read_answer()
            assert got.status == 200, got.body
            return got.json()["data"]

        await change("users/add", name="bo")
        first = await change("tokens/add", user="bo", name="laptop")
        second = await change("tokens/rotate", id=first["id"])
        return [first["token"], second["token"]]


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_is_written_down(tmp_path: Path, sim: Controls, form: str) -> None:
    config = settings(
        sim.url,
        {
            "server": {"body_max_bytes": 100_000},
            "admin_token": "${OPERATOR}",
            "log": {"level": "debug", "format": form},
            "ledger": {"lookup_timeout_s": 1},
            "providers": {
                "openrouter": {"api_key": "${KEY}", "header_timeout_s": 0.5, "idle_timeout_s": 0.5},
                "plain": {"api_key": "${OPENAI}"},
            },
        },
    )
    path = write_config(tmp_path, config)
    log = Log()
    environ = {"OPERATOR": ADMIN, "KEY": KEY, "OPENAI": OPENAI_KEY, "PYTHONASYNCIODEBUG": "1"}
    async with serving(tmp_path, path, environ=environ) as process:
        await process.ask("GET", "/v1/models")
        tokens = await _people(tmp_path)
        token = tokens[1]
        await _good(process, sim, token)
        await _refused(process, token, log)
        await _upstream_errors(process, sim, token, log)
        await _hang_ups(process, sim, token)
        write_config(tmp_path, {**config, "users": {"x": {"token_hash": token}}})  # a token where its hash belongs
        process.signal(signal.SIGHUP)

        async def stale() -> bool:
            got = await process.ask("GET", "/readyz")
            log.take("stale", got)
            return got.status == 503

        await eventually(stale)
        write_config(tmp_path, config)
        running = list(files(tmp_path))  # with the WAL as it is before the end folds it in
        exports = [(" ".join(command), _output(tmp_path, environ, *command)) for command in _EXPORTS]
        assert await process.stop() == 0

    secrets = {"key": KEY, "openai": OPENAI_KEY, "admin": ADMIN, "wrong": WRONG, "header": HEADER}
    secrets |= {f"token {n}": text for n, text in enumerate(tokens)}
    every = {**secrets, "prompt": PROMPT, "answer": ANSWER}
    places = [*running, *files(tmp_path), *exports]
    assert {"ledger.db", "ledger.db-wal", "serve.stderr", "ledger.db.models-openrouter.json"} <= {
        name for name, _ in places
    }
    assert found(every, places) == []
    assert found(every, log.ours) == []
    assert found(secrets, log.passed) == []
    # the search does find what is there
    assert found({"user": "anna", "model": MODEL}, [("ledger", dict(running)["ledger.db-wal"])])
    rows = read_rows(tmp_path / "ledger.db", "SELECT * FROM usage")
    assert len(rows) >= 4 + 2 * 21 + 2 - 2


_EXPORTS = [("export", "--format", "csv"), ("export", "--format", "jsonl"), ("usage", "--json", "--by", "user,model")]


def _output(folder: Path, environ: dict[str, str], *command: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-m", "proxy", *command, "-c", "config.yaml"],
        cwd=folder,
        env=clean_environment(folder, environ),
        capture_output=True,
        check=True,
    )
    assert done.stdout
    return done.stdout + done.stderr


def test_the_search_finds_every_form() -> None:
    text = canary("x")
    for shift in range(5):
        noise = os.urandom(shift)
        hidden = base64.b64encode(noise + text.encode() + b"tail")
        assert found({"x": text}, [("base64", hidden)]), shift
    assert found({"x": text}, [("hex", b"00" + text.encode().hex().encode() + b"00")])
    assert not found({"x": text}, [("nothing", b"x" * 1000)])
    assert all(len(form) >= 20 for form in forms(text))
