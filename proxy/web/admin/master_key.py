"""/admin/v1/master-key: what seals every secret in the database. The key itself goes in, under a passphrase out."""

import asyncio
import secrets
from typing import Any

from pydantic import BaseModel, Field

from proxy.core.errors import CallerError
from proxy.policy.sealing.master_key import MasterKeyError
from proxy.policy.sealing.master_ring import MasterRing, read_ring
from proxy.policy.sealing.passphrase import NONCE_BYTES, SALT_BYTES, is_backup, unwrap_ring, wrap_ring
from proxy.storage.sealed import MasterKeyState
from proxy.web.admin.route import AdminAnswer, AdminBody, AdminRequest, AdminRoute, ShownOnce
from proxy.web.admin.secret_text import SecretText


class SealedCountEntry(BaseModel):
    """How many values a master key has sealed; master_key_id null: texts that are not sealed values."""

    master_key_id: str | None
    values: int


class MasterKeyEntry(BaseModel):
    """The master key, by its id. where: what holds it; file: where it is, or would be, written.

    old: keys of a rotation that has not ended. archive: retired ones, for older back-ups. unopened: values that do not
    open. problem: why the key cannot be used.
    """

    id: str | None
    file: str
    where: list[str]
    problem: str | None
    old: list[str]
    archive: list[str]
    values: list[SealedCountEntry]
    unopened: int


class MasterKeyRotated(MasterKeyEntry):
    """The master key after a rotation. resumed: an earlier one that was cut was finished, and no further one begun."""

    resumed: bool
    resealed: int


class MasterKeyCopy(BaseModel):
    """A copy of the master key, sealed with a passphrase: one line of text."""

    id: str
    copy_text: ShownOnce


class MasterRotation(AdminBody):
    """How to rotate. resume: only finish what was cut, or take in an older back-up. forget: drop retired keys."""

    resume: bool = False
    forget: bool = False


class MasterExport(AdminBody):
    """The passphrase of the copy, at least eight characters."""

    passphrase: SecretText


class MasterImport(AdminBody):
    """A copy with its passphrase, or a master key as it stands in its file. replace: in the place of another one."""

    text: str = Field(repr=False)
    passphrase: SecretText | None = None
    replace: bool = False


async def _show(request: AdminRequest) -> AdminAnswer:
    return AdminAnswer(await _state(request))


async def _make(request: AdminRequest) -> AdminAnswer:
    await request.change("master_key.make", {})
    return AdminAnswer(await _state(request))


async def _rotate(request: AdminRequest) -> AdminAnswer:
    body: MasterRotation = request.body
    resumed = await request.change("master_key.begin_rotation", body.model_dump())
    resealed, after_id = 0, 0
    while after_id is not None:
        batch = await request.change("master_key.reseal", {"after_id": after_id})
        resealed, after_id = resealed + batch.resealed, batch.last_id
    await request.change("master_key.end_rotation", {"forget": body.forget})
    return AdminAnswer({**await _state(request), "resumed": resumed, "resealed": resealed})


async def _export(request: AdminRequest) -> AdminAnswer:
    body: MasterExport = request.body
    ring: MasterRing = await request.change("master_key.export", {})
    salt, nonce = secrets.token_bytes(SALT_BYTES), secrets.token_bytes(NONCE_BYTES)
    try:
        text = await asyncio.to_thread(wrap_ring, ring, body.passphrase, salt=salt, nonce=nonce)
    except MasterKeyError as error:
        raise CallerError(422, "invalid_field", f"passphrase: {error}", param="passphrase") from None
    return AdminAnswer({"id": ring.active.id, "copy_text": text})


async def _import(request: AdminRequest) -> AdminAnswer:
    body: MasterImport = request.body
    try:
        if not is_backup(body.text):
            ring = read_ring(body.text)
        elif body.passphrase is not None:
            ring = await asyncio.to_thread(unwrap_ring, body.text, body.passphrase)
        else:
            raise CallerError(422, "invalid_field", "passphrase: that of the copy is needed.", param="passphrase")
    except MasterKeyError as error:
        raise CallerError(422, "invalid_field", f"text: {error}", param="text") from None
    await request.change("master_key.import", {"ring": ring, "replace": body.replace})
    return AdminAnswer(await _state(request))


async def _state(request: AdminRequest) -> dict[str, Any]:
    state: MasterKeyState = await request.read(request.deps.services.reports.master_key)
    return {**state._asdict(), "values": [count._asdict() for count in state.values]}


ROUTES = (
    AdminRoute("GET", "/master-key", _show, "Show the master key's id, place, and what it has sealed", MasterKeyEntry),
    AdminRoute("POST", "/master-key", _make, "Make the master key, where there is none", MasterKeyEntry, status=201),
    AdminRoute(
        "POST",
        "/master-key/rotate",
        _rotate,
        "Seal everything anew with a new master key",
        MasterKeyRotated,
        body=MasterRotation,
    ),
    AdminRoute(
        "POST",
        "/master-key/export",
        _export,
        "Make a copy of the master key under a passphrase",
        MasterKeyCopy,
        body=MasterExport,
    ),
    AdminRoute("POST", "/master-key/import", _import, "Bring a master key back", MasterKeyEntry, body=MasterImport),
)
