"""POST /admin/v1/backup: the running proxy copies its own ledger. On the socket only: it writes where it is told to."""

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from proxy.core.errors import CallerError, LedgerError, OwnError
from proxy.pipeline.context import RequestContext
from proxy.storage.reports import BackupError
from proxy.web.deps import Deps
from proxy.web.server.aiohttp_downstream import aiohttp_request


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
