"""Says which build runs, and what has changed since it was compiled: for --version, serve and doctor."""

_SHOWN = 3  # files by name; the list may hold dozens


def version_text(version: str, *, is_compiled: bool) -> str:
    """Return a version with its build, such as "0.1.0, compiled"; the pure build needs no word."""
    return f"{version}, compiled" if is_compiled else version


def changed_text(files: list[str]) -> str:
    """Say which files are no longer those that were compiled, and what to do."""
    names = f"{', '.join(files[:_SHOWN])}{', …' if len(files) > _SHOWN else ''}"
    return (
        f"What runs was compiled from other files than are here now ({names}). "
        "To bring it up to date: scripts/setup --compiled, and start again."
    )
