"""A change of the file: as a whole or not at all, while requests go on."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from proxy.config.live import LiveConfig, keep_until_restart
from proxy.config.load import load_file
from proxy.config.schema import Settings
from proxy.core.errors import ConfigError

ENV = {"OPENROUTER_API_KEY": "sk-or-v1-canary0123456789"}


class Built:
    """What a test's build makes of settings: the smallest thing that shows which settings it came from."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.level = settings.log.level


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    put(path, "log: {level: info}\n")
    return path


def put(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def remove(path: Path) -> None:
    path.unlink()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):  # only so that a broken watcher fails instead of hanging
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def watching(live: LiveConfig[Built]) -> AsyncIterator[LiveConfig[Built]]:
    await live.start()
    task = asyncio.create_task(live.run())
    try:
        if live._poll_s < 1:
            # The second look after a start, which reads the file in any case, is over: now only a change is noticed.
            await until(lambda: live._ticks > 3)
        yield live
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def live_config(path: Path, build: Callable[[Settings], Built] = Built) -> LiveConfig[Built]:
    return LiveConfig(lambda: load_file(path, ENV), build, poll_s=0.01)


async def test_a_change_is_taken(path: Path) -> None:
    async with watching(live_config(path)) as live:
        before = live.current
        put(path, "log: {level: debug}\n")
        await until(lambda: live.current.level == "debug")
        assert before.level == "info"
        assert live.settings.log.level == "debug"
        assert live.problem is None


async def test_a_file_with_a_mistake_leaves_the_old_in_force_and_is_told_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(live_config(path)) as live:
        before = live.current
        put(path, "log: {level: lots}\nserver: {port: x}\n")
        await until(lambda: live.problem is not None)
        assert live.current is before
        assert "log.level" in str(live.problem)
        assert "server.port" in str(live.problem)
        await asyncio.sleep(0.3)  # thirty looks at the same broken file
        told = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(told) == 1
        assert told[0].getMessage() == "config.refused"
        put(path, "log: {level: warning}\n")
        await until(lambda: live.current.level == "warning")
        assert live.problem is None


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "log: {level: 1}",
        "xyzzy: 1",
        "log: {}\nlog: {}",
        "\x00",
        "- a",
        "a: " + "[" * 1000,
        "users: {a: {group: b}}",
    ],
)
async def test_no_broken_file_is_taken(path: Path, text: str) -> None:
    live = live_config(path)
    before = await live.start()
    put(path, text)
    assert "config.yaml" in str(await live.reload())
    assert live.current is before


async def test_going_back_to_the_old_text_ends_the_problem_without_a_swap(path: Path) -> None:
    live = live_config(path)
    before = await live.start()
    put(path, "log: {level: lots}\n")
    assert await live.reload()
    put(path, "log: {level: info}\n")
    assert await live.reload() is None
    assert live.problem is None
    assert live.current is before


async def test_a_file_that_is_gone_leaves_the_old_in_force(path: Path) -> None:
    async with watching(live_config(path)) as live:
        remove(path)
        await until(lambda: live.problem is not None)
        assert live.current.level == "info"
        put(path, "log: {level: error}\n")
        await until(lambda: live.current.level == "error")


async def test_what_build_refuses_is_not_taken(path: Path) -> None:
    def build(settings: Settings) -> Built:
        if settings.log.level == "debug":
            raise ConfigError("cannot be built")
        return Built(settings)

    live = live_config(path, build)
    before = await live.start()
    put(path, "log: {level: debug}\n")
    assert await live.reload() == "cannot be built"
    assert live.current is before
    assert live.settings.log.level == "info"


async def test_the_watcher_outlives_a_fault_in_build(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def build(settings: Settings) -> Built:
        if settings.log.level == "debug":
            raise ZeroDivisionError
        return Built(settings)

    async with watching(live_config(path, build)) as live:
        put(path, "log: {level: debug}\n")
        await until(lambda: "config.reload_failed" in caplog.text)
        assert live.current.level == "info"
        put(path, "log: {level: error}\n")
        await until(lambda: live.current.level == "error")


async def test_build_may_be_a_coroutine(path: Path) -> None:
    async def build(settings: Settings) -> Built:
        await asyncio.sleep(0)
        return Built(settings)

    live: LiveConfig[Built] = LiveConfig(lambda: load_file(path, ENV), build)
    assert (await live.start()).level == "info"


async def test_a_link_that_is_swapped_is_seen(tmp_path: Path) -> None:
    """Kubernetes mounts config.yaml -> ..data/config.yaml and swaps ..data."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "config.yaml", f"log: {{level: {'info' if name == 'one' else 'debug'}}}\n")
    (tmp_path / "..data").symlink_to("one")
    (tmp_path / "config.yaml").symlink_to("..data/config.yaml")
    async with watching(live_config(tmp_path / "config.yaml")) as live:
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(tmp_path / "..data")
        await until(lambda: live.current.level == "debug")


async def test_a_key_file_that_is_rotated_is_seen(path: Path, tmp_path: Path) -> None:
    put(tmp_path / "key", "sk-one")
    put(path, "providers: {openrouter: {api_key_file: key}}\n")
    async with watching(live_config(path)) as live:
        put(tmp_path / "key", "sk-two")

        def key() -> str:
            secret = live.settings.providers["openrouter"].api_key
            return secret.reveal() if secret else ""

        await until(lambda: key() == "sk-two")


async def test_a_key_file_that_appears_later_ends_the_problem(path: Path, tmp_path: Path) -> None:
    async with watching(live_config(path)) as live:
        put(path, "log: {level: debug}\nproviders: {openrouter: {api_key_file: key}}\n")
        await until(lambda: live.problem is not None)
        put(tmp_path / "key", "sk-late")
        await until(lambda: live.current.level == "debug")
        assert live.problem is None


async def test_a_second_write_within_one_tick_of_the_file_clock_is_seen(path: Path) -> None:
    """Same size, same time, same inode: only the text differs."""
    live = live_config(path)
    await live.start()
    put(path, "log: {level: error}\n")
    stat = os.stat(path)  # noqa: PTH116 - a Path's method counts as blocking in a coroutine, this does not
    assert await live.reload() is None
    with path.open("r+") as file:
        file.write("log: {level: debug}\n")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    task = asyncio.create_task(live.run())
    await until(lambda: live.current.level == "debug")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_what_needs_a_restart_stays_and_the_rest_is_taken(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    live = live_config(path)
    await live.start()
    put(path, "log: {level: debug}\nserver: {port: 9999, body_timeout_s: 7}\ndatabase: other.db\n")
    assert await live.reload() is None
    assert live.settings.server.port == 8787
    assert live.settings.server.body_timeout_s == 7
    assert live.settings.database.name == "tollkeeper.db"
    assert live.current.level == "debug"
    told = [record for record in caplog.records if record.message == "config.needs_restart"]
    assert [record.settings for record in told] == ["server.port, database"]  # type: ignore[attr-defined]


def test_nothing_is_kept_where_nothing_needs_a_restart() -> None:
    old, new = Settings(), Settings.read({"currency": {"code": "SEK"}, "log": {"level": "debug"}})
    assert keep_until_restart(old, new) == (new, [])


async def test_a_mutated_file_swaps_whole_or_not_at_all(path: Path) -> None:
    """Writers that are not atomic: every prefix of a new text is seen by a reload."""
    old = "log: {level: info}\nlimits: {cost: $1/day}\nusers: {a: {}}\n"
    new = "log: {level: debug}\nlimits: {cost: $2/day}\nusers: {b: {}, c: {}}\n"
    put(path, old)
    live = live_config(path)
    await live.start()
    for end in range(len(new) + 1):
        put(path, new[:end])
        problem = await live.reload()
        settings = live.settings
        assert live.current.settings is settings
        if problem is None:
            assert settings == load_file(path, ENV).settings
    assert set(live.settings.users) == {"b", "c"}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGHUP")
async def test_sighup_asks_for_a_reload(path: Path) -> None:
    live: LiveConfig[Built] = LiveConfig(lambda: load_file(path, ENV), Built, poll_s=3600)
    async with watching(live):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, live.reload_now)
        try:
            put(path, "log: {level: debug}\n")
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: live.current.level == "debug")
        finally:
            loop.remove_signal_handler(signal.SIGHUP)


async def test_a_first_file_with_a_mistake_keeps_the_program_from_starting(path: Path) -> None:
    put(path, "xyzzy: 1\n")
    live = live_config(path)
    with pytest.raises(ConfigError, match="xyzzy"):
        await live.start()
    with pytest.raises(AttributeError):
        _ = live.current
