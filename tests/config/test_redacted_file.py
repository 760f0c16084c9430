"""A whole file with its secrets masked: as line by line with each secret, however many there are."""

from proxy.config.redact import mask_line, redacted


def test_each_secret_is_masked_wherever_it_stands() -> None:
    digests = [f"sha256:{n * 7919:064x}" for n in range(3000)]
    secrets = [*digests, "short", "hunter2-hunter2", "ends-as-the-other-hunter2-hunter2", "first line\nsecond line"]
    lines = [f"  user{n}: {{token_hash: {digest}, note: was {digest}x}}" for n, digest in enumerate(digests)]
    lines += ["a: short", "b: ends-as-the-other-hunter2-hunter2", "c: |", "  first line", "  second line", "d: plain"]
    masked = redacted("\n".join(lines), secrets).split("\n")
    assert not [secret for secret in digests if secret in "".join(masked[:3000])]
    each = [part for secret in secrets for part in secret.splitlines()]
    assert masked[-8:] == [mask_line(line, each) for line in lines[-8:]]
    assert masked[-1] == "d: plain"
