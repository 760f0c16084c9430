"""What the simulated models say, and the ids: both follow from the seed. Pure."""

import hashlib
import string

# Plain words for the most part; some of two, three and four bytes in UTF-8, so that a chunk can be split
# inside one.
_WORDS = (
    *(
        " the",
        " ledger",
        " counts",
        " every",
        " token",
        " and",
        " a",
        " toll",
        " is",
        " paid",
        " at",
        " each",
    ),
    *(
        " gate",
        " before",
        " the",
        " road",
        " goes",
        " on",
        " naïve",
        " smörgåsbord",
        " 橋",
        " 🌉",
        " €5",
        ' "quoted"',
    ),
    *(" line\n", " tab\t", " back\\slash", " keeper", " writes", " what", " was", " spent"),
)
_QUOTED_CHARS = 120  # of the question in a greeting
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase


def words(seed: int, count: int) -> list[str]:
    """Return count tokens of text, one string each; equal for equal seed and count."""
    start = seed % len(_WORDS)
    cycle = _WORDS[start:] + _WORDS[:start]
    whole, rest = divmod(count, len(cycle))
    return [*(cycle * whole), *cycle[:rest]]


def greeting(question: str) -> str:
    """Return what a simulated model says to people: who it is, and what it was asked."""
    asked = " ".join(question.split())
    asked = asked if len(asked) <= _QUOTED_CHARS else asked[:_QUOTED_CHARS].rstrip() + "…"
    heard = f" You wrote: “{asked}”." if asked else ""
    return f"Hello! I am a simulated model: nothing left this machine, and no real money was spent.{heard}"


def pieces(text: str, size: int = 4) -> list[str]:
    """Cut text into tokens of about the length that tokens have."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def number(seed: int, purpose: str, sequence: int) -> int:
    """Return 384 bits (64 letters and digits) derived from the three arguments alone."""
    digest = hashlib.blake2b(f"{seed}:{purpose}:{sequence}".encode(), digest_size=48).digest()
    return int.from_bytes(digest, "big")


def alphanumerics(bits: int, length: int) -> str:
    digits = []
    for _ in range(length):
        bits, rest = divmod(bits, 62)
        digits.append(_ALPHABET[rest])
    return "".join(digits)
