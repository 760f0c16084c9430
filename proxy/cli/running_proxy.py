"""Ask the proxy that runs on this ledger; None if none is running."""

import http.client
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.control_client import answer_data, find_door

if TYPE_CHECKING:
    from proxy.config.schema import Settings


def ask_running(settings: "Settings", name: str, fields: Mapping[str, Any], *, timeout_s: float) -> Any | None:
    """Send POST /admin/v1/<name> over the socket and return its data; timeout_s is the longest silence.

    Raises click.ClickException with the text of a refusal, LedgerError where the socket may not be used.
    """
    connect = find_door(settings)
    if connect is None:
        return None
    connection = connect()
    connection.timeout = timeout_s
    try:
        connection.connect()
        connection.sock.settimeout(timeout_s)
        connection.request(
            "POST", f"/admin/v1/{name}", json.dumps(fields).encode(), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        raw = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise click.ClickException(
            f"The connection to the running proxy broke ({type(error).__name__}). Try again."
        ) from None
    finally:
        connection.close()
    return answer_data(response.status, raw)


def is_running(settings: "Settings") -> bool:
    return find_door(settings) is not None
