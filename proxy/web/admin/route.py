"""One entry of the operator's API: what a path answers, to whom, and in which form."""

import asyncio
import enum
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from msgspec import Struct
from msgspec.structs import force_setattr
from pydantic import BaseModel, ConfigDict, Field

from proxy.pipeline.context import RequestContext
from proxy.storage.admin_posts import PostClaim
from proxy.storage.audit import Actor
from proxy.web.admin.json_bytes import json_of_many
from proxy.web.admin.page import PageRequest
from proxy.web.deps import Deps

PREFIX = "/admin/v1/"
_SHOWN_ONCE = "x-shown-once"
ShownOnce = Annotated[str, Field(json_schema_extra={_SHOWN_ONCE: True})]  # a secret that no later answer holds
R = TypeVar("R")
T = TypeVar("T")
_FEW_ROWS = 100  # are written in less than half a millisecond


class Role(enum.IntEnum):
    """What an operator may do; a greater one may do all that a smaller one may."""

    VIEWER = 1
    ADMIN = 2


class AdminBody(BaseModel):
    """The base of bodies: a field that it does not know is refused, and a number is no text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AdminQuery(BaseModel):
    """The base of queries. A parameter that comes twice is a list."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoFields(AdminBody):
    """A body without any field."""


class NoFilters(AdminQuery):
    """A query without any parameter."""


class Operator(Struct, frozen=True):
    """Who asks, and what they may do."""

    actor: Actor
    role: Role


class AdminRequest(Struct, frozen=True):
    """A request to the operator's API after all checks; body and query are of the types that the route names."""

    path: Mapping[str, str]  # the parameters in the path, decoded
    body: Any
    query: Any
    page: PageRequest  # of a list
    operator: Operator
    now_ms: int
    deps: Deps
    context: RequestContext
    claim: PostClaim | None = None  # of a POST with an Idempotency-Key
    check_unchanged: Callable[[], Awaitable[None]] | None = None  # raises where If-Match names another state

    @property
    def actor(self) -> Actor:
        return self.operator.actor

    @property
    def role(self) -> Role:
        return self.operator.role

    async def change(self, name: str, fields: Mapping[str, Any]) -> Any:
        """Run one of admin_operations.CHANGES; what it changed is in force when this returns."""
        async with self.deps.changes:
            if self.check_unchanged is not None:
                await self.check_unchanged()
            return await self.deps.change(name, now_ms=self.now_ms, actor=self.actor, fields=fields, claim=self.claim)

    async def read(self, report: Callable[..., T], *arguments: Any) -> T:
        """Return what a report answers; it runs beside the event loop, and never asks the writer."""
        return await asyncio.to_thread(report, *arguments)

    async def written(self, write: Callable[[R], Any], rows: Sequence[R]) -> Any:
        """Return rows as the data of a list; many of them as JSON, for which a thread takes their milliseconds."""
        if len(rows) <= _FEW_ROWS:
            return list(map(write, rows))
        return await asyncio.to_thread(json_of_many, map(write, rows))

    async def read_long(self, report: Callable[..., T], *arguments: Any) -> T:
        """Return what report(reports, *arguments) answers, of a large ledger by another process: see LongLooks."""
        return await self.deps.long_looks.read(report, *arguments)


class AdminAnswer(Struct, frozen=True):
    """What a handler returns.

    data: what orjson can write, a model, or bytes that are JSON already. etag: None makes one of all the data; give one
    (see etag_of) where some of the data changes by itself, as figures of use do. status: None for that of the route.
    """

    data: Any
    next_cursor: str | None = None
    etag: str | None = None
    status: int | None = None


class AdminRoute(Struct, frozen=True):
    """A method and a path below /admin/v1, such as "/users/{name}".

    answer: the model of "data", or of one entry of a list. role: None lets viewers read, and admins do everything else.
    """

    method: str
    path: str
    handler: Callable[[AdminRequest], Awaitable[AdminAnswer]]
    summary: str
    answer: type[BaseModel]
    body: type[BaseModel] | None = None
    query: type[BaseModel] | None = None
    role: Role | None = None
    is_list: bool = False
    status: int = 200
    segments: tuple[str, ...] = ()  # of the path

    def __post_init__(self) -> None:
        for model in (self.body, self.query):
            if model is not None and model.model_config.get("extra") != "forbid":
                raise ValueError(f"{self.method} {self.path}: {model.__name__} would accept unknown fields")
        force_setattr(self, "segments", tuple(self.path.strip("/").split("/")))

    @property
    def shows_secret(self) -> bool:
        """Return whether an answer may hold what no later one does."""
        return f'"{_SHOWN_ONCE}": true' in json.dumps(self.answer.model_json_schema())

    @property
    def required_role(self) -> Role:
        return self.role or (Role.VIEWER if self.method == "GET" else Role.ADMIN)
