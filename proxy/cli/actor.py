"""Who runs a command, as the audit log names them."""

import os
import sys

from proxy.core.uid import user_name


def actor() -> str:
    """Return the name for the audit log: the system's user who runs this command."""
    if sys.platform == "win32":
        import getpass  # noqa: PLC0415 - elsewhere the number of the user is asked

        return getpass.getuser()
    return user_name(os.getuid())
