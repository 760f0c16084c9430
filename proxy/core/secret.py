"""Text that must not be printed."""

from typing import Any, ClassVar, final

from msgspec import Struct


@final
class Secret:
    """Hold a key or token; repr, str and format show ``***``, only reveal() gives the text."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __bool__(self) -> bool:
        return bool(self._text)


class SecretHolder(Struct, frozen=True):
    """A record some of whose fields are never printed: NOT_SHOWN names them."""

    NOT_SHOWN: ClassVar[frozenset[str]]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__rich_repr__())})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        """Return what rich prints, in tracebacks too."""
        return [(name, getattr(self, name)) for name in self.__struct_fields__ if name not in self.NOT_SHOWN]
