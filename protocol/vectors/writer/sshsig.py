"""Raw and armored SSHSIG (OpenSSH PROTOCOL.sshsig) with keys that are no secret: G-1, G-3, S-3, S-5, R-9."""

import base64
import hashlib

from . import ed25519
from .wire import fixed, u8, u32


def string(b):
    b = b.encode() if isinstance(b, str) else b
    return u32(len(b)) + b


def mpint(n):
    b = n.to_bytes(n.bit_length() // 8 + 1, "big")
    return string(b)


class Ed25519:
    kind = algorithm = "ssh-ed25519"

    def __init__(self, label):
        self.seed = fixed("key " + label, 32)
        self.wire = string(self.kind) + string(ed25519.public(self.seed))

    def sign(self, data):
        return string(self.algorithm) + string(ed25519.sign(self.seed, data))


class SecurityKey(Ed25519):
    """An Ed25519 key in a security key: it signs hashes, a flag (1: the person was there) and a counter."""
    kind = algorithm = "sk-ssh-ed25519@openssh.com"
    application = "ssh:"

    def __init__(self, label, flags=1):
        super().__init__(label)
        self.flags = flags
        self.wire += string(self.application)

    def sign(self, data):
        tail = u8(self.flags) + u32(7)
        made = ed25519.sign(self.seed, hashlib.sha256(self.application.encode()).digest() + tail + hashlib.sha256(data).digest())
        return string(self.algorithm) + string(made) + tail


class RSA:
    """RSA with 2,048 bits; the primes are the first ones above fixed numbers."""
    kind = "ssh-rsa"
    _hashes = {"rsa-sha2-512": ("sha512", "3051300d060960864801650304020305000440"),
               "rsa-sha2-256": ("sha256", "3031300d060960864801650304020105000420"),
               "ssh-rsa": ("sha1", "3021300906052b0e03021a05000414")}

    def __init__(self, algorithm, named=None):
        self.algorithm, self.named = algorithm, named or algorithm
        e, p, q = 65537, _prime("p"), _prime("q")
        self.n, self.d = p * q, pow(e, -1, (p - 1) * (q - 1))
        self.wire = string(self.kind) + mpint(e) + mpint(self.n)

    def sign(self, data):
        name, prefix = self._hashes[self.algorithm]
        digest = bytes.fromhex(prefix) + hashlib.new(name, data).digest()
        size = (self.n.bit_length() + 7) // 8
        padded = b"\0\1" + b"\xff" * (size - 3 - len(digest)) + b"\0" + digest
        return string(self.named) + string(pow(int.from_bytes(padded, "big"), self.d, self.n).to_bytes(size, "big"))


_PRIMES = {}


def _prime(label):
    """A prime of 1,024 bits: Fermat to four bases, enough for numbers that nobody chose to deceive."""
    if label not in _PRIMES:
        n = int.from_bytes(fixed("prime " + label, 128), "big") | 3 << 1022 | 1
        while n % 65537 == 1 or any(n % small == 0 for small in (3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)) or \
                any(pow(base, n - 1, n) != 1 for base in (2, 3, 5, 7)):
            n += 2
        _PRIMES[label] = n
    return _PRIMES[label]


class P256:
    """ECDSA over NIST P-256; the nonce follows from the message."""
    kind = algorithm = "ecdsa-sha2-nistp256"
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    n = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    g = (0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
         0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5)

    def __init__(self, label):
        self.secret = int.from_bytes(fixed("key " + label, 32), "big") % self.n
        x, y = self._times(self.secret, self.g)
        self.wire = string(self.kind) + string("nistp256") + string(b"\4" + x.to_bytes(32, "big") + y.to_bytes(32, "big"))

    def _add(self, a, b):
        if a is None or b is None:
            return a or b
        if a[0] == b[0] and (a[1] + b[1]) % self.p == 0:
            return None
        if a == b:
            m = (3 * a[0] * a[0] - 3) * pow(2 * a[1], -1, self.p)
        else:
            m = (b[1] - a[1]) * pow(b[0] - a[0], -1, self.p)
        x = (m * m - a[0] - b[0]) % self.p
        return x, (m * (a[0] - x) - a[1]) % self.p

    def _times(self, k, a):
        out = None
        while k:
            if k & 1:
                out = self._add(out, a)
            a, k = self._add(a, a), k >> 1
        return out

    def sign(self, data):
        z = int.from_bytes(hashlib.sha256(data).digest(), "big")
        k = int.from_bytes(hashlib.sha256(b"nonce" + data).digest(), "big") % self.n
        r = self._times(k, self.g)[0] % self.n
        s = pow(k, -1, self.n) * (z + r * self.secret) % self.n
        return string(self.algorithm) + string(mpint(r) + mpint(s))


def signed_data(namespace, message, hash="sha512", reserved=b""):
    return b"SSHSIG" + string(namespace) + string(reserved) + string(hash) + string(hashlib.new(hash, message).digest())


def blob(key, namespace, message, *, magic=b"SSHSIG", version=1, reserved=b"", hash="sha512", wire=None, signature=None):
    """A raw blob; each keyword is a way to make it wrong."""
    signature = key.sign(signed_data(namespace, message, hash, reserved)) if signature is None else signature
    return magic + u32(version) + string(wire or key.wire) + string(namespace) + string(reserved) + string(hash) + string(signature)


def armor(raw, columns=70, newline="\n"):
    """What ssh-keygen writes: base64 in lines of 70 columns."""
    text = base64.b64encode(raw).decode()
    lines = [text[i:i + columns] for i in range(0, len(text), columns)]
    return newline.join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def key_id(wire):
    return hashlib.sha256(wire).digest()
