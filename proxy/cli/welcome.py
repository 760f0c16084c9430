"""What the operator sends to somebody who has just got a token: where to ask, and how."""

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.limit_table import limit_text
from proxy.config.values import is_loopback

if TYPE_CHECKING:
    from proxy.config.schema import Settings

_ALL_ADDRESSES = ("0.0.0.0", "::")  # noqa: S104 - compared, not listened on


def print_welcome(settings: "Settings", user: Mapping[str, Any]) -> None:
    """Print on stderr what to send to a user; the token itself stands on stdout alone."""
    url = base_url(settings)
    told = ", ".join(limit_text(limit) for limit in user["limits"])
    models = user["settings"].get("models")
    may = [f"You may use {told}." if told else "", f"Models: {', '.join(models)}." if models else ""]
    lines = [
        f"To send to {user['name']}, with the token:",
        "",
        f"  Base URL: {url}",
        "  Any program for OpenAI's API works with it: give it the base URL and the token, or set",
        f"  OPENAI_BASE_URL={url} and OPENAI_API_KEY=<the token>.",
        f"  {' '.join(filter(None, may))}".rstrip(),
        f'  What is left: curl -H "Authorization: Bearer <the token>" {url}/me/limits',
    ]
    if settings.server.dashboard:
        lines.append(f"  The same in a browser, with the token: {url.removesuffix('/v1')}/me")
    click.echo("\n" + "\n".join(line for line in lines if line.strip() or not line), err=True)
    if not settings.server.hosts and is_loopback(settings.server.host):
        click.echo(
            f"\nNote: {settings.server.host} is this machine alone. How others reach it: docs/how-to/service.md.",
            err=True,
        )


def base_url(settings: "Settings") -> str:
    """Return where a user's programs ask: by the name that a TLS server has for it, else at the proxy's own address."""
    server = settings.server
    if server.hosts:
        return f"https://{server.hosts[0]}/v1"
    host = socket.gethostname() if server.host in _ALL_ADDRESSES else server.host
    return f"http://{f'[{host}]' if ':' in host else host}:{server.port or '<port>'}/v1"
