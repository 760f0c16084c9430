"""One whole configuration, as requests use it."""

from collections.abc import Mapping
from typing import Final, Protocol
from zoneinfo import ZoneInfo

from msgspec import Struct, field
from msgspec.structs import force_setattr

from proxy.config.load import LoadedConfig
from proxy.config.overlay import Overlay
from proxy.config.schema import Settings
from proxy.pipeline.identity.directory import Directory
from proxy.pipeline.identity.operator_directory import OperatorRow
from proxy.pipeline.routing.targets import RouteTable, TargetsByName
from proxy.pipeline.values.preset import PresetRow
from proxy.pipeline.values.route import Target
from proxy.policy.host import Hosts
from proxy.policy.origin import Origins
from proxy.policy.quota import Quota
from proxy.providers.provider import ProviderRow


class RouteRules(Struct, frozen=True):
    """Settings for every route; retry_after_max_s: the longest wait that a provider may ask for.

    carries_refused: content that one provider refused goes to the next target.
    """

    deadline_s: float
    attempts_max: int
    retry_after_max_s: float
    carries_refused: bool


def routing_of(settings: Settings) -> RouteRules:
    routing = settings.routing
    carries_refused = routing.refused_content == "next_target"
    return RouteRules(
        float(routing.deadline_s), routing.attempts_max, float(routing.retry_after_max_s), carries_refused
    )


_NO_ROUTES: Final = RouteTable({}, TargetsByName({}, {}, has_auto=False), {})


class Snapshot(Struct, frozen=True):
    """One whole configuration, built before it is swapped in; a request keeps the one it began with."""

    settings: Settings
    directory: Directory
    providers: Mapping[str, ProviderRow]
    presets: Mapping[str, PresetRow]
    hosts: Hosts
    zone: ZoneInfo
    routing: RouteRules
    origins: Origins = field(default_factory=Origins)  # of web pages that may call
    statics: Mapping[str, ProviderRow] = field(default_factory=dict)  # canned answers, by preset
    use_cases: Mapping[str, str] = field(default_factory=dict)  # use case -> preset
    use_case_quotas: Mapping[str, tuple[Quota, ...]] = field(default_factory=dict)
    operators: Mapping[str, OperatorRow] = field(default_factory=dict)  # by the hash of their token
    overlay: Overlay | None = None  # what settings were made of; None: of the file alone
    # read for each request, where each step from one block of settings to the next would cost
    routes: RouteTable = _NO_ROUTES
    body_max_bytes: int = 0
    may_lower: bool = False  # max_tokens, to what a limit still pays for
    settlement_timeout_s: float = 0.0

    def __post_init__(self) -> None:
        settings = self.settings
        rules = {name: row.rules for name, row in self.providers.items() if row.rules is not None}
        targets = TargetsByName(settings.providers, rules, has_auto=bool(settings.auto.models))
        force_setattr(self, "routes", RouteTable(self.presets, targets, self.use_cases))
        force_setattr(self, "body_max_bytes", settings.server.body_max_bytes)
        force_setattr(self, "may_lower", settings.quotas.on_over_budget == "clamp")
        force_setattr(self, "settlement_timeout_s", settings.ledger.settlement_timeout_s)

    def provider_of(self, target: Target) -> ProviderRow:
        return self.providers[target.provider] if target.static is None else self.statics[target.static]


class Live(Protocol):
    """The configuration in force."""

    @property
    def current(self) -> Snapshot: ...

    @property
    def loaded(self) -> LoadedConfig:
        """Return the file's settings, and where each of them stands."""
        ...
