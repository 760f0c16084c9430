"""Hand an alert to a program: no shell, a clean environment, a time limit."""

import asyncio
import contextlib
import os
import signal

import orjson

from proxy.config.alerts import AlertDestination
from proxy.policy.alerts.alert_message import message_json
from proxy.policy.alerts.retry_schedule import SendResult
from proxy.storage.alerts import StoredDelivery

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SAID_MAX_BYTES = 400
_SAID_MAX_CHARS = 200


async def run_command(destination: AlertDestination, delivery: StoredDelivery) -> SendResult:
    """Run the program once with the alert on its stdin; it has delivered it where it ends with 0."""
    text = orjson.dumps({"id": delivery.alert_id, **message_json(delivery.message)}) + b"\n"
    try:
        process = await asyncio.create_subprocess_exec(
            *destination.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": _PATH, "LANG": "C.UTF-8", "TOLLKEEPER_ALERT": delivery.alert_id},
            cwd="/",
            start_new_session=True,  # what it starts ends with it
        )
    except (OSError, ValueError) as error:
        return SendResult(f"{destination.argv[0]} cannot be started: {getattr(error, 'strerror', None) or error}")
    try:
        async with asyncio.timeout(float(destination.timeout_s)):
            _, said = await asyncio.gather(_feed(process.stdin, text), _heard(process.stderr))
            await process.wait()
    except TimeoutError:
        return SendResult(f"{destination.argv[0]} was not done within {destination.timeout_s:g} s, and was ended")
    finally:
        await _end(process)
    if process.returncode == 0:
        return SendResult(status=0)
    shown = "".join(char if char.isprintable() else " " for char in said.decode(errors="replace")).strip()
    problem = f"{destination.argv[0]} ended with {process.returncode}"
    return SendResult(f"{problem}: {shown[:_SAID_MAX_CHARS]}" if shown else problem, process.returncode)


async def _feed(stdin: asyncio.StreamWriter | None, text: bytes) -> None:
    """Write all of stdin; a program that does not read it to the end may still have done its work."""
    assert stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stdin.write(text)
        await stdin.drain()
    stdin.close()


async def _heard(stderr: asyncio.StreamReader | None) -> bytes:
    """Return the beginning of stderr, read to its end."""
    assert stderr is not None
    said = b""
    while piece := await stderr.read(1 << 16):
        said += piece[: _SAID_MAX_BYTES - len(said)]
    return said


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill the program and what it started, if it still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
