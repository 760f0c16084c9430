"""/admin/v1/audit: who changed what, and whether the record of it is whole."""

from typing import Any

import orjson
from pydantic import BaseModel, Field

from proxy.storage.audit import AuditFilter, AuditRow, AuditVerification, head_text, read_head_text
from proxy.web.admin.moment import Moment, MomentText, moment_ms, moment_text
from proxy.web.admin.page import cursor_text, invalid_cursor
from proxy.web.admin.route import AdminAnswer, AdminQuery, AdminRequest, AdminRoute

_WORD_MAX = 512


class AuditEntry(BaseModel):
    """An entry. before, after: the state, or the fields of it that changed; null where there was, or is, nothing.

    source: socket, tcp with the address, command line, request (of a client), file, proxy (by itself). hash: in hex,
    over the entry and the hash of the one before; null in an entry of an earlier version that is not chained yet.
    """

    id: int
    at: MomentText
    actor: str
    source: str
    action: str
    subject: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    hash: str | None


class AuditFaultEntry(BaseModel):
    """A place where the chain does not hold. id: of the entry at which it shows."""

    id: int
    kind: str
    text: str


class AuditVerificationEntry(BaseModel):
    """What a look over the whole chain found. head: note it elsewhere, and later verifications can be held to it."""

    is_whole: bool
    entries: int
    head: str | None
    faults: list[AuditFaultEntry]
    fault_count: int


class AuditQuery(AdminQuery):
    """Which entries, all of what is given, the newest first; since counts itself, until does not."""

    since: Moment | None = None
    until: Moment | None = None
    actor: str | None = Field(default=None, max_length=_WORD_MAX)
    action: str | None = Field(default=None, max_length=_WORD_MAX, description="Such as users.set; a pattern: users.*.")
    subject: str | None = Field(default=None, max_length=_WORD_MAX)


class AuditNotedHead(AdminQuery):
    """What the chain must hold besides."""

    head: str | None = Field(
        default=None,
        pattern="^[0-9]{1,18}:[0-9a-f]{64}$",
        description="A head that was noted earlier: a number, a colon and 64 hexadecimal digits.",
    )


def audit_json(row: AuditRow) -> dict[str, Any]:
    """Return an entry as the fields of AuditEntry."""
    return {
        "id": row.id,
        "at": moment_text(row.ts_ms),
        "actor": row.actor,
        "source": row.source,
        "action": row.action,
        "subject": row.subject,
        "before": _state(row.before),
        "after": _state(row.after),
        "hash": None if row.hash is None else row.hash.hex(),
    }


def _state(text: str | None) -> dict[str, Any] | None:
    """Return a stored state; what is no JSON object, by somebody's hand, as a text in one."""
    if text is None:
        return None
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    return found if isinstance(found, dict) else {"unreadable": text}


async def _list(request: AdminRequest) -> AdminAnswer:
    query, page = request.query, request.page
    wanted = AuditFilter(moment_ms(query.since), moment_ms(query.until), query.actor, query.action, query.subject)
    before_id = None
    if page.after is not None:
        before_id, *rest = page.after
        if rest or not isinstance(before_id, int):
            raise invalid_cursor()
    rows = await request.read(request.deps.services.reports.audit_entries, wanted, before_id, page.limit + 1)
    shown = rows[: page.limit]
    cursor = cursor_text((shown[-1].id,)) if len(rows) > page.limit else None
    return AdminAnswer(await request.written(audit_json, shown), cursor)


async def _verify(request: AdminRequest) -> AdminAnswer:
    noted = None if request.query.head is None else read_head_text(request.query.head)
    found = await request.read(request.deps.services.reports.verify_audit, noted)
    return AdminAnswer(verification_json(found))


def verification_json(found: AuditVerification) -> dict[str, Any]:
    """Return a verification as the fields of AuditVerificationEntry."""
    return {
        "is_whole": not found.fault_count,
        "entries": found.entries,
        "head": None if found.head is None else head_text(found.head),
        "faults": [fault._asdict() for fault in found.faults],
        "fault_count": found.fault_count,
    }


ROUTES = (
    AdminRoute("GET", "/audit", _list, "List who changed what", AuditEntry, query=AuditQuery, is_list=True),
    AdminRoute(
        "GET",
        "/audit/verification",
        _verify,
        "Verify the chain of the audit trail",
        AuditVerificationEntry,
        query=AuditNotedHead,
    ),
)
