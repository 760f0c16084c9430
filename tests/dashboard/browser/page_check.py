"""What every page has to hold, and how it is found out."""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from tests.dashboard.browser.chromium import Visitor

_HERE: Final = Path(__file__).parent
_TABS_MAX: Final = 14
# every rule that is on by itself, of conformance and of good practice, and the size of what takes a click
_RULES: Final = {"resultTypes": ["violations"], "rules": {"target-size": {"enabled": True}}}
# rows of a table are alike: the first ones speak for all, in a tenth of the time
_PART: Final = {"exclude": [["tbody tr:nth-child(n+7)"]]}
_FOCUS: Final = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const style = getComputedStyle(one), box = one.getBoundingClientRect();
  const drawn = one.querySelector(":scope > .hit") && getComputedStyle(one.querySelector(":scope > .hit"));
  const isRinged = (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== "none"
    || Boolean(drawn && drawn.stroke !== "none" && parseFloat(drawn.strokeWidth) > 0);  // a point of a chart
  const top = document.elementFromPoint(box.left + box.width / 2, box.top + Math.min(box.height / 2, 12));
  const isInView = box.bottom > 0 && box.top < innerHeight && box.width > 0;
  return {
    name: `<${one.localName}> ${(one.textContent || one.name || "").trim().slice(0, 40)}`,
    isRinged, isInView, isCovered: Boolean(isInView && top && !one.contains(top) && !top.contains(one)),
  };
}"""


@cache
def axe_source() -> str:
    """Return axe-core, as the package that ships it holds it."""
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


@cache
def _check() -> str:
    return (_HERE / "page_check.js").read_text(encoding="utf-8")


async def wrong_with(visitor: Visitor) -> list[str]:
    """Return what is wrong with the open page but for axe's findings."""
    found: list[str] = await visitor.run(_check())
    return found


async def axe_findings(visitor: Visitor) -> list[str]:
    """Return what axe-core finds on the open page, one line for each element."""
    await visitor.run(f"() => {{ if (!window.axe) {{ {axe_source()} }} }}")
    result: dict[str, Any] = await visitor.run("([part, options]) => window.axe.run(part, options)", [_PART, _RULES])
    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
        for rule in result["violations"]
        for node in rule["nodes"]
    ]


async def wide_at(visitor: Visitor, widths: tuple[int, ...]) -> list[str]:
    """Return at which widths the open page scrolls sideways: half of a window is what a zoom of 200 % leaves."""
    found = []
    for width in widths:
        await visitor.page.set_viewport_size({"width": width, "height": 900})
        found += [f"at {width} px {text}" for text in await wrong_with(visitor) if "sideways" in text]
    return found


async def lost_focus(visitor: Visitor) -> list[str]:
    """Return what is wrong on the way through the page by the Tab key, from its top on."""
    wrong = []
    keyboard = visitor.page.keyboard
    await visitor.run("() => { document.activeElement?.blur(); scrollTo(0, 0); }")
    for number in range(_TABS_MAX):
        await keyboard.press("Tab")
        at: dict[str, Any] | None = await visitor.run(_FOCUS)
        if at is None:
            break
        if number == 0 and "Skip" not in at["name"]:
            wrong.append(f"Tab goes to {at['name']} first, not to a link past the menu")
        if not at["isRinged"]:
            wrong.append(f"no ring around {at['name']}")
        if not at["isInView"] or at["isCovered"]:
            wrong.append(f"{at['name']} has the focus and cannot be seen")
    return wrong
