"""Write the demo's made-up weeks: into a new ledger by its own operations, and into the simulator's books."""

import asyncio
import hashlib
import http.client
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson

from proxy.cli.demo_people import GROUPS, PEOPLE, PROVIDER_KEYS
from proxy.cli.demo_script import DAY_MS, DemoWeeks, begin_ms, key_id, write_weeks
from proxy.cli.private_file import write_private
from proxy.core.errors import SetupError
from proxy.storage.adjustment import Correction
from proxy.storage.audit import Actor
from proxy.storage.labels import Labels
from proxy.storage.ledger import Ledger
from proxy.storage.rows import KeyHash
from proxy.storage.sqlite.ledger import open_ledger

SEED: Final = 7
_ACTOR: Final = Actor("demo", "command line")
_QUEUE_MAX: Final = 100_000
_SLICE: Final = 500  # requests that are handed to the writer at once
_SHARES: Final = {"mia": 93, "jonas": 103}  # how much of a limit is spent, in percent
_STOP_ID: Final = "stop_5e11ab1e0001"
_CALL_S: Final = 30.0


class DemoToken(NamedTuple):
    """A user's token, and the id by which rows name it."""

    id: str
    token: str


class WeeksFile(NamedTuple):
    """What is kept of the weeks beside the ledger: by it they are written again for a new simulator."""

    end_ms: int
    zone: str
    seed: int
    tokens: Mapping[str, DemoToken]

    def weeks(self) -> DemoWeeks:
        ids = {name: one.id for name, one in self.tokens.items()}
        return write_weeks(self.end_ms, ZoneInfo(self.zone), self.seed, ids)

    def save(self, path: Path) -> None:
        tokens = {name: one._asdict() for name, one in self.tokens.items()}
        write_private(path, json.dumps({**self._asdict(), "tokens": tokens}, indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what save() wrote; raises SetupError."""
        try:
            found = json.loads(path.read_text())
            tokens = {name: DemoToken(one["id"], one["token"]) for name, one in found["tokens"].items()}
            return cls(int(found["end_ms"]), ZoneInfo(found["zone"]).key, int(found["seed"]), tokens)
        except (ZoneInfoNotFoundError, OSError, ValueError, KeyError, TypeError, AttributeError):
            raise SetupError(f"{path} cannot be read. Take another folder: tollkeeper demo --dir D") from None


class KeptWeeks(NamedTuple):
    """The weeks of a folder's ledger."""

    file: WeeksFile
    weeks: DemoWeeks


async def weeks_of(folder: Path, zone: str, *, wanted: bool) -> KeptWeeks | None:
    """Return the weeks of a folder's ledger, written now where there is no ledger yet; None: it has none.

    zone: where the days of new ones begin.
    """
    database, kept = folder / "tollkeeper.db", folder / "weeks.json"
    if database.exists():
        if not kept.exists():
            return None
        found = WeeksFile.read(kept)
        return KeptWeeks(found, found.weeks())
    if not wanted:
        kept.unlink(missing_ok=True)
        return None
    half = folder / "weeks.half"
    _remove(half)
    made = await _plant(half, time.time_ns() // 1_000_000, zone)
    made.file.save(kept)  # before the ledger has its name: one that has it is whole
    half.rename(database)
    _remove(half)
    return made


def _remove(database: Path) -> None:
    for end in ("", "-wal", "-shm", ".lock"):
        database.with_name(database.name + end).unlink(missing_ok=True)


async def _plant(database: Path, now_ms: int, zone: str) -> KeptWeeks:
    ledger = open_ledger(
        database,
        asyncio.get_running_loop(),
        purpose="tollkeeper demo",
        busy_timeout_s=5.0,
        queue_max=_QUEUE_MAX,
    )
    try:
        tokens = await _add_people(ledger, begin_ms(now_ms, ZoneInfo(zone)), zone)
        found = WeeksFile(now_ms, zone, SEED, tokens)
        weeks = found.weeks()
        await _book(ledger, weeks)
        await _operate(ledger, weeks)
    finally:
        await ledger.close()
    return KeptWeeks(found, weeks)


async def _add_people(ledger: Ledger, now_ms: int, zone: str) -> dict[str, DemoToken]:
    await ledger.set_labels(Labels(zone, "USD", "1"), now_ms)
    keys = [(name, secret) for name, secret in PROVIDER_KEYS.items()]
    hashes = [
        KeyHash(key_id(secret), hashlib.sha256(secret.encode()).hexdigest(), name, "main") for name, secret in keys
    ]
    await ledger.note_keys(hashes, now_ms)
    for name, settings in GROUPS.items():
        await _change(ledger, "groups.add", now_ms, name=name, settings=settings)
    tokens = {}
    for person in PEOPLE:
        fields = {"name": person.name, "group": person.group, "settings": person.settings, "token": {"name": "laptop"}}
        made = await _change(ledger, "users.create", now_ms, **fields)
        tokens[person.name] = DemoToken(made["token"]["id"], made["token"]["token"])
    return tokens


async def _change(ledger: Ledger, operation: str, now_ms: int, **fields: Any) -> Any:
    return await ledger.operate(operation, now_ms=now_ms, actor=_ACTOR, fields=fields)


async def _book(ledger: Ledger, weeks: DemoWeeks) -> None:
    for first in range(0, len(weeks.requests), _SLICE):
        written = []
        for one in weeks.requests[first : first + _SLICE]:
            written.append(ledger.open(one.open))
            written += [ledger.add_attempt(*more) for more in one.further]
            written.append(ledger.end(one.end))
        for each in written:
            await each
    for late in weeks.late:
        reason = "the provider told the cost of an answer that the client had left"
        await ledger.correct([Correction(late.request_id, late.actual_pusd, reason, "generation")], late.at_ms)


async def _operate(ledger: Ledger, weeks: DemoWeeks) -> None:
    """Change what an operator would have changed: a stop after a night in a loop, limits that are nearly spent."""
    await _change(
        ledger, "stops.add", weeks.looped_ms,
        id=_STOP_ID, kind="user", subject="summaries", reason="asks the same again and again: look at the job first",
    )  # fmt: skip
    since_ms = weeks.end_ms - 30 * DAY_MS
    for name, percent in _SHARES.items():
        cents = weeks.spent_pusd(name, since_ms) * 100 // percent // 10**10
        limit = f"${cents // 100}.{cents % 100:02}/30d"
        place = {"scope": "user", "name": name, "kind": "cost", "limit": limit}
        await _change(ledger, "limits.add", weeks.end_ms - DAY_MS, **place)


# --- the simulator, and what happens right now


def tell_simulator(url: str, weeks: DemoWeeks) -> None:
    """Write the weeks' calls into the simulator's books, and let one of its servers fail from now on."""
    _post(url, "/_sim/past", {"generations": weeks.calls})
    _post(url, "/_sim/behaviour", {"for": "path:/profiles/groq/openai/v1/chat/completions", "error": "server-error"})


def ask_now(base_url: str, tokens: Mapping[str, DemoToken]) -> None:
    """Make a few requests that go wrong in all the usual ways: a provider that fails, and refusals."""
    asked = [
        # several people, for what one alone meets could be their own fault
        *[(name, "quick") for name in ("shop-search", "support-bot", "lena", "ben", "shop-search", "evals")],
        ("mia", "clever"),
        ("jonas", "openai/gpt-5"),
        ("summaries", "google/gemini-2.5-flash"),
        ("", "fast"),
        ("anna", "fast"),
        ("lena", "clever"),
    ]
    for number, (name, model) in enumerate(asked):
        token = tokens[name].token if name else "tk-forgotten"
        body = {
            "model": model,
            "max_tokens": 60,
            "messages": [{"role": "user", "content": f"What is new in part {number}?"}],
        }
        _post(base_url, "/chat/completions", body, {"Authorization": f"Bearer {token}"})


def _post(url: str, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=_CALL_S)
    try:
        sent = {"Content-Type": "application/json", **(headers or {})}
        connection.request("POST", address.path + path, orjson.dumps(body), sent)
        connection.getresponse().read()
    except OSError as error:
        raise SetupError(f"{url}{path} could not be asked: {error}") from None
    finally:
        connection.close()
