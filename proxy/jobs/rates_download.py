"""Fetch a file of exchange rates. It is imported with the first fetch, in a thread: aiohttp's client takes a while."""

import asyncio
from pathlib import Path

import aiohttp

from proxy.wire.ecb_rates import EcbRatesError, read_usd_rates

_TIMEOUT_S = 60.0
_ANSWER_MAX_BYTES = 32 * 2**20


async def download_rates(url: str, path: Path, code: str) -> int:
    """Replace the file by what the URL answers; return of how many days it has rates of the currency.

    Raises EcbRatesError, with the file as it was.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            data = await _get(url)
        return await asyncio.to_thread(_keep, path, data, code)
    except TimeoutError:
        raise EcbRatesError(f"no answer within {_TIMEOUT_S:g} s") from None
    except (aiohttp.ClientError, OSError, UnicodeDecodeError) as error:
        raise EcbRatesError(str(error)) from None


async def _get(url: str) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(url, headers={"User-Agent": "Tollkeeper"}) as answer:
        if answer.status != 200:
            raise EcbRatesError(f"it answered {answer.status}")
        data = bytearray()
        async for piece in answer.content.iter_any():
            data += piece
            if len(data) > _ANSWER_MAX_BYTES:
                raise EcbRatesError(f"the answer is larger than {_ANSWER_MAX_BYTES >> 20} MiB")
        return bytes(data)


def _keep(path: Path, data: bytes, code: str) -> int:
    """Write the file, whole or not at all; return of how many days it has rates."""
    days = len(read_usd_rates(data.decode(), code))
    half = path.with_name(f".{path.name}.half")
    try:
        half.write_bytes(data)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)
    return days
