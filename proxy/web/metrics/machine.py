"""What only the machine and the ledger's file can tell: disk, size, alerts that fire. Blocks: call it in a thread."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from proxy.core.errors import LedgerError
from proxy.pipeline.services import Services


@dataclass(slots=True)
class MachineFigures:
    """Sizes in bytes. firing: by rule, for how many subjects. sources: by what was asked, whether it answered."""

    disk: tuple[int, int] | None = None  # free, in all
    ledger_bytes: int | None = None
    firing: Mapping[str, int] = field(default_factory=dict)
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
    rules = {name for name, rule in settings.alerts.rules.items() if rule.enabled}
    found.sources["alerts"] = True
    firing: Counter[str] = Counter()
    if rules:
        try:
            states = services.reports.alerts().states
        except LedgerError:
            found.sources["alerts"] = False
        else:
            firing = Counter(rule for (rule, _), state in states.items() if state.level)
    if found.sources["alerts"]:
        found.firing = {name: firing[name] for name in sorted(rules)}
    return found
