"""Stops: what an operator, or an alert, has forbidden or eased for a while, and whom each concerns. Pure."""

from collections.abc import Collection, Iterable
from typing import Literal, get_args

from msgspec import Struct

from proxy.core.glob import fits
from proxy.core.stop_effect import STOP, EffectName, StopEffect

StopKind = Literal["all", "user", "group", "token", "preset", "model", "provider"]
KINDS: tuple[StopKind, ...] = get_args(StopKind)
_SUFFIXES = ":@"  # what follows in the name of a model is a variant of it, or who serves it


class Stop(Struct, frozen=True):
    """One stop. subject: a name, of a model a pattern as in ``models:``, "" for everything. until_ms None: no end.

    cut: what ran when it came was cut off; otherwise it went on to its end. actor and source: as in the audit trail.
    effect: what becomes of the requests; preset and a_minute belong to it. rule: of alerts, which has made it.
    """

    id: str
    kind: StopKind
    subject: str
    reason: str | None
    cut: bool
    actor: str
    source: str
    created_ms: int
    until_ms: int | None
    effect: EffectName = STOP.name
    preset: str = STOP.preset
    a_minute: int = STOP.a_minute
    rule: str | None = None

    @property
    def outcome(self) -> StopEffect:
        """Return its effect with what belongs to it."""
        return StopEffect(self.effect, self.preset, self.a_minute)

    def is_over(self, now_ms: int) -> bool:
        """Return whether its time is over."""
        return self.until_ms is not None and now_ms >= self.until_ms

    @property
    def what(self) -> str:
        """Return what is stopped, as a text."""
        return "everything" if self.kind == "all" else f'{self.kind} "{self.subject}"'

    @property
    def requests(self) -> str:
        """Return which requests it concerns, as the beginning of a sentence."""
        if self.kind == "all":
            return "All requests"
        return f"Requests {'of' if self.kind in ('user', 'group', 'token') else 'for'} {self.what}"


class Asker(Struct, frozen=True):
    """Whose request it is: the user, the owner of the token where it named somebody else, and their groups."""

    users: Collection[str]
    groups: Collection[str]
    token: str


def stop_of_asker(stops: Iterable[Stop], asker: Asker) -> Stop | None:
    """Return the first stop that concerns all that somebody asks."""
    for stop in stops:
        if (
            stop.kind == "all"
            or (stop.kind == "user" and stop.subject in asker.users)
            or (stop.kind == "group" and stop.subject in asker.groups)
            or (stop.kind == "token" and stop.subject == asker.token)
        ):
            return stop
    return None


def stop_of_preset(stops: Iterable[Stop], presets: Collection[str]) -> Stop | None:
    """Return the first stop that concerns one of these presets."""
    return next((stop for stop in stops if stop.kind == "preset" and stop.subject in presets), None)


def stop_of_target(stops: Iterable[Stop], provider: str, model: str) -> Stop | None:
    """Return the first stop that concerns a model at a provider."""
    for stop in stops:
        if (stop.kind == "provider" and stop.subject == provider) or (
            stop.kind == "model" and is_model(stop.subject, provider, model)
        ):
            return stop
    return None


def is_model(pattern: str, provider: str, model: str) -> bool:
    """Return whether a pattern means a model, however it is named: with its provider, or as a variant of it."""
    names = {model, f"{provider}/{model}"}
    for suffix in _SUFFIXES:
        names |= {name.partition(suffix)[0] for name in names}
    return any(fits(name, pattern) for name in names)
