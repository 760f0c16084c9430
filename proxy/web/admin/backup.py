"""POST /admin/v1/backup: the running proxy copies its own ledger. On the socket only: it writes where it is told to."""

import asyncio
import logging
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from proxy.core.errors import CallerError, LedgerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.storage.audit import Actor
from proxy.storage.ledger import LedgerUnavailableError
from proxy.storage.reports import BackupError
from proxy.web.deps import Deps
from proxy.web.server.aiohttp_downstream import aiohttp_request

log = logging.getLogger("tollkeeper.web")


async def backup(context: RequestContext, deps: Deps, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Copy to fields["path"], an absolute path; fields["force"] replaces a file. Returns path, requests, cost, size."""
    _check_socket(context)
    path, force = fields.get("path"), fields.get("force", False)
    if not isinstance(path, str) or not path.startswith("/") or "\0" in path or not isinstance(force, bool):
        raise CallerError(400, "invalid_value", "path: an absolute path is needed; force: true or false.")
    copy_to = deps.services.reports.copy_to
    try:
        return asdict(await asyncio.to_thread(copy_to, Path(path), force=force))
    except BackupError as error:
        raise CallerError(409, "backup_refused", str(error)) from None
    except LedgerError as error:
        raise OwnError(500, "ledger_unavailable", str(error)) from None


async def note_backup(deps: Deps, actor: Actor, made: Mapping[str, Any]) -> None:
    """Record in the audit trail that a copy was made; one that a full disk keeps from the record was made all the same.

    made: as backup() returns it.
    """
    after = {name: made[name] for name in ("requests", "size_bytes")}
    fields = {"action": "ledger.backup", "subject": str(made["path"]), "before": None, "after": after}
    services = deps.services
    try:
        await services.ledger.operate("audit.note", now_ms=services.clock.now_ms(), actor=actor, fields=fields)
    except LedgerUnavailableError as error:
        log.error("ledger.backup_not_recorded", extra={"path": str(made["path"]), "problem": str(error)})


def _check_socket(context: RequestContext) -> None:
    transport = aiohttp_request(context).transport
    peer = None if transport is None else transport.get_extra_info("socket")
    if peer is None or peer.family in (socket.AF_INET, socket.AF_INET6):
        raise CallerError(
            403,
            "socket_only",
            "A back-up is made on the proxy's own machine: tollkeeper backup FILE",
            type_="permission_error",
        )
