"""In which parts a long export is shared: of about as many rows each, however unevenly the requests came.

By the length of their ids alone the parts of a busy hour would be many times the others, and whoever has one would
write alone, for nobody gets further ahead than some megabytes.
"""

from collections.abc import Iterable
from itertools import pairwise
from typing import Final

from proxy.storage.rows import id_floor
from proxy.storage.sqlite.csv_lines import IdSpan

_ROWS: Final = 20_000  # of a part: some megabytes
PARTS_MAX: Final = 10_000  # a damaged roll-up may count a million times what there is, and the parts are kept
_HOUR_MS: Final = 3_600_000
_HOUR_IDS: Final = id_floor(_HOUR_MS)


def parts_of(ids: IdSpan, hours: Iterable[tuple[int, int]], rows: int = _ROWS) -> list[IdSpan]:
    """Return a span in parts of about so many rows, in order; of more where else they were more than PARTS_MAX.

    hours: when each began, in ms, and how many requests began in it; in order. Within one they are taken to have come
    evenly. What no hour counts lengthens a part.
    """
    hours = list(hours)
    rows = max(rows, -(-sum(max(0, count) for _, count in hours) // PARTS_MAX))
    cuts, left = [ids.after], float(rows)
    for hour_ms, count in hours:
        at, end = max(ids.after, id_floor(hour_ms)), min(ids.upto, id_floor(hour_ms + _HOUR_MS))
        if at >= end or count <= 0:
            continue
        while (cut := at + max(1, int(left * _HOUR_IDS / count))) < end:
            cuts.append(cut)
            at, left = cut, float(rows)
        left -= (end - at) * count / _HOUR_IDS
    return [IdSpan(*each) for each in pairwise([*cuts, ids.upto])]
