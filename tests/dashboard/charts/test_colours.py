"""The style sheet of charts: enough contrast in both schemes, and looks that need no colour."""

import re
from pathlib import Path
from typing import Final

import pytest

from proxy.web.dashboard.charts.palette import COLOURS, OTHER_CLASS, series_class

STATIC: Final = Path(__file__).parents[3] / "proxy/web/dashboard/static"
CSS: Final = (STATIC / "charts.css").read_text()
CARDS: Final = re.findall(r"--card: (#[0-9a-f]{3,6});", (STATIC / "dashboard.css").read_text())
GROUNDS: Final = dict(zip(("light", "dark", "print"), (f"#{card[1:]:f<6}" for card in CARDS), strict=True))


def colours() -> dict[str, dict[str, str]]:
    """Return the colours of series by scheme."""
    blocks = re.findall(r":root \{(.*?)\}", CSS, re.DOTALL)
    found = [dict(re.findall(r"--(series-\w+): (#[0-9a-f]{6})", block)) for block in blocks]
    return dict(zip(GROUNDS, [each for each in found if each], strict=True))


def luminance(colour: str) -> float:
    parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def laid_over(colour: str, ground: str, opacity: float) -> str:
    mixed = [
        round(int(colour[n : n + 2], 16) * opacity + int(ground[n : n + 2], 16) * (1 - opacity)) for n in (1, 3, 5)
    ]
    return "#" + "".join(f"{part:02x}" for part in mixed)


@pytest.mark.parametrize("scheme", GROUNDS)
def test_series_stand_out(scheme: str) -> None:
    """Graphics have 3:1 or more against the ground, areas too, through which the ground shines."""
    found = re.search(r"\.chart-area \.fill \{ fill-opacity: ([\d.]+)", CSS)
    assert found
    ground = GROUNDS[scheme]
    assert len(colours()[scheme]) == COLOURS + 1
    for name, colour in colours()[scheme].items():
        assert contrast(colour, ground) >= 3, (name, contrast(colour, ground))
        assert contrast(laid_over(colour, ground, float(found[1])), ground) >= 3, name


def test_no_two_series_look_alike() -> None:
    classes = [series_class(n) for n in range(COLOURS)] + [OTHER_CLASS]
    looks = dict(re.findall(r"^\.([\w-]+) \{ color: var\(--[\w-]+\); (--dash: [^;]+);", CSS, re.MULTILINE))
    assert set(looks) == set(classes)
    assert len({*looks.values()}) == len(classes)


@pytest.mark.parametrize("media", ["forced-colors: active", "prefers-contrast: more", "prefers-color-scheme: dark"])
def test_people_who_asked_for_it_are_heard(media: str) -> None:
    assert f"@media ({media})" in CSS


def test_charts_stand_on_cards() -> None:
    """The grounds above are those of the pages: a card in light and in dark, and paper."""
    assert GROUNDS["light"] == GROUNDS["print"] == "#ffffff"
    assert luminance(GROUNDS["dark"]) < 0.05
    assert "--chart-ground: var(--card);" in CSS


def test_the_contrast_is_reckoned_as_the_guidelines_do() -> None:
    assert contrast("#000000", "#ffffff") == 21
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
