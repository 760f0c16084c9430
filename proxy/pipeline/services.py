"""The parts that the steps work with; app.py makes them, run.py hands them on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from zoneinfo import ZoneInfo

from proxy.config.schema import Settings
from proxy.core.clock import Clock
from proxy.pipeline.access_log import AccessLog
from proxy.pipeline.admission.limiter import MemoryLimiter
from proxy.pipeline.counters import Counters
from proxy.pipeline.idempotency_claim import IdempotencyClaims
from proxy.pipeline.identity.authenticate import Directory
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.routing.route import PresetRow, Target, TargetsByName
from proxy.pipeline.settlement.write_timeout import WriteTimeout
from proxy.pipeline.upstream.parameter_forms import ParameterForms
from proxy.pipeline.upstream.provider_health import Health
from proxy.policy.host import Hosts
from proxy.policy.origin import Origins
from proxy.policy.quota import Quota
from proxy.providers.generation import GenerationAccess
from proxy.providers.model_lists import ModelLists
from proxy.providers.provider import ProviderRow
from proxy.storage.sqlite.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Routing:
    """What holds for every route; retry_after_max_s: the longest wait that a provider may ask for.

    carries_refused: content that one provider refused goes to the next target.
    """

    deadline_s: float
    attempts_max: int
    retry_after_max_s: float
    carries_refused: bool


def routing_of(settings: Settings) -> Routing:
    routing = settings.routing
    carries_refused = routing.refused_content == "next_target"
    return Routing(float(routing.deadline_s), routing.attempts_max, float(routing.retry_after_max_s), carries_refused)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One whole configuration, built before it is swapped in; a request keeps the one it began with."""

    settings: Settings
    directory: Directory
    providers: Mapping[str, ProviderRow]
    presets: Mapping[str, PresetRow]
    hosts: Hosts
    zone: ZoneInfo
    routing: Routing
    origins: Origins = field(default_factory=Origins)  # of web pages that may call
    statics: Mapping[str, ProviderRow] = field(default_factory=dict)  # canned answers, by preset
    use_cases: Mapping[str, str] = field(default_factory=dict)  # use case -> preset
    use_case_quotas: Mapping[str, tuple[Quota, ...]] = field(default_factory=dict)
    # read for each request, where a field of a pydantic model would cost as much as a call
    targets: TargetsByName = field(init=False)
    body_max_bytes: int = field(init=False)
    settlement_timeout_s: float = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        object.__setattr__(self, "targets", TargetsByName(settings.providers))
        object.__setattr__(self, "body_max_bytes", settings.server.body_max_bytes)
        object.__setattr__(self, "settlement_timeout_s", settings.ledger.settlement_timeout_s)

    def provider_of(self, target: Target) -> ProviderRow:
        return self.providers[target.provider] if target.static is None else self.statics[target.static]


class LookUpLater(Protocol):
    """Takes up a pending request."""

    def __call__(self, request_id: int, made_with: Mapping[int, GenerationAccess] = ..., /) -> None:
        """made_with: what its attempts went out with, by number; what is missing is found by its name in the row."""
        ...


class Live(Protocol):
    """The configuration in force."""

    @property
    def current(self) -> Snapshot: ...


@dataclass(slots=True)
class Services:
    ledger: Ledger
    clock: Clock
    live: Live
    catalogue: ModelLists
    desk: MemoryLimiter
    health: Health
    look_up_later: "LookUpLater"  # the job that settles pending requests
    patience: WriteTimeout = field(default_factory=WriteTimeout)
    in_flight: InFlight = field(default_factory=InFlight)
    claims: IdempotencyClaims = field(default_factory=IdempotencyClaims)
    tally: Counters = field(default_factory=Counters)
    access: AccessLog | None = None  # None: nobody reads it
    forms: ParameterForms = field(default_factory=ParameterForms)
    draining: bool = False
