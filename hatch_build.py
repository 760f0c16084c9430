"""Compiles the files that every request passes, where the builder asks for it: TOLLKEEPER_COMPILED=1 pip install .

What is compiled, and with what, stands in pyproject.toml under [tool.tollkeeper.compiled]. Each file stays beside what
was made of it and is the reference: Python takes the extension module where there is one, and the file where not.
Run as a program it does the same within the checkout: python hatch_build.py in_place, remove or is_current, as
scripts/setup calls it. Hatchling calls CompiledBuild for each wheel.
"""

import hashlib
import json
import os
import shutil
import sys
import sysconfig
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_ROOT = Path(__file__).parent
_STAMP = "proxy/compiled.json"  # what the modules were made of; proxy/core/build.py reads it
_GROUP = "tollkeeper"  # all modules are in one library, tollkeeper__mypyc: calls between them are plain calls of C
# Half of the time that -O3 takes; most of a request is in calls of Python's own functions, which it does not touch.
_OPTIMISATION = "1"


class CompilerError(Exception):
    """What is missing on this machine, or what mypyc refused, for a person to read."""


class CompiledBuild(BuildHookInterface[Any]):
    """Puts the extension modules into a wheel, which is then for one version of Python and one platform."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """Return what the build needs: mypyc, and the types of all that the compiled files import."""
        return [*_settings()["requires"], *self.metadata.core.dependencies] if _is_asked_for() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if not _is_asked_for() or version == "editable":  # scripts/setup compiles a checkout itself
            return
        self._made = Path(tempfile.mkdtemp(prefix="tollkeeper-compiled-"))
        try:
            modules = compile_modules(self._made)
        except CompilerError as error:
            raise SystemExit(str(error)) from None
        for module in modules:
            build_data["force_include"][str(module)] = str(module.relative_to(self._made))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling's
        made = getattr(self, "_made", None)
        if made is not None:
            shutil.rmtree(made)


def _is_asked_for() -> bool:
    return os.environ.get("TOLLKEEPER_COMPILED") == "1"


def _settings() -> dict[str, list[str]]:
    """Return [tool.tollkeeper.compiled]: "files", relative to the root, and "requires"."""
    settings: dict[str, list[str]] = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["tollkeeper"][
        "compiled"
    ]
    return settings


def compile_modules(folder: Path) -> list[Path]:
    """Compile into folder, as they lie in the package, and write what they were made of beside them; return all files.

    Raises CompilerError. It works in the root of the checkout, where mypy finds its settings.
    """
    _check_compiler()
    try:
        from mypyc.build import mypycify  # noqa: PLC0415 - not there in a build that compiles nothing
        from setuptools import Distribution  # noqa: PLC0415
        from setuptools.errors import CompileError  # noqa: PLC0415
    except ImportError as error:
        needs = " ".join(_settings()["requires"])
        raise CompilerError(f"{error}. The compiled build needs mypyc:  python -m pip install {needs}") from None
    digests = _digests()
    before = Path.cwd()
    os.chdir(_ROOT)
    try:
        with tempfile.TemporaryDirectory() as source:
            extensions = mypycify(
                ["--config-file", "pyproject.toml", "--cache-dir", f"{source}/types", *digests],
                opt_level=_OPTIMISATION,
                debug_level="0",
                multi_file=True,
                target_dir=source,
                group_name=_GROUP,
            )
            built = Distribution({"name": _GROUP, "packages": [], "ext_modules": extensions})
            command = built.get_command_obj("build_ext")
            command.build_lib, command.build_temp = str(folder), source
            command.parallel = os.cpu_count() or 1
            built.run_command("build_ext")
    except CompileError as error:
        raise CompilerError(f"The C compiler failed: {error}. Its messages stand above.") from None
    except SystemExit as error:  # mypyc ends the process where a file cannot be compiled
        raise CompilerError("mypyc refused a file; its messages stand above.") from error
    finally:
        os.chdir(before)
    stamp = folder / _STAMP
    stamp.write_text(json.dumps(digests, indent=1) + "\n")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digests() -> dict[str, str]:
    """Return the files that are compiled, in order, with the SHA-256 of each."""
    return {name: hashlib.sha256((_ROOT / name).read_bytes()).hexdigest() for name in _settings()["files"]}


def _check_compiler() -> None:
    """Raise CompilerError where there is no C compiler, or no header of this Python."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    missing = []
    if sys.platform != "win32" and shutil.which(compiler.split()[0]) is None:
        missing.append(f"a C compiler ({compiler.split()[0]})")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append("Python's headers (Python.h)")
    if missing:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        raise CompilerError(
            f"The compiled build needs {' and '.join(missing)}. Debian and Ubuntu:  apt-get install gcc {version}-dev"
            "   macOS:  xcode-select --install   The pure build, without TOLLKEEPER_COMPILED, needs neither."
        )


def is_current() -> None:
    """Exit with 1 where the modules here are not those of this Python and of these files."""
    made = [*_ROOT.glob(f"{_GROUP}__mypyc{sysconfig.get_config_var('EXT_SUFFIX')}")]
    stamp = _ROOT / _STAMP
    sys.exit(0 if made and stamp.is_file() and json.loads(stamp.read_text()) == _digests() else 1)


def compile_in_place() -> None:
    """Put the modules beside their files."""
    with tempfile.TemporaryDirectory(prefix="tollkeeper-compiled-") as folder:
        made = compile_modules(Path(folder))
        remove()
        # The stamp comes first and goes last: where this ends halfway, the next scripts/setup knows what to remove.
        for module in sorted(made, key=lambda path: path.name != Path(_STAMP).name):
            shutil.move(module, _ROOT / module.relative_to(folder))


def remove() -> None:
    """Remove what compile_in_place() has put here: the checkout is pure again."""
    for pattern in (f"{_GROUP}__mypyc.*", "proxy/**/*"):
        for path in _ROOT.glob(pattern):
            if path.suffix in {".so", ".pyd"}:
                path.unlink()
    (_ROOT / _STAMP).unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        {"in_place": compile_in_place, "is_current": is_current, "remove": remove}[sys.argv[1]]()
    except CompilerError as failure:
        sys.exit(str(failure))
