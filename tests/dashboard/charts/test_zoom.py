"""What zooming adds: values beside the drawing, and a library of another project, unchanged and with its licence."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET
from zipfile import ZipFile
from zoneinfo import ZoneInfo

from markupsafe import Markup

from proxy.web.dashboard.charts.series import Series
from proxy.web.dashboard.charts.time_axis import TimeAxis
from proxy.web.dashboard.charts.zoom import zoomable

ROOT: Final = Path(__file__).parents[3]
STATIC: Final = ROOT / "proxy/web/dashboard/static"
NOTICE: Final = (STATIC / "NOTICE.txt").read_text()
SCRIPTS_BYTES: Final = 60 * 1024
ZOOMED_PAGE: Final = ("dashboard.js", "charts.js", "uPlot.js", "zoom.js")  # what a page with a zoom loads
DRAWING: Final = Markup("<figure></figure>")


def axis(points: int) -> TimeAxis:
    return TimeAxis([1_790_000_000_000 + n * 3_600_000 for n in range(points)], ZoneInfo("Europe/Berlin"))


def test_the_values_stand_beside_the_drawing() -> None:
    series = [Series('a"<b>', [1_500_000_000_000, None, 1]), Series("b", [2 * 10**12] * 3)]
    root = ET.fromstring(zoomable(DRAWING, axis(3), series, "usd", stacked=False))  # noqa: S314 - our own output
    assert [each.tag for each in root.iter()] == ["div", "figure"]
    assert json.loads(root.attrib["data-zoom"]) == {
        "unit": "usd",
        "stacked": False,
        "zone": "Europe/Berlin",
        "times": [1_790_000_000, 1_790_003_600, 1_790_007_200],
        "series": [
            {"name": 'a"<b>', "look": "s1", "values": [1.5, None, 1e-12]},
            {"name": "b", "look": "s2", "values": [2.0, 2.0, 2.0]},
        ],
    }


def test_series_have_the_look_of_the_drawing() -> None:
    """Areas show the largest first and the rest as "other"; zoomed it is the same."""
    series = [Series(f"model {n}", [n] * 3) for n in range(20)]
    root = ET.fromstring(zoomable(DRAWING, axis(3), series, "count", stacked=True))  # noqa: S314 - our own output
    drawn = json.loads(root.attrib["data-zoom"])["series"]
    assert [(one["name"], one["look"]) for one in drawn[:2]] == [("model 19", "s1"), ("model 18", "s2")]
    assert (drawn[-1]["name"], drawn[-1]["look"], len(drawn)) == ("other (14)", "s-other", 7)


def test_there_is_no_zoom_where_it_does_not_help() -> None:
    assert zoomable(DRAWING, axis(2), [Series("a", [1, 2])], "ms", stacked=False) is DRAWING
    assert zoomable(DRAWING, axis(4001), [Series("a", [1] * 4001)], "ms", stacked=False) is DRAWING
    assert zoomable(DRAWING, axis(3), [], "usd", stacked=True) is DRAWING  # which says that there is nothing
    assert zoomable(DRAWING, axis(0), [], "ms", stacked=True) is DRAWING


def test_the_library_is_the_one_that_was_published() -> None:
    named = re.findall(r"^  (\S+) .*SHA-256 ([0-9a-f]{64})$", NOTICE, re.MULTILINE)
    assert [name for name, _ in named] == ["uPlot.js", "uPlot.css"]
    for name, digest in named:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest() == digest, name
    assert "MIT License" in NOTICE
    assert "Copyright (c) 2022 Leon Sorokin" in NOTICE
    assert "uPlot 1.6.32" in NOTICE
    assert "v1.6.32" in (STATIC / "uPlot.js").read_text()[:200]


def test_the_wheel_has_them(tmp_path: Path) -> None:
    """What is installed has the pages' files, the library and its licence among them, as they are here."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with ZipFile(wheel) as files:
        for path in STATIC.iterdir():
            assert files.read(path.relative_to(ROOT).as_posix()) == path.read_bytes(), path.name


def test_scripts_are_small() -> None:
    sizes = {name: (STATIC / name).stat().st_size for name in ZOOMED_PAGE}
    assert sum(sizes.values()) <= SCRIPTS_BYTES, sizes


def test_scripts_need_no_leave_of_the_policy() -> None:
    """No style in markup, no markup from text, no code from text: the policy of every page forbids them."""
    for name in ("charts.js", "zoom.js"):
        text = (STATIC / name).read_text()
        assert not re.findall(r"innerHTML|outerHTML|insertAdjacent|setAttribute\(\"style|eval\(|Function\(", text), name
