"""Where a request may go: targets in order, and the body for each."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import force_setattr, replace

from proxy.policy.answer_check import CheckRules
from proxy.policy.pricing import thinking_budget
from proxy.policy.target_order import Select
from proxy.providers.deadlines import Deadlines
from proxy.wire.endpoint import CHAT, Endpoint


class Target(Struct, frozen=True):
    """One model at one provider (the name of a row of the configuration).

    defaults go under the client's own parameters and over the preset's. deadlines None: the provider's. handed: models
    that this provider falls back on by itself. static: the preset whose canned texts answer; there is no provider then.
    """

    provider: str
    model: str
    deadlines: Deadlines | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    weight: int | None = None
    handed: tuple[str, ...] = ()
    static: str | None = None
    is_plain: bool = True  # neither defaults nor handed models: the route's body goes there

    def __post_init__(self) -> None:
        force_setattr(self, "is_plain", not self.defaults and not self.handed)


class Route(Struct, frozen=True, eq=False, gc=False):
    """Where a request may go, in order, and the body that goes there; model and usage are filled in a target.

    use_case: what it is booked under. asked: the body that the client sent; None: body is that. max_tokens: the most
    that may be asked for, where a limit says so. maxima: that as each target takes it, by provider and model, where it
    is the proxy that writes it; None: it is left out there. deadline_s: for the whole of it; None: routing.deadline_s.
    only_first: once the targets are in order all but the first are left out.
    """

    targets: tuple[Target, ...]
    body: dict[str, Any]
    requested_model: str
    use_case: str | None
    preset: str | None = None
    select: Select = "ordered"
    asked: Mapping[str, Any] | None = None
    max_tokens: int | None = None
    deadline_s: float | None = None
    checks: CheckRules | None = None  # what an answer must be
    check_moves_on: bool = False  # what it is not goes to the next target, where it is not streamed
    endpoint: Endpoint = CHAT
    maxima: Mapping[tuple[str, str], int | None] | None = None
    only_first: bool = False

    @property
    def sent(self) -> Mapping[str, Any]:
        """Return the body that the client sent: its fields are never changed or taken back."""
        return self.body if self.asked is None else self.asked

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """Return provider and model of whatever may be asked, models that a provider falls back on by itself too."""
        return tuple(
            (target.provider, model)
            for target in self.targets
            if target.static is None
            for model in (target.model, *target.handed)
        )

    @property
    def writes_maximum(self) -> bool:
        """Return whether the bound of the answer was written by the proxy."""
        sent = self.body if self.asked is None else self.asked  # as sent
        for name in self.endpoint.maximum:  # noqa: SIM110 - all() would take three times as long
            if sent.get(name) is not None:
                return False
        return True

    @property
    def own_maximum(self) -> int | None:
        """Return the greatest bound of the answer that the client named; None: it named none."""
        sent, found = self.body if self.asked is None else self.asked, None
        for name in self.endpoint.maximum:
            bound = sent.get(name)
            if bound is not None and (found is None or bound > found):
                found = bound
        return found

    @property
    def rewrites_maximum(self) -> bool:
        """Return whether the proxy wrote the bound of the answer, or a limit changed the one that the client named."""
        own = self.own_maximum
        return own is None or (self.max_tokens is not None and self.max_tokens < own)

    def within(self, max_tokens: int) -> "Route":
        """Return the route with the longest answer that a limit allows written into its body.

        It is this very one where the client wrote just that, and every target gets what the client wrote.
        """
        if self.asked is None and self._is_bound_by(max_tokens):
            return self
        return Route(
            self.targets,
            self.endpoint.with_maximum(self.body, max_tokens),
            self.requested_model,
            self.use_case,
            self.preset,
            self.select,
            self.sent,
            max_tokens,
            self.deadline_s,
            self.checks,
            self.check_moves_on,
            self.endpoint,
        )

    def _is_bound_by(self, max_tokens: int) -> bool:
        """Return whether the body names this bound of the answer alone, and goes to all targets as it is."""
        is_named = False
        for name in self.endpoint.maximum:
            bound = self.body.get(name)
            if bound is not None:
                if bound.__class__ is not int or bound != max_tokens:
                    return False
                is_named = True
        if not is_named:
            return False
        for target in self.targets:  # noqa: SIM110 - all() would take three times as long
            if not target.is_plain:
                return False
        return True

    def with_maxima(self, maxima: Mapping[tuple[str, str], int | None]) -> "Route":
        """Return the route with the bound of the answer as each target takes it."""
        return replace(self, asked=self.sent, maxima=maxima)

    def with_bound(self, target: Target, tokens: int | None) -> "Route":
        """Return the route with another bound of the answer for one target; None: it is left out there."""
        return self.with_maxima({**(self.maxima or {}), (target.provider, target.model): tokens})

    def unraised(self) -> "Route":
        """Return the route with the bound of the answer that was reserved for."""
        return replace(self, maxima=None)

    def body_for(self, target: Target) -> dict[str, Any]:
        """Return the body for one target."""
        if target.is_plain and self.maxima is None:
            return self.body
        body = self.endpoint.with_target_defaults(target.defaults, self.body, self.sent)
        if target.defaults:
            body = with_room_to_think(body, self.sent, self.endpoint)
        most, place = self.max_tokens, (target.provider, target.model)
        if self.maxima is not None and place in self.maxima:
            most = self.maxima[place]
            bounds = {name: body[name] for name in self.endpoint.maximum if type(body.get(name)) is int}
            if most is None:
                body = {name: value for name, value in body.items() if name not in bounds}
            elif self.own_maximum is None and most > max(bounds.values(), default=most):
                body = {**body, **dict.fromkeys(bounds, most)}  # the target takes none that is smaller
        if most is not None:
            for name in self.endpoint.maximum:
                if type(body.get(name)) is int:
                    body[name] = min(body[name], most)
        if target.handed:
            body["models"] = list(target.handed)
        return body


def with_room_to_think(body: dict[str, Any], sent: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Add a thinking budget to a default's bound that is not above it: the bound is meant for the answer."""
    bounds = [name for name in endpoint.maximum if type(body.get(name)) is int and sent.get(name) is None]
    if not bounds:
        return body
    budget = thinking_budget(body)
    return {**body, **{name: budget + body[name] for name in bounds if body[name] <= budget}}
