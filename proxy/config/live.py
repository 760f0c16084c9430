"""The settings in force, swapped as a whole when the file changes.

A request takes ``current`` once and keeps it to its end. What is built from new settings replaces the old in
one assignment or not at all: a file with a mistake leaves the old in force, and ``problem`` says why.
"""

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from proxy.config.block import Block
from proxy.config.changes import changes
from proxy.config.load import LoadedConfig
from proxy.config.schema import Settings
from proxy.core.errors import ConfigError

S = TypeVar("S")
Changed = Callable[["ConfigChange"], Awaitable[None]]
Signature = tuple[tuple[int, ...] | None, ...]
_RETRY_TICKS = 10
_TOLD_MAX = 20  # changes in one line of the log
_log = logging.getLogger("tollkeeper.config")


class ConfigChange(Struct, frozen=True):
    """Other settings are in force. by: who asked for the reload, as they were told; None: the file has changed.

    before, after: fingerprints of the files. changes: what is another for whom, without a secret.
    """

    by: object | None
    before: str
    after: str
    changes: tuple[str, ...]


class LiveConfig(Generic[S]):
    """Hold what build makes of the settings, and make it anew when a watched file changes.

    load reads and checks the file (raises ConfigError); it runs in a thread. build turns settings into the
    snapshot that requests use; it runs on the event loop and may be a coroutine. What it raises keeps the
    old snapshot too, and so it changes nothing that the old one needs: that is for commit, which is called
    with the new snapshot in the step that puts it in force, and must not fail.
    """

    def __init__(
        self,
        load: Callable[[], LoadedConfig],
        build: Callable[[Settings], S | Awaitable[S]],
        *,
        poll_s: float = 0.5,  # with reading and building, a change is in force within a second
        commit: Callable[[S], None] = lambda _: None,
        swapped: Callable[[Settings], None] = lambda _: None,
        changed: Changed | None = None,
    ) -> None:
        self._load = load
        self._build = build
        self._poll_s = poll_s
        self._commit = commit
        self._swapped = swapped  # called when other settings are in force
        self._changed = changed  # awaited then: it keeps what has changed
        self.current: S  # from start() on; read five times a request, so it is no property
        self._loaded: LoadedConfig | None = None
        self._problem: str | None = None
        self._refused = ""  # fingerprint or text of what was refused last, so that it is logged once
        self._signature: Signature = ()
        self._look_again = False
        self._ticks = 0
        self._wake = asyncio.Event()
        self._turn = asyncio.Lock()

    @property
    def loaded(self) -> LoadedConfig:
        if self._loaded is None:
            raise RuntimeError("start() was not awaited")
        return self._loaded

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def problem(self) -> str | None:
        """Return why the file as it is now is not in force; None while it is."""
        return self._problem

    async def start(self) -> S:
        """Load and build for the first time; what load or build raises travels on."""
        loaded = await asyncio.to_thread(self._load)
        self._signature = await asyncio.to_thread(_signature, loaded.watched)
        self._look_again = True
        snapshot = await self._built(loaded.settings)
        self._loaded = loaded
        self._put_in_force(snapshot)
        for warning in loaded.warnings:
            _log.warning("config.warning", extra={"problem": warning})
        return snapshot

    def reload_now(self) -> None:
        """Ask for a reload soon; safe in a signal handler of the loop."""
        self._wake.set()

    async def run(self) -> None:
        """Watch the files until cancelled."""
        while True:
            asked = await self._wait()
            try:
                if asked or await self._has_changed():
                    await self.reload()
            except Exception:  # noqa: BLE001 - the watcher outlives any single reload; the log tells it
                _log.exception("config.reload_failed")

    async def reload(self, by: object | None = None) -> str | None:
        """Load, build and swap now; return the problem, or None if the file is in force. by: who asks for it."""
        async with self._turn:
            before = await asyncio.to_thread(_signature, self.loaded.watched)
            try:
                loaded = await asyncio.to_thread(self._load)
            except ConfigError as error:
                self._signature = before
                return self._refuse(str(error))
            after = await asyncio.to_thread(_signature, loaded.watched)
            # A file written again within one tick of its clock keeps its time and perhaps its size: look
            # once more.
            self._look_again = loaded.fingerprint != self.loaded.fingerprint or before != after
            self._signature = after
            return await self._swap(loaded, by)

    async def rebuild(self) -> None:
        """Build the snapshot anew from the same settings: something else that it is made of has changed."""
        async with self._turn:
            self._put_in_force(await self._built(self.loaded.settings))

    async def _swap(self, loaded: LoadedConfig, by: object | None) -> str | None:
        old = self.loaded
        if loaded.fingerprint == old.fingerprint and loaded.settings == old.settings:
            if self._problem is not None:
                _log.info("config.restored")
            self._accept()
            return None
        settings, waiting = keep_until_restart(old.settings, loaded.settings)
        try:
            snapshot = await self._built(settings)
        except ConfigError as error:
            return self._refuse(str(error))
        self._put_in_force(snapshot)
        self._loaded = replace(loaded, settings=settings)
        self._accept()
        self._swapped(settings)
        told = changes(old.settings, settings)
        more = f"; and {len(told) - _TOLD_MAX} more" if len(told) > _TOLD_MAX else ""
        what = "; ".join(told[:_TOLD_MAX]) + more
        _log.info("config.changed", extra={"fingerprint": loaded.fingerprint, "changes": what or "nothing"})
        if self._changed is not None:
            await self._changed(ConfigChange(by, old.fingerprint, loaded.fingerprint, tuple(told)))
        for warning in loaded.warnings:
            _log.warning("config.warning", extra={"problem": warning})
        if waiting:
            _log.warning("config.needs_restart", extra={"settings": ", ".join(waiting)})
        return None

    async def _built(self, settings: Settings) -> S:
        result = self._build(settings)
        if inspect.isawaitable(result):
            return await result
        return result

    def _put_in_force(self, snapshot: S) -> None:
        self._commit(snapshot)
        self.current = snapshot

    def _accept(self) -> None:
        self._problem = None
        self._refused = ""

    def _refuse(self, text: str) -> str:
        self._problem = text
        if text != self._refused:
            _log.error("config.refused", extra={"details": text})
        self._refused = text
        return text

    async def _wait(self) -> bool:
        """Wait for the next look; tell whether a reload was asked for."""
        try:
            async with asyncio.timeout(self._poll_s):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    async def _has_changed(self) -> bool:
        self._ticks += 1
        # What a refused file lacks may come from outside what is watched, such as a key file that is made now.
        if self._look_again or (self._problem is not None and self._ticks % _RETRY_TICKS == 0):
            self._look_again = False
            return True
        return await asyncio.to_thread(_signature, self.loaded.watched) != self._signature


def keep_until_restart(old: Settings, new: Settings) -> tuple[Settings, list[str]]:
    """Return the new settings, with those that need a restart as they were, and the names of these."""
    update: dict[str, object] = {}
    names: list[str] = []
    for name, field in Settings.fields.items():
        was, now = getattr(old, name), getattr(new, name)
        if was == now:
            continue
        if field.restart:
            update[name] = was
            names.append(name)
        elif isinstance(was, Block):
            inner = {
                key: getattr(was, key)
                for key, field in type(was).fields.items()
                if field.restart and getattr(was, key) != getattr(now, key)
            }
            if inner:
                update[name] = now.replaced(inner)
                names += [f"{name}.{key}" for key in inner]
    return new.replaced(update), names


def _signature(paths: tuple[Path, ...]) -> Signature:
    """Return what stat says of each file, links followed: Kubernetes swaps a link and leaves the file's name alone."""
    found: list[tuple[int, ...] | None] = []
    for path in paths:
        try:
            stat = os.stat(path)  # noqa: PTH116 - called twice a second for the life of the process
        except OSError:
            found.append(None)
        else:
            found.append((stat.st_dev, stat.st_ino, stat.st_mtime_ns, stat.st_size, stat.st_mode))
    return tuple(found)
