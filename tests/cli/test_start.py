"""What a start takes: a proxy that only serves chat completions and probes loads nothing that these do not need.

Nor do its jobs: what they load stays for as long as the proxy runs.
"""

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
    "pydantic": "the operator's API",
    "rich": "commands that print tables",
    "shutil": "copies of the ledger; how full the disk is",
    "tempfile": "copies of the ledger",
    "zipfile": "as shutil",
}

# Those jobs that wait for minutes after a start do not wait here.
_SERVE = """
import atexit, pathlib, sys
from proxy.jobs import daily_usage, late_lookups, retention
from proxy.jobs.reconciliation import sync_job
daily_usage._FIRST_S = retention._FIRST_S = sync_job._FIRST_S = late_lookups._EVERY_S = 0.5
sync_job.COUNTED_AFTER_MS = 0  # after midnight
atexit.register(lambda: pathlib.Path("modules").write_text("\\n".join(sys.modules)))
from proxy.cli import main
main(sys.argv[1:])
"""


async def test_what_is_not_used_is_not_loaded(tmp_path: Path, sim: Controls) -> None:
    path = write_config(tmp_path, settings(sim.url, {"retention": {"rows": "400d"}}))
    program = tmp_path / "program.py"
    program.write_text(_SERVE)
    async with started(tmp_path, "serve", "-c", str(path), program=(str(program),)) as process:
        await process.ready()
        await eventually(lambda: _answers(process))
        assert (await process.ask("GET", "/healthz")).status == 200
        assert (await process.ask("GET", "/readyz")).status == 200
        await eventually(lambda: _has_counted(process))
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    loaded = set((tmp_path / "modules").read_text().split("\n"))
    assert {"proxy.pipeline.run", "httptools", "msgspec"} <= loaded, "it did serve"
    assert "proxy.providers.account.openrouter_answers" in loaded, "it did ask what its key has used"
    assert sorted(UNUSED.keys() & loaded) == []


async def _answers(process: Process) -> bool:
    """Return whether a chat completion is answered; the list of models may not be there at once."""
    return (await process.ask("POST", CHAT, {"model": MODEL, "messages": MESSAGES})).status == 200


async def _has_counted(process: Process) -> bool:
    """Return whether what the provider's key has counted was compared with the ledger."""
    return "reconciliation.compared" in process.stderr()
