"""The templates of the dashboard. Everything that is put into them is text, unless it is marked as HTML."""

import asyncio
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from proxy.core.paced import paced
from proxy.web.dashboard import figures
from proxy.web.dashboard.charts.limit_bar import limit_bar
from proxy.web.dashboard.static_files import static_address
from proxy.web.dashboard.table_rows import rows_of
from proxy.web.dashboard.template_cache import TemplateCache
from proxy.web.dashboard.view import address_of, below

_FIRST: Final = ("overview.html", "base.html", "_macros.html", "_zoom.html", "requests.html", "people.html")


@functools.cache
def environment() -> Environment:
    """Return the one environment; templates are compiled at their first use, of all starts if that can be kept."""
    folder = Path(__file__).with_name("templates")
    made = Environment(
        loader=FileSystemLoader(folder),
        bytecode_cache=TemplateCache(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals.update(
        static=static_address,
        below=below,
        address_of=address_of,
        money=figures.money,
        money_text=figures.money_text,
        count=figures.count_text,
        short_count=figures.short_count_text,
        share=figures.share_text,
        duration=figures.duration_text,
        time_of=figures.time_element,
        rows_of=rows_of,
        limit_bar=limit_bar,
    )
    return made


def render_now(template: str, make_values: Callable[[], Mapping[str, Any]]) -> str:
    """Return a template filled in."""
    return environment().get_template(template).render(make_values())


async def render(template: str, make_values: Callable[[], Mapping[str, Any]]) -> str:
    """Return a template filled in; its values and the text are made beside the event loop."""
    return await asyncio.to_thread(render_now, template, make_values)


def compile_templates() -> None:
    """Compile all templates, those of the first page first; takes some tenths of a second, once, for a thread."""
    made = environment()
    for name in paced((*_FIRST, *made.list_templates(extensions=["html"])), 1):
        made.get_template(name)  # which has those that it knows
