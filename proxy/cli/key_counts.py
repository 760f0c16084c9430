"""What providers have counted for keys, beside the ledger: of those without a management key it is all that is told."""

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

if TYPE_CHECKING:
    from proxy.cli.admin_client import AdminClient

_ALONE = (
    "{providers}: without a management key the ledger is compared with what each key has counted, by sums alone."
    " With providers.<name>.management_key each request is compared with its call."
)


class KeyCounts(Struct, frozen=True):
    """keys: windows; counters: the keys. is_wanted: they were asked for, though there may be a management key."""

    keys: Sequence[Mapping[str, Any]]
    counters: Sequence[Mapping[str, Any]]
    is_wanted: bool

    def json(self) -> dict[str, Any]:
        """Return what is added to the JSON of the command."""
        if not self.is_wanted and not self.counters:
            return {}
        return {"keys": self.keys, "counters": self.counters}

    def show(self, *, is_first: bool) -> None:
        """Print the windows, and in sentences where they differ; is_first: nothing is printed above."""
        from proxy.cli.drift_table import print_keys  # noqa: PLC0415 - keeps --help quick

        if self.is_wanted or self.keys:
            if not is_first:
                click.echo()
            print_keys(self.keys)
        for one in self.keys:
            if one["left_pusd"] or one["replaced_pusd"]:
                click.echo(f"\n{one['provider']} {one['key']}, {one['window']}")
                _print(one["text"], "  ")
        for one in self.counters:
            if one["problem"] is not None:
                _print(f"{one['provider']} {one['key']}: what it has counted is not known: {one['problem']}", err=True)
        if self.alone():
            _print(_ALONE.format(providers=", ".join(self.alone())), err=True)

    def alone(self) -> list[str]:
        """Return the providers with keys whose bill is not read."""
        return [*dict.fromkeys(str(one["provider"]) for one in self.counters if not one["has_bill"])]

    def unexplained_pusd(self) -> int:
        """Return the drift that nothing explains of keys whose bill is not read: of each its worst window."""
        alone = {(one["provider"], one["key"]) for one in self.counters if not one["has_bill"]}
        worst: dict[tuple[str, str], int] = {}
        for one in self.keys:
            place = one["provider"], one["key"]
            if place in alone:
                worst[place] = max(worst.get(place, 0), abs(one["unexplained_pusd"]))
        return sum(worst.values())


def key_counts(api: "AdminClient", *, is_wanted: bool, is_today: bool) -> KeyCounts:
    """Ask for all keys where that is wanted, else for those whose bill is not read; what is counted is of today."""
    counters = list(api.pages("/reconciliations/counters")) if is_wanted or is_today else []
    if not is_wanted:
        counters = [one for one in counters if not one["has_bill"]]
    keys = list(api.pages("/reconciliations/keys")) if counters else []
    places = {(one["provider"], one["key"]) for one in counters}
    return KeyCounts([one for one in keys if (one["provider"], one["key"]) in places], counters, is_wanted)


def _print(text: str, indent: str = "", *, err: bool = False) -> None:
    from proxy.cli.table import printable  # noqa: PLC0415 - keeps --help quick

    width = max(shutil.get_terminal_size().columns, 40)
    click.echo(click.wrap_text(printable(text), width - 1, indent, indent), err=err)
