"""The processes that are measured, each started as its users start it: upstream, nginx, a bare relay, tollkeeper."""

import getpass
import grp
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from machine import BenchError, cpu_s, environment, free_port, rss_mb
from upstream import JSON_MODEL, STREAM_MODEL

from proxy.core.user_token import new_token, token_hash

_ROOT = Path(__file__).resolve().parents[2]
_START_S = 20  # far beyond any sane start; a machine that is busy must not fail the bench
_STOP_S = 30
_LOOK_EVERY_S = 0.001  # the resolution of the measured start
_UPSTREAM_KEY = "sk-or-v1-bench"
_CHAT = {"model": JSON_MODEL, "messages": [{"role": "user", "content": "Hej"}], "max_tokens": 80}
JSON_ROUTE, STREAM_ROUTE = (
    "json-route",
    "stream-route",
)  # presets: the model first, a spare at another provider behind it

# The group's second limit stands in for one of the top level, which would hold for the user without limits too.
_TOLLKEEPER_CONFIG = """
server: {{host: 127.0.0.1, port: {port}}}
database: "{ledger}"
providers:
  openrouter: {{api_key: {key}, base_url: "http://127.0.0.1:{upstream}/api/v1"}}
  spare: {{kind: openai, api_key: {key}, base_url: "http://127.0.0.1:{upstream}/v1"}}
presets:
  {json_route}: [openrouter/{json_model}, spare/other]
  {stream_route}: [openrouter/{stream_model}, spare/other]
groups:
  office: {{limits: {{cost: [$1000000/day, $1000000/month]}}}}
users:
  bench: {{token_hash: "sha256:{hash}"}}
  single: {{token_hash: "sha256:{single_hash}", limits: {{cost: $1000000/day}}}}
  limited:
    token_hash: "sha256:{limited_hash}"
    group: office
    limits: {{cost: [$1000000/day, $1000000/month], requests: 1000000000/minute}}
"""

_NGINX_CONF = """
{user}
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream provider {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /v1/ {{
            proxy_pass http://provider/api/v1/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Authorization "Bearer {key}";
            proxy_buffering off;
        }}
    }}
}}
"""


@dataclass
class Ledgered:
    """What the ledger says: rows of requests that went upstream, rows not settled, different generations."""

    rows: int
    unsettled: int
    generations: int


class Service:
    """A process on a core, or on some (0-1), that answers HTTP on a loopback port; its output goes to a file."""

    name = "service"
    start_max_s = _START_S

    def __init__(self, folder: Path, core: int | str) -> None:
        self.folder = folder
        self.port = free_port()
        self._core = core
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    @property
    def first_path(self) -> str:
        raise NotImplementedError

    def start(self) -> float:
        """Start it; give the seconds from the start of the process to its first answer with status 200."""
        log = self.folder / f"{self.name}.log"
        with log.open("ab") as output:
            begun = time.perf_counter()
            self._process = subprocess.Popen(
                ["taskset", "-c", str(self._core), *self.command()],
                cwd=self.folder,
                env={**environment(), "PYTHONPATH": str(_ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        while not self._answers():
            if self._process.poll() is not None:
                raise BenchError(f"{self.name} ended at once:\n{_last_lines(log)}")
            if time.perf_counter() - begun > self.start_max_s:
                self.stop()
                raise BenchError(f"{self.name} did not answer within {self.start_max_s} s:\n{_last_lines(log)}")
            time.sleep(_LOOK_EVERY_S)
        return time.perf_counter() - begun

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", self.first_path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise BenchError(f"{self.name} did not end within {_STOP_S} s of SIGTERM") from None
        finally:
            self._process = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise BenchError(f"{self.name} does not run")
        return self._process.pid

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def rss_mb(self) -> float:
        return rss_mb(self.pid)


class Upstream(Service):
    name = "direct"
    first_path = "/_bench/count"

    def __init__(self, folder: Path, core: int | str, *, events: int, interval_ms: int) -> None:
        super().__init__(folder, core)
        self._pace = [str(events), str(interval_ms)]

    def command(self) -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("upstream.py")), str(self.port), *self._pace]

    def answers(self) -> int:
        """Return the chat requests that it has answered since its start."""
        return self.counted()["answers"]

    def counted(self) -> dict[str, int]:
        """Return what it has sent since its start: answers, and events of streams."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/_bench/count")
            counted: dict[str, int] = json.loads(connection.getresponse().read())
            return counted
        finally:
            connection.close()


class Nginx(Service):
    name = "nginx"
    first_path = "/v1/models"

    def __init__(self, folder: Path, core: int | str, upstream_port: int) -> None:
        super().__init__(folder, core)
        self._conf = folder / "nginx.conf"
        # Started by root, its worker would change to a user of its own, who may not look into this folder.
        user = f"user {getpass.getuser()} {grp.getgrgid(os.getgid()).gr_name};" if os.getuid() == 0 else ""
        self._conf.write_text(
            _NGINX_CONF.format(user=user, folder=folder, port=self.port, upstream=upstream_port, key=_UPSTREAM_KEY)
        )

    def command(self) -> list[str]:
        return ["nginx", "-p", str(self.folder), "-c", str(self._conf), "-e", str(self.folder / "error.log")]


class AiohttpRelay(Service):
    name = "aiohttp"
    first_path = "/v1/models"

    def __init__(self, folder: Path, core: int | str, upstream_port: int) -> None:
        super().__init__(folder, core)
        self._upstream = f"http://127.0.0.1:{upstream_port}/api/v1/"

    def command(self) -> list[str]:
        script = str(Path(__file__).with_name("aiohttp_relay.py"))
        return [sys.executable, script, str(self.port), self._upstream, _UPSTREAM_KEY]


class Tollkeeper(Service):
    name = "tollkeeper"
    first_path = "/healthz"

    def __init__(self, folder: Path, core: int | str, upstream_port: int) -> None:
        super().__init__(folder, core)
        folder.mkdir(exist_ok=True)
        self.token = new_token()  # of a user without any limit
        self.single_token = new_token()  # of one with a single limit
        self.limited_token = new_token()  # of one with three limits and two of the group
        self.ledger = folder / "ledger.db"
        self.config = folder / "config.yaml"
        self.config.write_text(
            _TOLLKEEPER_CONFIG.format(
                port=self.port,
                ledger=self.ledger,
                key=_UPSTREAM_KEY,
                upstream=upstream_port,
                json_route=JSON_ROUTE,
                json_model=JSON_MODEL,
                stream_route=STREAM_ROUTE,
                stream_model=STREAM_MODEL,
                hash=token_hash(self.token),
                single_hash=token_hash(self.single_token),
                limited_hash=token_hash(self.limited_token),
            )
        )

    def command(self) -> list[str]:
        return [sys.executable, "-m", "proxy", "serve", "-c", str(self.config)]

    def ask(self, chat: Mapping[str, object] = _CHAT) -> bytes:
        """Have one chat request answered, or say why not; return the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(chat), headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise BenchError(f"tollkeeper answered {answer.status} to a chat request: {body[:500]!r}")
            return body
        finally:
            connection.close()

    def ledgered(self) -> Ledgered:
        ledger = sqlite3.connect(f"{self.ledger.as_uri()}?mode=ro", uri=True, timeout=10)
        try:
            row = ledger.execute(
                "select coalesce(sum(attempts > 0), 0), coalesce(sum(state in ('open', 'pending')), 0),"
                " count(distinct generation_id) from usage"
            ).fetchone()
        finally:
            ledger.close()
        return Ledgered(*row)


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:]) or "(it said nothing)"
