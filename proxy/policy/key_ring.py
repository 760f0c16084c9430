"""Which of a provider's keys an attempt uses. Pure: time is passed in, and it knows only the names of keys."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from msgspec import Struct

PROBE_MS = 30_000
"""While all keys are set aside, how often one of them is asked all the same.

Why a key was refused may end before its time: credits are bought, a key is enabled again. A refused request costs
nothing."""

_WAITS = frozenset({"rate_limited"})  # reasons that end when the provider said
_MODELS_MAX = 1000  # names of models come from callers, and must not fill memory


class KeyFacts(Struct, frozen=True):
    """One key by its configured name, unique within the provider.

    A lower priority goes first; among equals weight is the share. It is used from valid_from_ms on and before
    valid_until_ms (epoch ms; None: no bound), so that in a rotation two keys overlap.
    """

    name: str
    priority: int = 1
    weight: int = 1
    valid_from_ms: int | None = None
    valid_until_ms: int | None = None


class KeyView(Struct, frozen=True):
    """For display: set_aside_until_ms is the end of the key's suspension, None while it is in use."""

    name: str
    valid: bool
    set_aside_until_ms: int | None
    reason: str | None
    models_set_aside: int


class _Aside(NamedTuple):
    until_ms: int
    reason: str


class KeyRing:
    """The keys of one provider; times are epoch ms."""

    __slots__ = ("_asides", "_keys", "_model_asides", "_plain", "_tried_ms", "_turns", "is_free")

    def __init__(self, keys: Sequence[KeyFacts]) -> None:
        if not keys:
            raise ValueError("a key ring needs a key")
        if len({key.name for key in keys}) != len(keys):
            raise ValueError("two keys of one ring have the same name")
        if any(key.weight < 1 for key in keys):
            raise ValueError("a key's weight is 1 or more")
        self._keys = tuple(keys)
        self._turns = [0] * len(keys)
        self._tried_ms: dict[int, int] = {}
        self._asides: dict[str, _Aside] = {}
        self._model_asides: dict[tuple[str, str], _Aside] = {}
        only = self._keys[0]
        self._plain = len(keys) == 1 and only.valid_from_ms is None and only.valid_until_ms is None
        self.is_free = self._plain  # there is one key, always valid and not set aside: nothing to choose or restore

    def choose(self, now_ms: int, excluded: Collection[int] = (), model: str | None = None) -> int | None:
        """Return the index of the key to use, or None if none is usable now.

        excluded holds the indices that were tried for this request or whose own limits are used up. The lowest
        priority number that has a usable key counts, and in it the keys take turns by weight (smooth weighted round
        robin: of weights 5, 1, 1 never five in a row of the first). Where all that are left are set aside, the one
        that is back soonest is given, but each at most every PROBE_MS.
        """
        if self.is_free and not excluded:
            return 0
        valid = [i for i in range(len(self._keys)) if i not in excluded and self._is_valid(i, now_ms)]
        usable = [i for i in valid if self._until_ms(i, model) <= now_ms]
        chosen = self._by_turn(usable) if usable else self._by_probe(valid, model, now_ms)
        if chosen is not None:
            self._tried_ms[chosen] = now_ms
            self._forget(self._keys[chosen].name, model, now_ms)
        return chosen

    def set_aside(self, name: str, until_ms: int, reason: str = "", model: str | None = None) -> None:
        """Suspend a key until a time, for one model or for all. A later end replaces an earlier one."""
        self.is_free = False
        aside = _Aside(until_ms, reason)
        if model is None:
            self._asides[name] = max(self._asides.get(name, aside), aside)
            return
        if len(self._model_asides) >= _MODELS_MAX:
            soonest = min(self._model_asides, key=lambda place: self._model_asides[place].until_ms)
            del self._model_asides[soonest]
        place = (name, model)
        self._model_asides[place] = max(self._model_asides.get(place, aside), aside)

    def restore(self, name: str, model: str | None = None) -> None:
        """Return a key to use: it was just accepted for this model."""
        self._asides.pop(name, None)
        if model is not None:
            self._model_asides.pop((name, model), None)
        self._look_again()

    def take_over(self, before: "KeyRing", names: Iterable[str]) -> None:
        """Copy an older ring's knowledge of those keys that a new configuration left as they were."""
        kept = frozenset(names) & {key.name for key in self._keys}
        asides, model_asides = before._asides, before._model_asides  # noqa: SLF001 - a ring like this one
        self._asides.update({name: aside for name, aside in asides.items() if name in kept})
        self._model_asides.update({place: aside for place, aside in model_asides.items() if place[0] in kept})
        self._look_again()

    def usable_in_ms(self, now_ms: int, model: str | None = None) -> int | None:
        """Return the time until a key is usable, 0 = now; None: no key is valid now."""
        valid = [i for i in range(len(self._keys)) if self._is_valid(i, now_ms)]
        return min((max(self._until_ms(i, model) - now_ms, 0) for i in valid), default=None)

    def waits_ms(self, now_ms: int, model: str) -> int | None:
        """Return the time until a key may be asked that was told to wait; None: one that is valid was not told so.

        A key that was refused for another reason may be tried all the same: the reason may be gone.
        """
        waits = []
        for i in range(len(self._keys)):
            if not self._is_valid(i, now_ms):
                continue
            aside = self._model_asides.get((self._keys[i].name, model))
            if aside is None or aside.until_ms <= now_ms or aside.reason not in _WAITS:
                return None
            waits.append(aside.until_ms - now_ms)
        return min(waits, default=None)

    def view(self, now_ms: int) -> tuple[KeyView, ...]:
        """Return the keys in their configured order."""
        return tuple(self._key_view(i, now_ms) for i in range(len(self._keys)))

    def _key_view(self, i: int, now_ms: int) -> KeyView:
        name = self._keys[i].name
        aside = self._asides.get(name)
        lasts = aside is not None and aside.until_ms > now_ms
        models = sum(a.until_ms > now_ms for (key, _), a in self._model_asides.items() if key == name)
        return KeyView(
            name,
            self._is_valid(i, now_ms),
            aside.until_ms if aside is not None and lasts else None,
            aside.reason if aside is not None and lasts else None,
            models,
        )

    def _is_valid(self, i: int, now_ms: int) -> bool:
        key = self._keys[i]
        begun = key.valid_from_ms is None or key.valid_from_ms <= now_ms
        return begun and (key.valid_until_ms is None or now_ms < key.valid_until_ms)

    def _until_ms(self, i: int, model: str | None) -> int:
        name = self._keys[i].name
        aside = self._asides.get(name)
        until_ms = 0 if aside is None else aside.until_ms
        if model is not None and self._model_asides:
            model_aside = self._model_asides.get((name, model))
            until_ms = max(until_ms, 0 if model_aside is None else model_aside.until_ms)
        return until_ms

    def _forget(self, name: str, model: str | None, now_ms: int) -> None:
        """Remove a key's expired suspensions, so that a ring without any is quick again."""
        aside = self._asides.get(name)
        if aside is not None and aside.until_ms <= now_ms:
            del self._asides[name]
        place = (name, model or "")
        aside = self._model_asides.get(place)
        if aside is not None and aside.until_ms <= now_ms:
            del self._model_asides[place]
        self._look_again()

    def _look_again(self) -> None:
        self.is_free = self._plain and not self._asides and not self._model_asides

    def _by_turn(self, usable: list[int]) -> int:
        first = min(self._keys[i].priority for i in usable)
        group = [i for i in usable if self._keys[i].priority == first]
        if len(group) == 1:
            return group[0]
        for i in group:
            self._turns[i] += self._keys[i].weight
        chosen = max(group, key=lambda i: self._turns[i])
        self._turns[chosen] -= sum(self._keys[i].weight for i in group)
        return chosen

    def _by_probe(self, valid: list[int], model: str | None, now_ms: int) -> int | None:
        # A key without a recorded try (the only one of its ring) was refused just now.
        due = [i for i in valid if now_ms - self._tried_ms.setdefault(i, now_ms) >= PROBE_MS]
        return min(due, key=lambda i: self._until_ms(i, model), default=None)
