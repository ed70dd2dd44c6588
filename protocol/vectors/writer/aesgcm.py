"""AES-256-GCM (FIPS 197, SP 800-38D), slow and plain, for the fixed packets of P-5."""


def _tables():
    sbox, p, q = [0] * 256, 1, 1
    while True:
        p = (p ^ p << 1 ^ (0x1B if p & 0x80 else 0)) & 0xFF
        for shift in (1, 2, 4):
            q = (q ^ q << shift) & 0xFF
        q ^= 0x09 if q & 0x80 else 0
        x = q
        for i in range(1, 5):
            x ^= (q << i | q >> 8 - i) & 0xFF
        sbox[p] = x ^ 0x63
        if p == 1:
            break
    sbox[0] = 0x63
    return sbox


SBOX = _tables()


def _double(x):
    return (x << 1 ^ (0x1B if x & 0x80 else 0)) & 0xFF


def expand(key):
    words = [list(key[i:i + 4]) for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        w = words[i - 1]
        if i % 8 == 0:
            w = [SBOX[x] for x in w[1:] + w[:1]]
            w[0] ^= rcon
            rcon = _double(rcon)
        elif i % 8 == 4:
            w = [SBOX[x] for x in w]
        words.append([a ^ b for a, b in zip(words[i - 8], w)])
    return [sum(words[i:i + 4], []) for i in range(0, 60, 4)]


def encrypt(rounds, block):
    s = [a ^ b for a, b in zip(block, rounds[0])]
    for r in range(1, 15):
        s = [SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if r < 14:
            mixed = []
            for c in range(0, 16, 4):
                col, t = s[c:c + 4], s[c] ^ s[c + 1] ^ s[c + 2] ^ s[c + 3]
                mixed += [col[i] ^ t ^ _double(col[i] ^ col[(i + 1) % 4]) for i in range(4)]
            s = mixed
        s = [a ^ b for a, b in zip(s, rounds[r])]
    return bytes(s)


def _times(x, y):
    z = 0
    for i in range(127, -1, -1):
        if y >> i & 1:
            z ^= x
        x = x >> 1 ^ (0xE1 << 120 if x & 1 else 0)
    return z


def seal(key, nonce, plain, associated):
    rounds = expand(key)
    h = int.from_bytes(encrypt(rounds, bytes(16)), "big")
    first = int.from_bytes(nonce + b"\0\0\0\1", "big")
    stream = b"".join(encrypt(rounds, (first + 1 + i).to_bytes(16, "big")) for i in range((len(plain) + 15) // 16))
    sealed = bytes(a ^ b for a, b in zip(plain, stream))
    y = 0
    for part in (associated, sealed, (len(associated) * 8).to_bytes(8, "big") + (len(sealed) * 8).to_bytes(8, "big")):
        for i in range(0, len(part), 16):
            y = _times(y ^ int.from_bytes(part[i:i + 16].ljust(16, b"\0"), "big"), h)
    return sealed + bytes(a ^ b for a, b in zip(encrypt(rounds, first.to_bytes(16, "big")), y.to_bytes(16, "big")))


# The tag of nothing under a key of zeroes: test case 13 of the GCM submission.
assert seal(bytes(32), bytes(12), b"", b"").hex() == "530f8afbc74536b9a963b4f1c4cb738b"
