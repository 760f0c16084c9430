"""Take pictures of every page, light and dark, from the demo's weeks: python -m tests.dashboard.browser.pictures.

Written to docs/pictures/dashboard/, smaller by pngquant where that is there. The zone of the demo is one in which it is
afternoon now, so that today has something to show.
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from proxy.web.dashboard.view import View
from tests.dashboard.browser.addresses import addresses, pages
from tests.dashboard.browser.chromium import Scheme, Visitor, browser, find_chromium, visitor
from tests.dashboard.browser.demo_proxy import DemoProxy, demo_proxy
from tests.dashboard.browser.login import logged_in

FOLDER: Final = Path(__file__).resolve().parents[3] / "docs" / "pictures" / "dashboard"
NARROW: Final = ("overview", "requests", "me")
_WIDTH, _NARROW_WIDTH = 1280, 360
_HEIGHT_MAX = 1500  # what is below is more of the same
_AFTERNOON: Final = 16
_ZONES: Final = (
    *("Pacific/Auckland", "Australia/Sydney", "Asia/Tokyo", "Asia/Shanghai", "Asia/Bangkok", "Asia/Dhaka"),
    *("Asia/Karachi", "Asia/Dubai", "Europe/Istanbul", "Europe/Athens", "Europe/Stockholm", "Europe/London"),
    *("Atlantic/Azores", "America/Sao_Paulo", "America/New_York", "America/Chicago", "America/Denver"),
    *("America/Los_Angeles", "America/Anchorage", "Pacific/Honolulu"),
)
# system-ui is whatever a machine has; pictures are to look alike
_FONTS: Final = """<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include ignore_missing="yes">/etc/fonts/fonts.conf</include>
<match target="pattern"><test name="family" compare="not_contains"><string>mono</string></test>
<edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
</fontconfig>"""


def picture_name(path: str) -> str:
    """Return how the picture of a view is called: for /dashboard/people/{name} that is people-name."""
    words = [word.strip("{}") for word in path.strip("/").split("/")]
    return "-".join(words[1:] if words[0] == "dashboard" else words) or "overview"


def names() -> Iterator[str]:
    """Yield the names of all pictures that there have to be."""
    for view in pages():
        name = picture_name(view.path)
        yield from (name, f"{name}-dark")
        if name in NARROW:
            yield f"{name}-narrow"


def afternoon_zone(now: datetime) -> str:
    """Return a zone in which it is about four in the afternoon."""
    hours = {zone: now.astimezone(ZoneInfo(zone)) for zone in _ZONES}
    return min(hours, key=lambda zone: abs(hours[zone].hour + hours[zone].minute / 60 - _AFTERNOON))


async def take_all(folder: Path, only: str | None) -> None:
    """Write a picture of each page whose name begins with only."""
    path = find_chromium()
    if path is None:
        raise SystemExit("Chromium is not on this machine: apt-get install chromium fonts-inter pngquant")
    with tempfile.TemporaryDirectory() as made:
        fonts = Path(made) / "fonts.conf"
        fonts.write_text(_FONTS)
        os.environ["FONTCONFIG_FILE"] = str(fonts)  # of the browser, which is a child
        zone = afternoon_zone(datetime.now(UTC))
        async with demo_proxy(Path(made), "--timezone", zone) as proxy, browser(path) as chromium:
            logins = {
                "operator": await logged_in(chromium, proxy, "/dashboard/login", proxy.admin_token),
                "user": await logged_in(chromium, proxy, "/me/login", proxy.tokens["lena"]),
            }
            for scheme, width, ending in (("light", _WIDTH, ""), ("dark", _WIDTH, "-dark"), ("light", 360, "-narrow")):
                for view, address in (await _one_each(proxy)).values():
                    name = picture_name(view.path)
                    if (only is None or name.startswith(only)) and (width == _WIDTH or name in NARROW):
                        state = None if view.is_open else logins[view.audience]
                        window = await visitor(
                            chromium, proxy.origin, scheme=_scheme(scheme), width=width, storage_state=state
                        )
                        await _take(window, address, folder / f"{name}{ending}.png")
                        await window.context.close()


def _scheme(word: str) -> Scheme:
    return "dark" if word == "dark" else "light"


async def _one_each(proxy: DemoProxy) -> dict[str, tuple[View, str]]:
    """Return the first address of each view."""
    found: dict[str, tuple[View, str]] = {}
    for address, view in (await addresses(proxy)).items():
        found.setdefault(view.path, (view, address))
    return found


async def _take(window: Visitor, address: str, path: Path) -> None:
    status = await window.go(address)
    if status != 200:
        raise SystemExit(f"{address} answered {status}")
    await window.run("() => document.fonts.ready.then(() => true)")
    height = min(await window.run("() => document.documentElement.scrollHeight"), _HEIGHT_MAX)
    size = window.page.viewport_size
    assert size is not None
    await window.page.set_viewport_size({"width": size["width"], "height": max(600, height)})
    await window.page.screenshot(path=path)
    _make_small(path)


def _make_small(path: Path) -> None:
    if shutil.which("pngquant"):
        subprocess.run(
            ["pngquant", "--force", "--skip-if-larger", "--strip", "--speed", "1", "--output", path, "64", path],
            check=False,  # 98 where it would not become smaller
        )
    sys.stdout.write(f"{path.name} {path.stat().st_size // 1000} kB\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description="Write docs/pictures/dashboard/*.png.")
    parser.add_argument("--only", help="of pages whose picture's name begins so: overview, people")
    parser.add_argument("--to", type=Path, default=FOLDER, help="another folder")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    asyncio.run(take_all(given.to, given.only))


if __name__ == "__main__":
    main()
