"""Integers, strings, sums and fixed bytes: what every format is made of (conventions of SPEC.md, I-1, I-4, B-1)."""

import hashlib
import re

MASK64 = (1 << 64) - 1


def u8(n):
    return n.to_bytes(1, "big")


def u16(n):
    return n.to_bytes(2, "big")


def u32(n):
    return n.to_bytes(4, "big")


def u64(n):
    return n.to_bytes(8, "big")


def i64(n):
    return n.to_bytes(8, "big", signed=True)


def str8(b):
    b = b.encode() if isinstance(b, str) else b
    return u8(len(b)) + b


def str16(b):
    return u16(len(b)) + b


def fixed(label, n):
    """n bytes that follow from a label and look like nothing: ids, digests, content."""
    out, i = b"", 0
    while len(out) < n:
        out += hashlib.sha256(f"ecluse vectors, {label}, {i}".encode()).digest()
        i += 1
    return out[:n]


def base32(b):
    """RFC 4648 base32 in lower case without padding, written out so that it is not a library's."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    bits = "".join(f"{x:08b}" for x in b)
    bits += "0" * (-len(bits) % 5)
    return "".join(alphabet[int(bits[i:i + 5], 2)] for i in range(0, len(bits), 5))


def _crc_table():
    table = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        table.append(n)
    return table


_CRC = _crc_table()


def crc32c(data):
    """CRC-32C (Castagnoli), reflected, as iSCSI has it."""
    c = 0xFFFFFFFF
    for x in data:
        c = c >> 8 ^ _CRC[(c ^ x) & 0xFF]
    return c ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283

_P1, _P2, _P3, _P4, _P5 = (0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5)


def _rol(x, n):
    return (x << n | x >> 64 - n) & MASK64


def _round(acc, lane):
    return _rol((acc + lane * _P2) & MASK64, 31) * _P1 & MASK64


def xxh64(data):
    """XXH64 with seed 0."""
    n, at = len(data), 0

    def lane(i, size=8):
        return int.from_bytes(data[i:i + size], "little")

    if n >= 32:
        acc = [(_P1 + _P2) & MASK64, _P2, 0, -_P1 & MASK64]
        while at + 32 <= n:
            acc = [_round(a, lane(at + 8 * i)) for i, a in enumerate(acc)]
            at += 32
        h = sum(_rol(a, r) for a, r in zip(acc, (1, 7, 12, 18))) & MASK64
        for a in acc:
            h = ((h ^ _round(0, a)) * _P1 + _P4) & MASK64
    else:
        h = _P5
    h = (h + n) & MASK64
    while at + 8 <= n:
        h = (_rol(h ^ _round(0, lane(at)), 27) * _P1 + _P4) & MASK64
        at += 8
    if at + 4 <= n:
        h = (_rol(h ^ lane(at, 4) * _P1 & MASK64, 23) * _P2 + _P3) & MASK64
        at += 4
    for x in data[at:]:
        h = _rol(h ^ x * _P5 & MASK64, 11) * _P1 & MASK64
    for shift, prime in ((33, _P2), (29, _P3)):
        h = (h ^ h >> shift) * prime & MASK64
    return h ^ h >> 32


assert xxh64(b"") == 0xEF46DB3751D8E999


def mark(data):
    return f"{xxh64(data):016x}"


def packed(b):
    """Hexadecimal digits in which {xx*n} stands for the byte or bytes xx n times: blocks are mostly zeroes."""
    out, at = [], 0
    for m in re.finditer(rb"(.{1,8}?)\1{15,}", b, re.DOTALL):
        out.append(b[at:m.start()].hex())
        out.append("{%s*%d}" % (m.group(1).hex(), len(m.group()) // len(m.group(1))))
        at = m.end()
    return "".join(out) + b[at:].hex()


def accept(name, rule, what, given, values=None):
    return {"name": name, "rule": rule, "what": what, "input": given, "expect": "accept", "values": values if values is not None else {}}


def refuse(name, rule, what, given, reason, field=None):
    """field is where the fault is; without it fields.py says so by the name."""
    out = {"name": name, "rule": rule, "what": what, "input": given, "expect": "refuse", "reason": reason}
    return out | ({"field": field} if field else {})
