"""Settings of the comparison with the provider's bill."""

from datetime import time
from decimal import Decimal
from typing import Literal

from proxy.config.alerts import ClockTime
from proxy.config.block import Block, setting
from proxy.config.values import Flag, Usd


class ReconcileSettings(Block):
    """When the ledger is compared with the provider's bill, and what follows."""

    apply: Literal["report", "adjust"] = setting(
        "report",
        "adjust books what the bill knows better: requests at what they cost after all, calls without a request apart."
        " report shows it only.",
        "Nobody's figures change by themselves unless you say so.",
    )
    hourly: Flag = setting(
        True,
        "Compare today, and days of which something is awaited, each hour.",
        "One question an hour and key at most. Without a management_key today alone is compared, by what each key has"
        " counted.",
    )
    daily_at: ClockTime = setting(
        time(3),
        "When the day before is compared, and days that were missed, by the clock of the time zone, in quotes.",
        "The bill is complete then, and few people work.",
    )
    unexplained_max_usd: Usd = setting(
        Decimal("0.01"),
        "How much drift that nothing explains tollkeeper reconcile takes before it ends with exit code 6.",
        "Less is nothing to look for.",
        ge=0,
    )
