"""python -m proxy, and the command tollkeeper: how it begins, before anything of it is imported."""

import sys

from proxy.core.process_priority import step_back

# Commands that only look, compare or copy: nobody's request waits for them, and those beside them must not feel them.
# Two words: a command of a group. What stops, resumes or changes something, serves or asks somebody is not here.
STEPS_BACK: frozenset[tuple[str, ...]] = frozenset(
    {
        ("account",),
        ("adjustments", "list"),
        ("alerts", "deliveries"),
        ("alerts", "list"),
        ("audit",),
        ("backup",),
        ("check",),
        ("explain",),
        ("export",),
        ("groups", "list"),
        ("groups", "show"),
        ("keys", "list"),
        ("keys", "show"),
        ("limits", "list"),
        ("models", "list"),
        ("models", "show"),
        ("models", "stats"),
        ("operators", "list"),
        ("providers", "list"),
        ("reconcile",),
        ("report",),
        ("requests",),
        ("show",),
        ("status",),
        ("stops",),
        ("sync",),
        ("tail",),
        ("tokens", "list"),
        ("usage",),
        ("users", "list"),
        ("users", "show"),
        ("why",),
    }
)
# Of these the ones that may take long: they stand still from the first moment on, also for others who may not be there.
LONG: frozenset[str] = frozenset({"backup", "check", "export", "reconcile", "report", "sync"})


def steps_back(arguments: list[str]) -> bool:
    """Return whether a command line is one of STEPS_BACK; options in front of a word of it are passed over."""
    words = tuple(word for word in arguments if not word.startswith("-"))
    return words[:1] in STEPS_BACK or words[:2] in STEPS_BACK


def main() -> None:
    """Run the command of this process's arguments."""
    # at once: what is imported for a short command costs more than the command
    prompt = step_back() if steps_back(sys.argv[1:]) else None
    if prompt is not None:
        from proxy.core.pacer import Pacer  # noqa: PLC0415 - what it imports comes after the step back

        prompt.call(Pacer(prompt, is_short=LONG.isdisjoint(sys.argv)).start)
    from proxy.cli import main as run  # noqa: PLC0415 - as above

    run()


if __name__ == "__main__":
    main()
