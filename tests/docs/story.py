"""What a page says, done in order beside a simulated provider."""

import configparser

from .pages import Page, pages
from .snippets import Snippet, snippets
from .terminal import Terminal, commands, is_shown

RUN = ("console", "python", "ini")
PAGES = [
    page
    for name, page in pages().items()
    if not name.startswith("docs/evidence/") and any(one.language in RUN and not one.not_run for one in snippets(page))
]
GIVEN = "<!-- given: a running proxy -->"
QUESTION = """'{"model": "openai/gpt-5-mini", "messages": [{"role": "user", "content": "Hello!"}]}'"""


def play(page: Page, terminal: Terminal) -> None:
    """Run every block of a page; raises AssertionError where the page is wrong."""
    if GIVEN in page.text:
        _beside_a_running_proxy(terminal)
    for snippet in snippets(page):
        if snippet.is_applied:
            terminal.apply(snippet.text)
        elif snippet.not_run or snippet.language not in RUN:
            continue
        elif snippet.language == "python":
            ran = terminal.python(snippet.text)
            assert ran.code == snippet.exit_code, f"{snippet.place}\n{ran.output}"
        elif snippet.language == "ini":
            _unit(snippet, terminal)
        else:
            _commands(snippet, terminal)


def _beside_a_running_proxy(terminal: Terminal) -> None:
    call = f"curl -sf http://127.0.0.1:8787/v1/chat/completions -H 'Authorization: Bearer tk-...' -d {QUESTION}"
    for command in ("tollkeeper init --user anna", "tollkeeper serve", call, call, call):
        ran = terminal.type(command)
        assert ran.code == 0, ran.output


def _commands(snippet: Snippet, terminal: Terminal) -> None:
    *before, last = commands(snippet.text)
    for command, shown in [*before, last]:
        ran = terminal.type(command)
        code = snippet.exit_code if (command, shown) == last else 0
        assert ran.code == code, f"{snippet.place}: {command}\nended with {ran.code}:\n{ran.output}"
        assert is_shown(terminal.filled_in(shown), ran.output), (
            f"{snippet.place}: {command}\nshows\n{shown}\nand printed\n{ran.output}"
        )


def _unit(snippet: Snippet, terminal: Terminal) -> None:
    """Hold a unit of systemd against what the program takes; other files of this form have no sections."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(snippet.text)
    command = parser["Service"]["ExecStart"].split()
    assert command[0].endswith("/tollkeeper")
    ran = terminal.type(" ".join(["env", "tollkeeper", *command[1:], "--help"]))
    assert ran.code == 0, f"{snippet.place}\n{ran.output}"
