"""Counts over the last seconds, in a fixed number of slices. Pure: time is passed in."""

_SLICES = 10


class RollingCount:
    """Two counts over a window of window_s seconds that moves on by a tenth of it.

    So it covers between nine tenths of the window and all of it. Times must not run backwards; one that does is
    counted in the newest slice.
    """

    __slots__ = ("_counts", "_newest", "_slice_s", "newest", "until_s")

    def __init__(self, window_s: float) -> None:
        self._slice_s = window_s / _SLICES
        self._counts = [[0, 0] for _ in range(_SLICES)]
        self._newest = 0
        # who counts one of each request adds to the newest slice itself, up to until_s: all of them, and those marked
        self.newest = self._counts[0]
        self.until_s = self._slice_s

    @property
    def all(self) -> int:
        """Return how many were counted."""
        return sum(count for count, _ in self._counts)

    @property
    def marked(self) -> int:
        """Return how many of them were marked."""
        return sum(count for _, count in self._counts)

    def add(self, now_s: float, marked: bool = False) -> None:
        """Count one; marked tells whether it is one of the second count too."""
        if now_s >= self.until_s:
            self.move(now_s)
        self.newest[0] += 1
        if marked:
            self.newest[1] += 1

    def move(self, now_s: float) -> None:
        """Remove what is older than the window; `all` and `marked` are then right for now_s."""
        newest = int(now_s // self._slice_s)
        passed = newest - self._newest
        if passed <= 0:
            return
        for old in range(self._newest + 1, self._newest + 1 + min(passed, _SLICES)):
            counts = self._counts[old % _SLICES]
            counts[0] = counts[1] = 0
        self._newest = newest
        self.newest = self._counts[newest % _SLICES]
        self.until_s = (newest + 1) * self._slice_s

    def clear(self) -> None:
        for counts in self._counts:
            counts[0] = counts[1] = 0
