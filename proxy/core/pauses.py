"""How long a process that gives way to others stands still, and after which looks at itself and at them.

A low priority is not enough. Linux lets whoever computes keep its processor up to the next tick, some milliseconds, if
the thread that wakes has had its share; that is so about once in a thousand times, and a request of the proxy wakes
threads six to eight times. So a process that is in the way leaves its processor free most of the time.
"""

from collections import deque
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

_TIMES: Final = 3.0  # as long as it has computed: a quarter of a processor is left to it
_LONGEST_S: Final = 0.05
_SIGNS: Final = 3  # a look that compares with a bill has its result written now and then: that is nobody to wait for
_SIGNS_WITHIN_S: Final = 0.2
_OTHERS_S: Final = 1.0  # so long after the last signs of others they are expected back
_CROWDED_S: Final = 0.1
# Of a process that is alone, which the thread that looks takes off its processor, too: so much of what it computes it
# waits at most, and so often from one look to the next.
_WAITED_ALONE: Final = 0.05
_TAKEN_OFF_ALONE: Final = 4


class PauseLook(Struct, frozen=True):
    """What a process sees at one moment.

    at_s: of a clock that only goes forward. computed_s: by all of its threads since it began. taken_off: how often it
    has lost a processor that it would have kept. changes: how often others have written, or any number that is another
    one each time; None where nobody has. waited_s: for how long its first thread waited for a processor, as far as the
    system tells.
    """

    at_s: float
    computed_s: float
    taken_off: int
    changes: int | None
    waited_s: float = 0.0


class Pauses:
    """Decides when to stand still: while others are at work, and where they want the same processors.

    Neither alone will do: on a machine with processors to spare nobody is in the way, and several processes of one
    export take each other's processors where nothing else runs.
    """

    def __init__(self, first: PauseLook, *, expected_s: float = 0.0, is_short: bool = False) -> None:
        """Begin; expected_s: for so long others are taken to be at work without a sign of them.

        is_short: it ends soon, so that somebody would feel what it stands still for nobody.
        """
        self._is_short = is_short
        self._last = first
        self._signs_s = deque[float](maxlen=_SIGNS)
        self._others_until_s = first.at_s + expected_s
        self._crowded_until_s = first.at_s

    @property
    def computed_s(self) -> float:
        """Return what the process had computed at the last look."""
        return self._last.computed_s

    def expect_signs(self, at_s: float, changes: int | None) -> None:
        """Expect others only for as long as it takes them to give signs, unless they have given some.

        changes: as of PauseLook; what is another one from now on is a sign.
        """
        self._last = replace(self._last, changes=changes)
        if not self._signs_s:
            self._others_until_s = min(self._others_until_s, at_s + _SIGNS_WITHIN_S)

    def is_in_company(self, at_s: float) -> bool:
        """Return whether others are at work, or may be: it is to look at itself and at them often."""
        has_sign = bool(self._signs_s) and at_s < self._signs_s[-1] + _SIGNS_WITHIN_S
        return has_sign or at_s < self._others_until_s

    def pause_s(self, look: PauseLook) -> float:
        """Return how long to stand still now; 0: not at all."""
        last, self._last = self._last, look
        if look.changes != last.changes and None not in (look.changes, last.changes):
            self._signs_s.append(look.at_s)
            if len(self._signs_s) == _SIGNS and self._signs_s[0] >= look.at_s - _SIGNS_WITHIN_S:
                self._others_until_s = look.at_s + _OTHERS_S
        if self._is_crowded(last, look):
            self._crowded_until_s = look.at_s + _CROWDED_S
        if look.at_s >= min(self._others_until_s, self._crowded_until_s):
            return 0.0
        return min((look.computed_s - last.computed_s) * _TIMES, _LONGEST_S)

    def _is_crowded(self, last: PauseLook, look: PauseLook) -> bool:
        """Return whether others want its processor.

        Without a sign of them, as in a start, a short command goes by more than whoever looks takes: else a fifth of a
        second would be three times as long on a machine that does nothing else.
        """
        taken_off = look.taken_off - last.taken_off
        if self._signs_s or not self._is_short:
            return taken_off > 0
        computed_s, waited_s = look.computed_s - last.computed_s, look.waited_s - last.waited_s
        return taken_off > _TAKEN_OFF_ALONE or waited_s > computed_s * _WAITED_ALONE
