"""The user id of a process: unlike a name in its environment, a process cannot choose it."""


def user_name(uid: int) -> str:
    """Return the name of a user id; ``uid-1000`` where the system has no name for it, as in containers."""
    try:
        import pwd  # noqa: PLC0415 - not there on Windows

        return pwd.getpwuid(uid).pw_name
    except (ImportError, KeyError, OverflowError):
        return f"uid-{uid}"
