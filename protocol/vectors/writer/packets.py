"""Section 3: data packets (P-1 to P-5, P-8) and probes (P-10)."""

from . import aesgcm
from .wire import accept, fixed, packed, refuse, u16, u32, u64, u8

KEY, TAG, SALT = fixed("packet key", 32), b"\xa1\xb2\xc3", fixed("salt", 6)


def clear(number=0, *, version=1, kind=2, tag=TAG, salt=SALT):
    return u8(version << 4 | kind) + tag + number.to_bytes(6, "big") + salt


def inner(block=0, index=0, k=4, m=2, zero=b"\0\0"):
    return u32(block) + u16(index) + u16(k) + u16(m) + zero


def packet(header, plain, key=KEY):
    return header + aesgcm.seal(key, header[4:16], plain, header)


def given(datagram):
    return {"key": KEY.hex(), "tag": TAG.hex(), "packet": packed(datagram)}


def good(name, rule, what, number=0, block=0, index=0, k=4, m=2, shard=b"\xab" * 1408):
    return accept(name, rule, what, given(packet(clear(number), inner(block, index, k, m) + shard)),
                  {"number": number, "salt": SALT.hex(), "block": block, "index": index, "k": k, "m": m, "shard": packed(shard)})


def opened():
    yield good("the first packet", "P-4", "Packet numbers count from 0; number and salt are the nonce.")
    yield good("the last number", "P-4", "Packet numbers have 48 bits.", number=(1 << 48) - 1)
    yield good("content", "P-5", "AES-256-GCM with the link's key.", 0x010203040506, 0x0708090A, 5, shard=fixed("shard", 1408))
    yield good("the largest shard", "P-1", "A shard for MTU 9,216.", shard=b"\xcd" * 9088)
    yield good("the shard of MTU 9,000", "P-1", "A shard for MTU 9,000.", shard=b"\xcd" * 8896)
    yield good("the second shard size", "P-1", "Shards are multiples of 64.", shard=b"\xcd" * 1472)
    yield good("the smallest code", "P-8", "k and m are at least 1.", k=1, m=1, index=1)
    yield good("the largest code", "P-8", "k and m are at most 2,048.", k=2048, m=2048, index=4095, block=0xFFFFFFFF)
    yield good("the most parity of a small block", "P-8", "m is at most 128, where 32 k is less.", k=1, m=128, index=128)


def refused():
    right, plain = clear(5), inner(1, 0) + b"\xab" * 1408
    whole = packet(right, plain)
    for n in (1344, 1407, 1409, 1440, 9089, 9152, 0):
        yield refuse(f"a shard of {n} bytes", "P-1", "The datagram's length fits no shard of section 1.", given(packet(right, inner() + b"\xab" * n)),
                     "packet-length")
    for n in (0, 1, 2, 4, 5, 9, 10, 15, 16, 18, 20, 22, 24, 26, 28, 43, 1436, 1451):
        yield refuse(f"a datagram of {n} bytes", "P-1", "The datagram's length fits no shard of section 1.", given(whole[:n]), "packet-length")
    for version in (0, 2, 15):
        yield refuse(f"version {version}", "P-2", "Another version.", given(packet(clear(5, version=version), plain)), "packet-version")
    for kind in (0, 4, 15):
        yield refuse(f"kind {kind}", "P-2", "Another kind.", given(packet(clear(5, kind=kind), plain)), "packet-kind")
    for i in range(3):
        other = bytes(x ^ (i == j) for j, x in enumerate(TAG))
        yield refuse(f"another tag in byte {i}", "P-3", "No session that is open has the tag.", given(packet(clear(5, tag=other), plain)), "packet-tag")
    flips = (("number", 4), ("number's end", 9), ("salt", 10), ("salt's end", 15), ("inner header", 16), ("shard", 28), ("shard's end", len(whole) - 17),
             ("seal", len(whole) - 16),
             ("seal's end", len(whole) - 1))
    for name, at in flips:
        yield refuse("a bit of the " + name, "P-5", "What does not open is refused.", given(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]),
                     "packet-seal")
    yield refuse("another key", "P-5", "What does not open is refused.", given(packet(right, plain, fixed("other key", 32))), "packet-seal")
    yield refuse("another link's key", "P-5", "What does not open is refused.", given(packet(right, plain, KEY[::-1])), "packet-seal")
    bare = right + aesgcm.seal(KEY, right[4:16], plain, b"")
    yield refuse("no associated data", "P-5", "The clear bytes are sealed as associated data.", given(bare), "packet-seal")
    other = right + aesgcm.seal(KEY, right[10:16] + right[4:10], plain, right)
    yield refuse("another order of the nonce", "P-5", "The nonce is the 12 bytes after the tag, in order.", given(other), "packet-seal")
    wrong = (("no data shards", {"k": 0}), ("no parity shards", {"m": 0}), ("2,049 data shards", {"k": 2049}), ("2,049 parity shards", {"k": 2048, "m": 2049}),
             ("an index of k + m", {"index": 6}),
             ("the last index", {"index": 65535}), ("129 parity shards for 1", {"k": 1, "m": 129}), ("161 parity shards for 5", {"k": 5, "m": 161}))
    for name, change in wrong:
        yield refuse("code: " + name, "P-8", "k, m and shard form no code, or the index lies outside.", given(packet(right, inner(**change) + plain[12:])),
                     "packet-code")
    for zero in (b"\1\0", b"\0\1", b"\0\x80"):
        yield refuse(f"reserved {zero.hex()}", "P-8", "The last two bytes of the inner header are zero.", given(packet(right, inner(zero=zero) + plain[12:])),
                     "packet-reserved")


def probe(run=7, step=2, steps=10, zero=0, rate=10**9, packets=1000, index=999, shard=1408, padding=b""):
    body = u32(run) + u16(step) + u16(steps) + u32(zero) + u64(rate) + u32(packets) + u32(index) + padding
    return body + bytes(12 + shard - len(body))


def measured(name, what, **fields):
    shown = {"run": 7, "step": 2, "steps": 10, "rate": 10**9, "packets": 1000, "index": 999} | {k: v for k, v in fields.items() if k != "shard"}
    return accept("probe: " + name, "P-10", what, given(packet(clear(9, kind=3), probe(**fields))),
                  {"number": 9, "salt": SALT.hex(), "probe": shown, "size": fields.get("shard", 1408)})


def probes():
    yield measured("a packet of a step", "It opens like data.")
    yield measured("the least of everything", "Runs count from 1, steps and packets from 0.", run=1, step=0, steps=1, rate=1, packets=1, index=0)
    yield measured("the most of everything", "64 steps of 2^24 packets.", run=2**32 - 1, step=63, steps=64, rate=2**64 - 1, packets=2**24, index=2**24 - 1, shard=9088)
    wrong = (("no run", {"run": 0}), ("no steps", {"step": 0, "steps": 0}), ("65 steps", {"steps": 65}), ("a step beyond the last", {"step": 10}), ("no rate", {"rate": 0}),
             ("no packets", {"packets": 0, "index": 0}), ("too many packets", {"packets": 2**24 + 1}), ("an index beyond the last", {"index": 1000}),
             ("a reserved byte", {"zero": 1}), ("the first byte of the padding", {"padding": b"\1"}), ("a byte of the padding", {"padding": bytes(700) + b"\x80"}),
             ("the last byte of the padding", {"padding": bytes(1391) + b"\1"}))
    for name, change in wrong:
        yield refuse("probe: " + name, "P-10", "Outside its range, or not zero.", given(packet(clear(9, kind=3), probe(**change))), "packet-probe")
    yield refuse("probe: sealed as data", "P-5", "The kind is a part of what is sealed.", given(clear(9, kind=3) + packet(clear(9), probe())[16:]), "packet-seal")
    yield refuse("probe: a shard of 1409 bytes", "P-1", "The datagram's length fits no shard of section 1.", given(packet(clear(9, kind=3), probe(shard=1409))), "packet-length")


def vectors():
    return [*opened(), *refused(), *probes()]
