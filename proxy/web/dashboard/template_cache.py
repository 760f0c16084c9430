"""Keep compiled templates on the disk beside Python's own compiled files, and by the same rules.

They are read again while the template, Python and jinja2 are the same. Where nothing can be written, or Python was told
to write none, they are compiled at each start.
"""

import os
import sys
from importlib.metadata import version
from importlib.util import cache_from_source
from pathlib import Path

from jinja2.bccache import Bucket, BytecodeCache

_MODE = 0o666  # what of a template's own mode its compiled file has


class TemplateCache(BytecodeCache):
    """The compiled templates of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._jinja = version("jinja2").replace(".", "_")

    def get_cache_key(self, name: str, filename: str | None = None) -> str:  # noqa: ARG002 - jinja2's signature
        return name

    def load_bytecode(self, bucket: Bucket) -> None:
        """Read it, if there is one; jinja2 passes over what another version, or another template, has left."""
        try:
            with self.path_of(bucket.key).open("rb") as file:
                bucket.load_bytecode(file)
        except OSError:  # none was written, or it may not be read: it is compiled
            return

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Write it whole or not at all; where that is not allowed the next start compiles it again."""
        if sys.dont_write_bytecode:
            return
        path = self.path_of(bucket.key)
        half = path.with_name(f"{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            mode = (self._folder / bucket.key).stat().st_mode & _MODE
            with os.fdopen(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode), "wb") as file:
                bucket.write_bytecode(file)
            half.replace(path)
        except OSError:
            half.unlink(missing_ok=True)

    def path_of(self, name: str) -> Path:
        """Return where the compiled template of a name is kept."""
        source = self._folder / f"{name.replace('.', '-')}-jinja2_{self._jinja}.py"
        return Path(cache_from_source(str(source)))
