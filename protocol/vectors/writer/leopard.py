"""Section 5: parity by plain interpolation over all points, which takes no fast transform to say (F-1, F-2)."""

from .wire import accept, refuse

NARROW = (8, 0x11D, (1, 214, 152, 146, 86, 200, 88, 230))
WIDE = (16, 0x1002D, (0x0001, 0xACCA, 0x3C0E, 0x163E, 0xC582, 0xED2E, 0x914C, 0x4012, 0x6C98, 0x10D8, 0x6A72, 0xB900, 0xFDB8, 0xFB34, 0xFF38, 0x991E))


class Field:
    """The elements are numbers whose bits select from a basis; sums are XOR in any basis, products are not."""

    def __init__(self, bits, polynomial, basis):
        self.order = (1 << bits) - 1
        power, log, x = [0] * self.order, {}, 1
        for i in range(self.order):
            power[i], log[x] = x, i
            x <<= 1
            if x >> bits:
                x ^= polynomial
        plain = [0] * (self.order + 1)
        for i in range(1, self.order + 1):
            low = i & -i
            plain[i] = plain[i ^ low] ^ basis[low.bit_length() - 1]
        number = {x: i for i, x in enumerate(plain)}
        self.log = [0] + [log[plain[i]] for i in range(1, self.order + 1)]
        self.power = [number[x] for x in power]

    def times(self, a, b):
        return self.power[(self.log[a] + self.log[b]) % self.order] if a and b else 0

    def over(self, a, b):
        return self.power[(self.log[a] - self.log[b]) % self.order] if a else 0


_FIELDS = {}


def field(k, m2):
    kind = WIDE if -(-k // m2) * m2 + m2 > 256 else NARROW
    if kind not in _FIELDS:
        _FIELDS[kind] = Field(*kind)
    return _FIELDS[kind], kind is WIDE


def unit(i, n=64):
    """The 64 bytes that data shard i repeats."""
    return bytes((3 * i * i + 5 * i * j + 7 * j + i // 7 + 1) % 256 for j in range(n))


def elements(shard, wide):
    return [shard[j] | shard[j + 32] << 8 for j in range(32)] if wide else list(shard)


def shard_of(values, wide):
    return bytes(v & 255 for v in values) + bytes(v >> 8 for v in values) if wide else bytes(values)


def weight(f, m2, group, j, at):
    """What the data at place j of a group counts for at the point of a parity shard (Lagrange)."""
    above, below, own = 1, 1, group + j
    for other in range(group, group + m2):
        if other != own:
            above, below = f.times(above, at ^ other), f.times(below, own ^ other)
    return f.over(above, below)


def parity(k, m):
    m2 = 1 << (m - 1).bit_length()
    f, wide = field(k, m2)
    data, out = [elements(unit(i), wide) for i in range(k)], []
    for p in range(m):
        total = [0] * len(data[0])
        for i in range(k):
            w = weight(f, m2, m2 * (i // m2 + 1), i % m2, p)
            total = [t ^ f.times(w, x) for t, x in zip(total, data[i])]
        out.append(shard_of(total, wide))
    return out


def vectors():
    out = []
    for k, m in ((1, 1), (1, 2), (2, 1), (5, 1), (2, 2), (3, 2), (4, 3), (4, 4), (5, 3), (8, 8), (9, 8), (20, 5), (1, 8), (60, 16), (200, 6), (248, 5),
                 (255, 1), (250, 5), (256, 1), (257, 3), (300, 4)):
        out.append(accept(f"parity of {k} and {m}", "F-1", "The parity shards that are sent.", {"k": k, "m": m, "missing": []},
                          {"parity": [p.hex() for p in parity(k, m)]}))
    for k, m, missing in ((4, 2, [0, 1]), (4, 2, [3, 5]), (4, 3, [0, 2, 6]), (9, 8, list(range(8))), (1, 2, [0, 2]), (250, 5, [0, 7, 100, 249, 254]),
                          (4, 4, [4, 5, 6, 7])):
        out.append(accept(f"{k} and {m} without {missing}", "F-2", "Any k shards give the block.", {"k": k, "m": m, "missing": missing},
                          {"parity": [p.hex() for p in parity(k, m)]}))
    for k, m, missing in ((4, 2, [0, 1, 2]), (4, 2, [0, 4, 5]), (1, 1, [0, 1]), (4, 3, [0, 1, 2, 3]), (9, 8, list(range(9)))):
        out.append(refuse(f"{k} and {m} without {missing}", "F-2", "Fewer than k shards give nothing.", {"k": k, "m": m, "missing": missing}, "block-lost"))
    return out
