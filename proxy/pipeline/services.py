"""The parts that the steps work with; app.py makes them, run.py hands them on."""

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct, field

from proxy.core.clock import Clock
from proxy.pipeline.access_log import AccessLog
from proxy.pipeline.admission.limiter import Limiter
from proxy.pipeline.counters import Counters
from proxy.pipeline.events import Publisher
from proxy.pipeline.idempotency_claim import IdempotencyClaims
from proxy.pipeline.in_flight import InFlight
from proxy.pipeline.repeated_bodies import RepeatedBodies
from proxy.pipeline.routing.catalog import ModelCatalog
from proxy.pipeline.settlement.write_timeout import WriteTimeout
from proxy.pipeline.snapshot import Live
from proxy.pipeline.stops import Stops
from proxy.pipeline.upstream.parameter_forms import ParameterForms
from proxy.pipeline.upstream.provider_health import Health
from proxy.policy.pace import Pace
from proxy.providers.account.accounts import Accounts
from proxy.providers.generation import GenerationAccess
from proxy.providers.model_lists import ModelLists
from proxy.storage.ledger import Ledger
from proxy.storage.reports import Reports


class LookUpLater(Protocol):
    """Takes up a pending request."""

    def __call__(self, request_id: int, made_with: Mapping[int, GenerationAccess] = ..., /) -> None:
        """Settle a request later. made_with: by number what attempts used; the rest is found by name in the row."""
        ...


class Services(Struct):
    ledger: Ledger
    reports: Reports
    clock: Clock
    live: Live
    model_lists: ModelLists
    limiter: Limiter
    health: Health
    look_up_later: "LookUpLater"  # the job that settles pending requests
    stops: Stops
    accounts: Accounts
    write_timeout: WriteTimeout = field(default_factory=WriteTimeout)
    in_flight: InFlight = field(default_factory=InFlight)
    claims: IdempotencyClaims = field(default_factory=IdempotencyClaims)
    counters: Counters = field(default_factory=Counters)
    access: AccessLog | None = None  # None: nobody reads it
    events: Publisher = field(default_factory=Publisher)
    forms: ParameterForms = field(default_factory=ParameterForms)
    catalog: ModelCatalog = field(default_factory=ModelCatalog)
    repeated: RepeatedBodies | None = None  # None: no alert rule asks
    pace: Pace = field(default_factory=Pace)
    draining: bool = False
