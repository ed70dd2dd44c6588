"""ML-KEM-768 (FIPS 203), X25519 (RFC 7748), their union (X-Wing) and HPKE's exporter (RFC 9180), slow and plain: S-2, S-4, S-9."""

import hashlib
import hmac

Q, K = 3329, 3


def _bitrev7(i):
    return int(f"{i:07b}"[::-1], 2)


ZETA = [pow(17, _bitrev7(i), Q) for i in range(128)]
GAMMA = [pow(17, 2 * _bitrev7(i) + 1, Q) for i in range(128)]


def _ntt(f):
    f, i, length = list(f), 1, 128
    while length >= 2:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = ZETA[i] * f[j + length] % Q
                f[j + length], f[j] = (f[j] - t) % Q, (f[j] + t) % Q
            i += 1
        length //= 2
    return f


def _back(f):
    f, i, length = list(f), 127, 2
    while length <= 128:
        for start in range(0, 256, 2 * length):
            for j in range(start, start + length):
                t = f[j]
                f[j], f[j + length] = (t + f[j + length]) % Q, ZETA[i] * (f[j + length] - t) % Q
            i -= 1
        length *= 2
    return [x * 3303 % Q for x in f]


def _times(f, g):
    out = []
    for i in range(128):
        a, b, c, d = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
        out += [(a * c + b * d * GAMMA[i]) % Q, (a * d + b * c) % Q]
    return out


def _sum(*polys):
    return [sum(x) % Q for x in zip(*polys)]


def _uniform(seed):
    stream, out = hashlib.shake_128(seed).digest(3 * 504), []
    for i in range(0, len(stream), 3):
        a, b, c = stream[i:i + 3]
        out += [x for x in (a | (b & 15) << 8, b >> 4 | c << 4) if x < Q]
    return out[:256]


def _noise(seed, n):
    bits = int.from_bytes(hashlib.shake_256(seed + bytes([n])).digest(128), "little")
    return [((bits >> 4 * i & 1) + (bits >> 4 * i + 1 & 1) - (bits >> 4 * i + 2 & 1) - (bits >> 4 * i + 3 & 1)) % Q for i in range(256)]


def _encode(f, d):
    return sum(x << d * i for i, x in enumerate(f)).to_bytes(32 * d, "little")


def _decode(b, d):
    n = int.from_bytes(b, "little")
    return [n >> d * i & (1 << d) - 1 for i in range(256)]


def _compress(f, d):
    return [((x << d + 1) + Q) // (2 * Q) % (1 << d) for x in f]


def _matrix(rho):
    return [[_uniform(rho + bytes([j, i])) for j in range(K)] for i in range(K)]


def mlkem_public(d):
    h = hashlib.sha3_512(d + bytes([K])).digest()
    rho, sigma = h[:32], h[32:]
    a = _matrix(rho)
    s = [_ntt(_noise(sigma, i)) for i in range(K)]
    e = [_ntt(_noise(sigma, K + i)) for i in range(K)]
    t = [_sum(e[i], *(_times(a[i][j], s[j]) for j in range(K))) for i in range(K)]
    return b"".join(_encode(x, 12) for x in t) + rho


def mlkem_encapsulate(public, m):
    g = hashlib.sha3_512(m + hashlib.sha3_256(public).digest()).digest()
    shared, r = g[:32], g[32:]
    t, a = [_decode(public[384 * i:384 * i + 384], 12) for i in range(K)], _matrix(public[1152:])
    y = [_ntt(_noise(r, i)) for i in range(K)]
    u = [_sum(_back(_sum(*(_times(a[j][i], y[j]) for j in range(K)))), _noise(r, K + i)) for i in range(K)]
    bits = [x * 1665 for x in _decode(m, 1)]
    v = _sum(_back(_sum(*(_times(t[j], y[j]) for j in range(K)))), _noise(r, 2 * K), bits)
    return shared, b"".join(_encode(_compress(x, 10), 10) for x in u) + _encode(_compress(v, 4), 4)


P = 2**255 - 19


def x25519(scalar, point=(9).to_bytes(32, "little")):
    k = int.from_bytes(scalar, "little") & ((1 << 255) - 8) | 1 << 254
    x1 = int.from_bytes(point, "little") & (1 << 255) - 1
    x2, z2, x3, z3 = 1, 0, x1, 1
    for i in range(254, -1, -1):
        bit = k >> i & 1
        if bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, aa, bb = d * a, c * b, a * a, b * b
        x3, z3, x2, z2 = (da + cb)**2 % P, x1 * (da - cb)**2 % P, aa * bb % P, (aa - bb) * (aa + 121665 * (aa - bb)) % P
        if bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


class Receiver:
    """A key pair of MLKEM768-X25519 from its seed of 32 bytes."""

    def __init__(self, seed):
        wide = hashlib.shake_256(seed).digest(96)
        self.seed, self._d, self._x = seed, wide[:32], wide[64:]
        self.public = mlkem_public(self._d) + x25519(self._x)

    def encapsulate(self, m, ephemeral):
        """The shared secret and the 1,120 bytes that a sender makes of these 64."""
        shared, ciphertext = mlkem_encapsulate(self.public[:1184], m)
        x, point = x25519(ephemeral), self.public[1184:]
        joined = shared + x25519(ephemeral, point) + x + point + b"\\.//^\\"
        return hashlib.sha3_256(joined).digest(), ciphertext + x


SUITE = b"HPKE" + b"\x64\x7a" + b"\x00\x01" + b"\xff\xff"


def _extract(salt, label, content):
    return hmac.new(salt or bytes(32), b"HPKE-v1" + SUITE + label + content, hashlib.sha256).digest()


def _expand(key, label, info, n):
    assert n <= 32  # one round of HKDF's
    return hmac.new(key, n.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + info + b"\1", hashlib.sha256).digest()[:n]


class Context:
    """An HPKE context in base mode, for export only."""

    def __init__(self, shared, info):
        context = b"\0" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", info)
        self._secret = _expand(_extract(shared, b"secret", b""), b"exp", context, 32)

    def export(self, context, n):
        return _expand(self._secret, b"sec", context.encode(), n)
