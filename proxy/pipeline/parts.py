"""The parts that the steps work with; app.py makes them, run.py hands them on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from zoneinfo import ZoneInfo

from proxy.config.schema import Settings
from proxy.core.clock import Clock
from proxy.pipeline.authenticate import Directory
from proxy.pipeline.desk import Desk
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.patience import Patience
from proxy.pipeline.route import PresetRow
from proxy.providers.catalogue import Catalogue
from proxy.providers.rows import ProviderRow
from proxy.storage.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One whole configuration, built before it is swapped in; a request keeps the one it began with."""

    settings: Settings
    directory: Directory
    providers: Mapping[str, ProviderRow]
    presets: Mapping[str, PresetRow]
    hosts: frozenset[str]
    zone: ZoneInfo


class Live(Protocol):
    """The configuration in force."""

    @property
    def current(self) -> Snapshot: ...


@dataclass(slots=True)
class Parts:
    ledger: Ledger
    clock: Clock
    live: Live
    catalogue: Catalogue
    desk: Desk
    look_up_later: Callable[[int], None]  # a pending request's id -> the job that settles it
    patience: Patience = field(default_factory=Patience)
    in_flight: InFlight = field(default_factory=InFlight)
    draining: bool = False
