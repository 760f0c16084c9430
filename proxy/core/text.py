"""Text from outside, made safe to store and show: valid UTF-8, no control characters, cut to size."""

import re

REPLACED = "\ufffd"  # replaces what cannot be kept, as in every UTF-8 decoder
# compiled when first wanted, as re does: a start need not wait for them
_UNFIT = r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]"
_HALF_PAIR = r"[\ud800-\udfff]"


def fit_text(text: str, chars_max: int) -> str:
    """Return at most chars_max characters of text, control characters and halves of surrogate pairs replaced."""
    if len(text) <= chars_max and text.isascii() and text.isprintable():
        return text
    return re.sub(_UNFIT, REPLACED, text[:chars_max])


def whole_text(text: str) -> str:
    """Return text with halves of surrogate pairs replaced: JSON can hold them, UTF-8 cannot."""
    return text if text.isascii() else re.sub(_HALF_PAIR, REPLACED, text)


def header_text(value: str) -> str:
    """Return the value of a header whose bytes were decoded with surrogateescape.

    Bytes that are not UTF-8 are read as Latin-1, HTTP's original encoding, which many libraries still send.
    """
    if value.isascii():
        return value
    raw = value.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
