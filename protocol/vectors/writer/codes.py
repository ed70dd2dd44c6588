"""Section 5: which codes there are, and the field and the padded parity that follow from one (F-1)."""

from .wire import accept, refuse


def vectors():
    good = ((1, 1), (1, 2), (1, 3), (1, 128), (2, 128), (4, 128), (5, 129), (5, 160), (63, 2016), (64, 2048), (2048, 1), (2048, 2048), (128, 128), (129, 128),
            (192, 64), (193, 64), (248, 5),
            (248, 8), (249, 8), (250, 5), (252, 3), (252, 4), (253, 3), (254, 2), (255, 1), (255, 2), (256, 1), (200, 33), (192, 33), (896, 128), (1, 65),
            (128, 65), (129, 65), (4, 2))
    bad = ((0, 1), (1, 0), (0, 0), (2049, 1), (2048, 2049), (1, 129), (2, 129), (4, 129), (5, 161), (63, 2017), (65535, 65535), (1, 2048))
    out = []
    for k, m in good:
        m2 = 1
        while m2 < m:
            m2 *= 2
        out.append(accept(f"k {k}, m {m}", "F-1", "A code, its parity rounded up, and its field.", {"k": k, "m": m, "shard": 1408},
                          {"padded": m2, "wide": -(-k // m2) * m2 + m2 > 256}))
    out += [refuse(f"k {k}, m {m}", "F-1", "Outside section 1, or more parity than an honest code has.", {"k": k, "m": m, "shard": 1408}, "packet-code") for k,
            m in bad]
    out += [accept(f"a shard of {s} bytes", "F-1", "Multiples of 64.", {"k": 4, "m": 2, "shard": s}, {"padded": 2, "wide": False}) for s in (1408, 1472, 8896,
        9088)]
    out += [refuse(f"a shard of {s} bytes", "F-1", "Multiples of 64 from 1,408 to 9,088.", {"k": 4, "m": 2, "shard": s}, "packet-code") for s in (0, 64, 1344,
        1407, 1409, 1440, 9087, 9089, 9152, 65536)]
    return out
