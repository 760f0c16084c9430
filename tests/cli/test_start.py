"""What a start takes: a proxy that only serves chat completions and probes loads nothing that these do not need."""

import signal
from pathlib import Path

from tests.support.control import Controls
from tests.support.installation import settings, write_config
from tests.support.patience import eventually
from tests.support.process import Process, started
from tests.support.stand import CHAT, MESSAGES, MODEL

# Each with what brings it. A first use imports it in a thread: see proxy/web/server/on_demand_server.py.
UNUSED = {
    "aiohttp": "requests for anything else than chat completions and probes; webhooks; exchange rates",
    "aiosmtplib": "alerts by e-mail",
    "attr": "as aiohttp",
    "cryptography": "secrets sealed in the database",
    "csv": "exports; a file of exchange rates",
    "email.utils": "nothing of a proxy: core/http_date.py reads dates",
    "html": "pages",
    "http.client": "nothing of a proxy",
    "http.server": "metrics",
    "jinja2": "the dashboard",
    "jsonschema": "presets that check answers",
    "jwt": "signed names of end users",
    "prometheus_client": "metrics",
    "proxy.config.block_schema": "config schema",
    "proxy.config.show": "config show; the operator's API",
    "proxy.web.admin.people": "the operator's API",
    "proxy.web.admin.resources": "the operator's API",
    "proxy.web.routes": "as aiohttp",
    "proxy.web.dashboard.pages": "the dashboard",
    "pyarrow": "nothing of a proxy",
    "pydantic": "the operator's API; what a provider tells of an account",
    "rich": "commands that print tables",
    "shutil": "copies of the ledger; how full the disk is",
    "tempfile": "copies of the ledger",
    "zipfile": "as shutil",
}

_SERVE = """
import atexit, pathlib, sys
atexit.register(lambda: pathlib.Path("modules").write_text("\\n".join(sys.modules)))
from proxy.cli import main
main(sys.argv[1:])
"""


async def test_what_is_not_used_is_not_loaded(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url))
    program = tmp_path / "program.py"
    program.write_text(_SERVE)
    async with started(tmp_path, "serve", "-c", str(path), program=(str(program),)) as process:
        await process.ready()
        await eventually(lambda: _answers(process))
        assert (await process.ask("GET", "/healthz")).status == 200
        assert (await process.ask("GET", "/readyz")).status == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    loaded = set((tmp_path / "modules").read_text().split("\n"))
    assert {"proxy.pipeline.run", "httptools", "msgspec"} <= loaded, "it did serve"
    assert sorted(UNUSED.keys() & loaded) == []


async def _answers(process: Process) -> bool:
    """Return whether a chat completion is answered; the list of models may not be there at once."""
    return (await process.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES})).status == 200
