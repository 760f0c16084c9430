"""What handlers get besides the request's context."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from msgspec import Struct, field

from proxy.config.load import LoadedConfig
from proxy.jobs.alerts.limit_readings import LimitReadings
from proxy.jobs.alerts.outbox import AlertOutbox
from proxy.jobs.alerts.watch import AlertWatch
from proxy.jobs.late_lookups import LateLookups
from proxy.jobs.late_truths import LateTruths
from proxy.jobs.reconciliation.account_sync import AccountSync
from proxy.pipeline.admission.missing_limits import MissingLimit
from proxy.pipeline.services import Services
from proxy.policy.change_pace import ChangePace
from proxy.policy.wrong_tokens import WrongTokens
from proxy.storage.admin_posts import PostClaim
from proxy.storage.audit import Actor
from proxy.storage.report_process import LongLooks
from proxy.web.admin.people_cache import PeopleCache
from proxy.web.dashboard.codes import LoginCodes
from proxy.web.dashboard.open_sessions import OpenSessions
from proxy.web.dashboard.state import DashboardState
from proxy.web.metrics.shared_rendering import SharedRendering
from proxy.web.model_list import ModelListCache


class UserChange(Protocol):
    """Change users or tokens; when it returns, those in force are those of the ledger."""

    def __call__(
        self, operation: str, *, now_ms: int, actor: Actor, fields: Mapping[str, Any], claim: PostClaim | None = None
    ) -> Awaitable[Any]:
        """Run one of admin_operations.CHANGES by its name; claim: of the POST that asks for it."""
        ...


class Deps(Struct):
    services: Services
    change: UserChange
    reload: Callable[[Actor], Awaitable[str | None]]  # returns the problem, or None if the file is in force now
    loaded: Callable[[], LoadedConfig]  # the file in force
    config_problem: Callable[[], str | None]
    clock_problem: Callable[[], str | None]
    missing_limits: Callable[[], tuple[MissingLimit, ...]]  # of the configuration in force
    pending: Callable[[], int]
    late: LateTruths
    lookups: LateLookups
    sync: AccountSync
    jobs: Callable[[], Mapping[str, str]]  # background jobs that are not running, and why
    ownerless: Callable[[], int]  # holds without a running request, at the last look
    alerts: AlertWatch
    outbox: AlertOutbox
    sessions: OpenSessions  # of people who look at pages
    people: PeopleCache
    long_looks: LongLooks
    limits: LimitReadings  # those that metrics show
    every_limit: LimitReadings
    write_refusals: Callable[[], Awaitable[bool]]  # those that have not been written yet; returns whether all are
    started_ms: int | None = None  # when it began to listen; None: it does not, and a command asks in its own process
    pages_at: str | None = None  # where the dashboard is, as http://127.0.0.1:8787; None: it does not listen
    shelf: ModelListCache = field(default_factory=ModelListCache)
    changes: asyncio.Lock = field(default_factory=asyncio.Lock)  # held from the check of a state to its change
    posts: set[bytes] = field(default_factory=set)  # keys of POSTs to the operator's API that are under way
    preference_pace: ChangePace = field(default_factory=ChangePace)  # by user
    login_pace: ChangePace = field(default_factory=ChangePace)  # by who logs in to the pages
    wrong_tokens: WrongTokens = field(default_factory=WrongTokens)  # of the operator
    codes: LoginCodes = field(default_factory=LoginCodes)  # of the command line, for a browser
    renderings: SharedRendering = field(default_factory=SharedRendering)  # of metrics
    dashboard: DashboardState = field(default_factory=DashboardState)
