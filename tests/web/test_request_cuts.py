"""Where what a client sends is cut: each end of a head or a body is the end of a piece, however TCP cuts it."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.web.server.request_cuts import RequestCuts

CUTS = st.lists(st.binary(max_size=6) | st.sampled_from([b"\r\n\r\n", b"\r\n", b"\r", b"\n\r"]), max_size=8)


@given(packets=CUTS, body_bytes=st.integers(0, 9))
def test_cuts_are_where_a_head_or_a_body_ends(packets: list[bytes], body_bytes: int) -> None:
    cuts, whole, found, base = RequestCuts(), b"".join(packets), set(), 0
    cuts.body_bytes = body_bytes
    for packet in packets:
        at = 0
        while at < len(packet):
            at = cuts.next_cut(packet, at)
            found.add(base + at)
        base += len(packet)
    expected, at = {body_bytes} if body_bytes else set(), body_bytes
    while (end := whole.find(b"\r\n\r\n", at)) >= 0:
        at = end + 4
        expected.add(at)
    packet_ends = {len(b"".join(packets[: n + 1])) for n, packet in enumerate(packets) if packet}
    assert found == {end for end in expected if end <= len(whole)} | packet_ends
