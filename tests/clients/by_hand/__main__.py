"""python -m tests.clients.by_hand: Codex, opencode and aider take a turn through the proxy, and one on a spent budget.

scripts/try-clients installs them and calls this; what it prints stands in docs/evidence/clients-DATE.md.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.installation import token_hash_of, token_of
from tests.support.stand import MODEL, Stand, stand

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
NODE = HERE / "node_modules"
PATIENCE_S = 120
QUESTION = "Say hello in five words."
ANSWER = "Hello from the other side."
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@dataclass(frozen=True, slots=True)
class Pointing:
    """What a program is told: where the proxy is, and the user's token."""

    base_url: str
    token: str


@dataclass(frozen=True, slots=True)
class Client:
    """A program. point writes its settings into an empty home and gives its environment; command is what is typed."""

    name: str
    command: list[str]
    point: Callable[[Path, Pointing], Mapping[str, str]]


def _point_codex(home: Path, to: Pointing) -> Mapping[str, str]:
    folder = home / ".codex"
    folder.mkdir()
    (folder / "config.toml").write_text(
        f'model = "{MODEL}"\nmodel_provider = "tollkeeper"\nweb_search = "disabled"\n\n'
        f'[model_providers.tollkeeper]\nname = "Tollkeeper"\nbase_url = "{to.base_url}"\nenv_key = "TOLLKEEPER_TOKEN"\n'
    )
    return {"TOLLKEEPER_TOKEN": to.token}


def _point_opencode(home: Path, to: Pointing) -> Mapping[str, str]:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Tollkeeper",
        "options": {"baseURL": to.base_url, "apiKey": "{env:TOLLKEEPER_TOKEN}"},
        "models": {MODEL: {}},
    }
    (home / "opencode.json").write_text(json.dumps({"provider": {"tollkeeper": provider}}))
    return {"TOLLKEEPER_TOKEN": to.token, "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"}


def _point_aider(_home: Path, to: Pointing) -> Mapping[str, str]:
    return {"OPENAI_API_BASE": to.base_url, "OPENAI_API_KEY": to.token}


_OPENCODE = str(next(iter(sorted(NODE.glob("opencode-*/bin/opencode"))), NODE / "opencode"))
_AIDER = str(ROOT / ".venv-aider" / "bin" / "aider")
CLIENTS = (
    Client(
        "Codex CLI",
        [str(NODE / ".bin" / "codex"), "exec", "--skip-git-repo-check", "--sandbox", "read-only", QUESTION],
        _point_codex,
    ),
    Client("opencode", [_OPENCODE, "run", "-m", f"tollkeeper/{MODEL}", QUESTION], _point_opencode),
    Client(
        "aider",
        [
            *(_AIDER, "--model", f"openai/{MODEL}", "--message", QUESTION, "--yes-always", "--no-git"),
            *("--no-pretty", "--no-check-update", "--analytics-disable", "--no-show-model-warnings"),
        ],
        _point_aider,
    ),
)


def _run(client: Client, to: Pointing) -> tuple[str, float]:
    """Run it in an empty home, from where nothing but this machine is reached; give what it printed and the seconds."""
    with tempfile.TemporaryDirectory(prefix="try-clients ") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "dumb",
            "NO_COLOR": "1",
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9"),
            "NO_PROXY": "127.0.0.1,localhost",
            **client.point(home, to),
        }
        begun_s = time.monotonic()
        ended = subprocess.run(
            client.command,
            cwd=home,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=PATIENCE_S,
            check=False,
        )
        text = _COLOUR.sub("", ended.stdout.decode(errors="replace")).replace(folder, "")
        return f"{text.strip()}\n(exit code {ended.returncode})", time.monotonic() - begun_s


def _version(client: Client) -> str:
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": os.environ["PATH"], "HOME": home}
        said = subprocess.run([client.command[0], "--version"], env=environ, capture_output=True, check=True).stdout
    return said.decode().strip().splitlines()[-1]


async def _try(client: Client, served: Stand) -> bool:
    """One turn, then one with a spent budget; tell whether the turn was answered and the books agree."""
    print(f"### {client.name} ({await asyncio.to_thread(_version, client)})\n", flush=True)
    base_url = f"http://127.0.0.1:{served.port}/v1"
    await served.clear()
    await served.sim.behave("all", content=ANSWER)
    said, took_s = await asyncio.to_thread(_run, client, Pointing(base_url, token_of("anna")))
    books = await served.sim.books()
    rows = await served.settled(len(books["generations"]))
    charged = {name: one["charged_pusd"] for name, one in books["generations"].items()}
    fine = ANSWER in said and {row["generation_id"]: row["cost_pusd"] for row in rows} == charged
    print(_quoted(said))
    for row in rows:
        print(f"* row: {row['endpoint']}, {row['model']}, streamed {row['streamed']}, {row['cost_pusd']} pico-USD")
    print(f"* {took_s:.1f} s; ledger {'equal to' if fine else 'DIFFERS from'} the simulator's books\n", flush=True)

    before = sum(served.app.services.counters.refusals.values())
    try:
        said, took_s = await asyncio.to_thread(_run, client, Pointing(base_url, token_of("spender")))
    except subprocess.TimeoutExpired as late:
        said, took_s = (late.output or b"").decode(errors="replace") + "\n(still trying; ended by hand)", PATIENCE_S
    refused = sum(served.app.services.counters.refusals.values()) - before
    print(f"On a spent budget, {refused} requests in {took_s:.1f} s:\n\n{_quoted(said)}", flush=True)
    return fine


def _quoted(text: str) -> str:
    lines = [line.rstrip() for line in text.splitlines()]
    return "```\n" + "\n".join(lines) + "\n```\n"


async def main() -> int:
    limits = {"anna": "$5/month", "spender": "$0.01/month"}
    users = {name: {"token_hash": token_hash_of(name), "limits": {"cost": limits[name]}} for name in limits}
    with tempfile.TemporaryDirectory() as folder:
        async with stand(Path(folder), {"users": users}) as served:
            await served.sim.behave("next", cost_literal="0.01")
            await served.chat({"max_tokens": 16}, token=token_of("spender"))
            chosen = [
                client for client in CLIENTS if not sys.argv[1:] or client.name.split()[0].lower() in sys.argv[1:]
            ]
            return 0 if all([await _try(client, served) for client in chosen]) else 1


sys.exit(asyncio.run(main()))
