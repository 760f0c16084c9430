"""What only the machine and the ledger's file can tell: disk, size, alerts that fire, drift. Blocks: for a thread."""

import shutil
from collections import Counter
from collections.abc import Mapping

from msgspec import Struct, field

from proxy.core.errors import LedgerError
from proxy.pipeline.services import Services
from proxy.web.metrics.drift import DriftFigures, read_drift


class MachineFigures(Struct):
    """Sizes in bytes. firing: by rule, for how many subjects. sources: by what was asked, whether it answered."""

    disk: tuple[int, int] | None = None  # free, in all
    ledger_bytes: int | None = None
    firing: Mapping[str, int] = field(default_factory=dict)
    drift: DriftFigures = field(default_factory=DriftFigures)
    sources: dict[str, bool] = field(default_factory=dict)


def read_machine(services: Services) -> MachineFigures:
    """Read them; what cannot be read is left out, and is in sources."""
    found, settings = MachineFigures(), services.live.current.settings
    try:
        disk = shutil.disk_usage(settings.database.absolute().parent)
        found.disk = disk.free, disk.total
        found.ledger_bytes = services.reports.size_bytes()
    except OSError:
        found.disk = None
    found.sources["disk"] = found.disk is not None
    try:
        found.firing = _firing(services)
        found.sources["alerts"] = True
    except LedgerError:
        found.sources["alerts"] = False
    try:
        found.drift = read_drift(services)
        found.sources["drift"] = True
    except LedgerError:
        found.sources["drift"] = False
    return found


def _firing(services: Services) -> Mapping[str, int]:
    rules = sorted(name for name, rule in services.live.current.settings.alerts.rules.items() if rule.enabled)
    states = services.reports.alerts().states if rules else {}
    firing = Counter(rule for (rule, _), state in states.items() if state.level)
    return {name: firing[name] for name in rules}
