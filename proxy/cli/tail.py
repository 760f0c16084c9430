"""tollkeeper tail: requests as they end, one line each."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from proxy.cli.reading_settings import reading_settings
from proxy.cli.request_filters import filter_options, request_query
from proxy.cli.settings import config_option

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient

_EVERY_S = 1.0
_LOOK_BACK_MS = 5_000  # rows are written a moment after their ids are given
_FAR_BACK_MS = 60_000  # and some after their bodies have come; looked for less often
_FAR_EVERY = 10
_OPEN_AT_ONCE = 20  # of the longest requests, that are asked about one by one


@click.command()
@filter_options
@click.option("-n", "--lines", type=click.IntRange(0, 10_000), default=10, show_default=True, help="The last so many.")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C, as requests end.")
@config_option
def tail(config_path: Path | None, lines: int, *, follow: bool, **filters: str | None) -> None:
    """Show the last requests that have ended, refused ones too, a line each as in the access log."""
    from proxy.cli.admin_client import admin_client  # noqa: PLC0415 - keeps --help quick

    query = request_query(filters)
    settings = reading_settings(config_path)
    try:
        with admin_client(settings, "tollkeeper tail") as api:
            if follow and api.get("/status")["started_at"] is None:
                raise click.ClickException("No proxy runs, so there is nothing to follow. Leave -f out.")
            _show(api, query, lines, follow=follow)
    except KeyboardInterrupt:
        click.echo(err=True)  # the terminal has written ^C


def _show(api: "AdminClient", query: Mapping[str, str], lines: int, *, follow: bool) -> None:
    follower = _Follower(api, query)
    if follow:
        follower.ended()  # what had ended before is no news
    ended = (one for one in api.pages("/requests", {**query, "limit": 100}) if one["state"] != "open")
    last = list(islice(ended, lines))[::-1]
    _print(last)
    follower.shown.update(one["id"] for one in last)
    while follow:
        time.sleep(_EVERY_S)
        _print(follower.ended())


def _print(records: list[dict[str, Any]]) -> None:
    from proxy.cli.request_line import request_lines  # noqa: PLC0415 - keeps --help quick

    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    for line in request_lines(records, colours=colours):
        click.echo(line)
    sys.stdout.flush()


class _Follower:
    """Asks for what has ended since it was asked before. What it keeps is bounded by a minute's requests."""

    def __init__(self, api: "AdminClient", query: Mapping[str, str]) -> None:
        self._api = api
        self._query = query
        self.shown: set[str] = set()
        self._open: dict[str, None] = {}  # in the order in which they are asked about
        self._turn = 0

    def ended(self) -> list[dict[str, Any]]:
        """Return what has ended since the last call, oldest first; at first what had ended in the last minute."""
        far = self._turn % _FAR_EVERY == 0
        self._turn += 1
        after_ms = _now_ms() - (_FAR_BACK_MS if far else _LOOK_BACK_MS)
        listed = self._api.pages("/requests", {**self._query, "after": _first_id(after_ms)})
        found = [one for one in (*listed, *self._long_ones()) if self._is_new(one)]
        if far:
            oldest = _first_id(_now_ms() - 2 * _FAR_BACK_MS)
            self.shown = {id_ for id_ in self.shown if id_ > oldest}
        return sorted(found, key=lambda one: (one["finished_at"] or one["started_at"], one["id"]))

    def _long_ones(self) -> Iterator[dict[str, Any]]:
        for id_ in [*self._open][:_OPEN_AT_ONCE]:
            self._open.pop(id_)
            self._open[id_] = None  # to the end of the line
            yield self._api.get(f"/requests/{id_}")

    def _is_new(self, one: dict[str, Any]) -> bool:
        id_ = one["id"]
        if one["state"] == "open":
            self._open.setdefault(id_)
            return False
        self._open.pop(id_, None)
        is_new = id_ not in self.shown
        self.shown.add(id_)
        return is_new


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _first_id(ms: int) -> str:
    from proxy.storage.rows import id_floor, id_text  # noqa: PLC0415 - keeps --help quick

    return id_text(id_floor(ms))
