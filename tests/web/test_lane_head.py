"""Which heads the lane reads, and which count as the one before."""

from proxy.web.server.fast_path import Head, read_head

_SIZE = b"Content-Length: 77"
_BODY = b" " * 77


def headed(*lines: bytes) -> bytes:
    start = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    return start + b"\r\n".join([b"Authorization: Bearer tk-1", *lines, b"", _BODY])


def test_what_a_head_must_be() -> None:
    """Only the plainest shape is read."""
    good = headed(_SIZE).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    assert read_head(good) is not None
    for bad in (
        headed(b"Content-Length: 1", b"Content-Length: 1"),
        headed(b"Content-Length: +1"),
        headed(b"Content-Length: 1,1"),
        headed(b"Content-Length: 9999999999"),
        headed(_SIZE, b"Transfer-Encoding: chunked"),
        headed(_SIZE, b"Expect: 100-continue"),
        headed(_SIZE, b"X-Title: caf\xc3\xa9"),
        headed(_SIZE, b"X-Title : t"),
        headed(_SIZE, b"X-Title: a\rb"),
        headed(_SIZE, b"X-Title: a\x00b"),
        headed(_SIZE, b" folded"),
        headed(_SIZE, *[b"X-%d: 1" % n for n in range(100)]),
    ):
        assert read_head(bad.partition(b"\r\n\r\n")[0] + b"\r\n\r\n") is None, bad


def test_what_counts_as_the_same_head() -> None:
    """Nothing but the digits of the length may differ."""
    data = headed(_SIZE, b"X-Title: t")
    end = data.index(b"\r\n\r\n") + 4
    read = read_head(data[:end])
    assert read is not None
    head = Head(data[:end], read[0])
    assert head.again(data) == (end, len(_BODY))
    digits = b"%d\r\n" % len(_BODY)
    assert head.again(data.replace(digits, b"7\r\n")) == (end - len(digits) + 3, 7)
    for other in (
        b"\r\n",
        b"+7\r\n",
        b"7 \r\n",
        b"7\n\r\n",
        b"1234567890\r\n",
        b"7\r\nX: y\r\n",
        b"7\r\r\n",
        b"\xb2\r\n",
    ):
        assert head.again(data.replace(digits, other)) is None, other
    for at in range(end):
        if data[at : at + 1].isdigit() and at in range(data.index(_SIZE) + 16, data.index(_SIZE) + len(_SIZE)):
            continue
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        assert head.again(changed) is None, at
    assert head.again(data[: end - 1]) is None
