"""Plant texts full of markup wherever the ledger keeps a text that comes from outside."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson

from proxy.cli.demo_script import DemoRequest
from proxy.cli.demo_weeks import KeptWeeks, weeks_of
from proxy.policy.alerts.alert_message import AlertMessage
from proxy.storage.adjustment import Correction
from proxy.storage.alerts import AlertNote, AlertNotes
from proxy.storage.audit import Actor
from proxy.storage.ledger import Ledger
from proxy.storage.refusals import RefusalRow
from proxy.storage.sqlite.ledger import open_ledger

_MINUTE_MS: Final = 60_000


async def plant_marked(folder: Path, texts: Sequence[str]) -> None:
    """Make the ledger of a demo in which every stored text is one of these at least once."""
    kept = await weeks_of(folder, "UTC", wanted=True)
    assert kept is not None
    ledger = open_ledger(
        folder / "tollkeeper.db", asyncio.get_running_loop(), purpose="a test", busy_timeout_s=5.0, queue_max=10_000
    )
    try:
        await _plant_requests(ledger, kept, texts)
        await _plant_rest(ledger, kept, texts)
    finally:
        await ledger.close()


async def _plant_requests(ledger: Ledger, kept: KeptWeeks, texts: Sequence[str]) -> None:
    now_ms = kept.file.end_ms
    answered = [one for one in kept.weeks.requests if one.end.error is None and not one.further][-len(texts) :]
    corrections = []
    for number, (one, text) in enumerate(zip(answered, texts, strict=True)):
        made = _marked(ledger, one, text, now_ms - (number + 2) * _MINUTE_MS // 20)
        await ledger.open(made.open)
        await ledger.end(made.end)
        if made.end.state == "settled":
            actual_pusd = (made.end.cost_pusd or 0) + number + 1
            corrections.append(Correction(made.open.id, actual_pusd, text[:200], text[:200]))
    await ledger.correct(corrections, now_ms)


def _marked(ledger: Ledger, one: DemoRequest, text: str, at_ms: int) -> DemoRequest:
    """Return a request with the text in each column that holds one."""
    names: Mapping[str, Any] = {"user": text, "group_name": text, "use_case": text}
    row = one.open._replace(
        id=ledger.ids.next(at_ms),
        started_ms=at_ms,
        day=one.open.day,
        requested_model=text,
        session_id=text,
        tags=orjson.dumps({text[:64]: text}).decode(),
        reserved_pusd=10**12,
        target_model=text,
        **names,
    )
    end = one.end._replace(
        id=row.id,
        started_ms=at_ms,
        finished_ms=at_ms + 900,
        model=text,
        finish_reason=text[:64],
        generation_id=text,
        served_by=text,
        **names,
    )
    return DemoRequest(row, (), end)


async def _plant_rest(ledger: Ledger, kept: KeptWeeks, texts: Sequence[str]) -> None:
    now_ms = kept.file.end_ms
    await ledger.add_refusals([*_refusals(ledger, texts, now_ms)])
    notes = [_alert(text, now_ms - number * 1000) for number, text in enumerate(texts)]
    await ledger.note_alerts(AlertNotes(alerts=notes), now_ms)
    for number, text in enumerate(texts):
        changes: list[tuple[str, Mapping[str, Any]]] = [
            ("audit.note", {"action": text, "subject": text, "before": {text: text}, "after": {text: [text]}}),
            (
                "stops.add",
                {"id": f"stop_{number:012x}", "kind": "model", "subject": f"{text}"[:500], "reason": text[:500]},
            ),
            ("models.set", {"name": _printable(f"x/{text}")[:200], "changes": {"enabled": False}}),
            (
                "users.create",
                {"name": f"marked-{number}", "group": None, "settings": {"models": [_printable(text)]}, "token": None},
            ),
        ]
        for operation, fields in changes:
            await ledger.operate(operation, now_ms=now_ms - 1000, actor=Actor(text, text), fields=fields)


def _printable(text: str) -> str:
    """Return a text without what the name of a model may not hold."""
    return "".join(char for char in text if char.isprintable())


def _refusals(ledger: Ledger, texts: Sequence[str], now_ms: int) -> Iterator[RefusalRow]:
    for number, text in enumerate(texts):
        at_ms = now_ms - 30_000 + number
        yield RefusalRow(
            id=ledger.ids.next(at_ms),
            started_ms=at_ms,
            user=text,
            group_name=text,
            token_id=text,
            address=text,
            endpoint=text,
            requested_model=text,
            use_case=text,
            session_id=text,
            status=403,
            error="model_not_allowed",
            param=text,
            fault="caller",
            reason=text,
            limit_json=None,
            duration_ms=3,
        )


def _alert(text: str, at_ms: int) -> AlertNote:
    message = AlertMessage("fired", "budgets", "limit_share", text, at_ms, text, text, 0.9, 0.8, "percent")
    return AlertNote(message, "80%", at_ms, (("log", at_ms),))
