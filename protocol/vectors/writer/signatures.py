"""Section 11 and R-9: SSHSIG blobs and their text, one fault at a time (G-1, G-3)."""

from . import records
from .ed25519 import L
from .sshsig import P256, RSA, Ed25519, SecurityKey, armor, blob, key_id, mpint, signed_data, string
from .wire import accept, fixed, refuse

BUNDLE, MESSAGE = "bundle@ecluse", b'{"format":"ecluse-manifest-1"}\n'


def given(raw, namespace=BUNDLE, message=MESSAGE):
    return {"kind": "blob", "namespace": namespace, "message": message.hex(), "blob": raw.hex()}


def vectors():
    key = Ed25519("bundle")
    right = blob(key, BUNDLE, MESSAGE)
    return [*good(key), *envelope(key, right), *cuts(key), *kinds(), *invalid(key), *text(right), *abandons(key)]


def good(key):
    kinds = (("Ed25519", key), ("RSA with SHA-512", RSA("rsa-sha2-512")), ("RSA with SHA-256", RSA("rsa-sha2-256")), ("ECDSA P-256", P256("ecdsa")),
             ("Ed25519 of a security key", SecurityKey("sk")))
    for name, k in kinds:
        yield accept("signature, " + name, "G-1", "A kind of key that is ours.", given(blob(k, BUNDLE, MESSAGE)),
                     {"key": k.wire.hex(), "key_id": key_id(k.wire).hex()})
    for namespace in ("session@ecluse", "abandon@ecluse", "release@ecluse"):
        yield accept(f"signature for {namespace}", "G-3", "Each namespace signs one kind of thing.", given(blob(key, namespace, MESSAGE), namespace),
                     {"key": key.wire.hex(), "key_id": key_id(key.wire).hex()})
    yield accept("signature over nothing", "G-1", "A message may be empty.", given(blob(key, BUNDLE, b""), message=b""),
                 {"key": key.wire.hex(), "key_id": key_id(key.wire).hex()})


def envelope(key, right):
    made = key.sign(signed_data(BUNDLE, MESSAGE))
    dss = string("ssh-dss") + mpint(23) + mpint(11) + mpint(2) + mpint(5)
    certificate = string("ssh-ed25519-cert-v01@openssh.com") + key.wire[15:]
    rows = (("another magic", blob(key, BUNDLE, MESSAGE, magic=b"SSHSIH")), ("version 0", blob(key, BUNDLE, MESSAGE, version=0)),
            ("version 2", blob(key, BUNDLE, MESSAGE, version=2)),
            ("another hash", blob(key, BUNDLE, MESSAGE, hash="sha256")), ("a hash that nobody knows", right.replace(string("sha512"), string("sha513"))),
            ("a reserved field", blob(key, BUNDLE, MESSAGE, reserved=b"x")), ("no namespace", blob(key, "", MESSAGE)),
            ("a namespace that begins alike", blob(key, BUNDLE + "x", MESSAGE)),
            ("a namespace in upper case", blob(key, BUNDLE.upper(), MESSAGE)), ("bytes left over", right + b"\0"),
            ("bytes left over in the key", blob(key, BUNDLE, MESSAGE, wire=key.wire + b"\0")),
            ("bytes left over in the signature", blob(key, BUNDLE, MESSAGE, signature=made + b"\0")), ("one byte short", right[:-1]),
            ("a magic alone", right[:6]), ("nothing", b""),
            ("a key of 31 bytes", blob(key, BUNDLE, MESSAGE, wire=string("ssh-ed25519") + string(key.wire[-31:]))),
            ("a DSA key", blob(key, BUNDLE, MESSAGE, wire=dss)),
            ("a certificate", blob(key, BUNDLE, MESSAGE, wire=certificate)), ("RSA with SHA-1", blob(RSA("ssh-rsa"), BUNDLE, MESSAGE)),
            ("an algorithm of another kind of key", blob(key, BUNDLE, MESSAGE, signature=string("rsa-sha2-512") + made[15:])),
            ("8,193 bytes", blob(key, BUNDLE, MESSAGE, signature=made[:15] + string(bytes(8193 - len(right) + 64)))),
            ("an RSA key with a superfluous zero", blob(RSA("rsa-sha2-512"), BUNDLE, MESSAGE, wire=loose_rsa())),
            ("a kind of key that nobody knows", blob(key, BUNDLE, MESSAGE, wire=string("ssh-ed25518") + key.wire[15:])))
    for name, raw in rows:
        yield refuse("envelope, " + name, "G-1", "A blob that is not one of ours.", given(raw), "signature-format")
    for namespace in ("session@ecluse", "abandon@ecluse", "release@ecluse", "file"):
        yield refuse(f"envelope, made for {namespace}", "G-3", "A signature made for one thing is refused as every other.",
                     given(blob(key, namespace, MESSAGE)), "signature-format")


def cuts(key):
    """A blob that ends within each of its fields."""
    made = key.sign(signed_data(BUNDLE, MESSAGE))
    pieces = (("magic", b"SSHSIG"), ("version", b"\0\0\0\1"), ("key's length", b"\0\0\0\x33"), ("key.kind", key.wire[:15]), ("key.bytes", key.wire[15:]),
              ("namespace's length", string(BUNDLE)[:4]), ("namespace", BUNDLE.encode()), ("reserved", bytes(4)), ("hash's length", string("sha512")[:4]),
              ("hash", b"sha512"), ("signature's length", string(made)[:4]), ("signature.algorithm", made[:15]), ("signature.bytes", made[15:]))
    whole = b"".join(piece for _, piece in pieces)
    assert whole == blob(key, BUNDLE, MESSAGE)
    at = 0
    for field, piece in pieces:
        yield refuse(f"envelope, cut in {field}", "G-1", "A blob that is not one of ours.", given(whole[:at + len(piece) // 2]), "signature-format",
                     f"sshsig.{field}")
        at += len(piece)
    for field, old in (("key's length", string(key.wire)[:4]), ("namespace's length", string(BUNDLE)[:4]), ("hash's length", string("sha512")[:4]),
                       ("signature's length", string(made)[:4])):
        n = int.from_bytes(old, "big")
        at = whole.index(old + {"k": key.wire, "n": BUNDLE.encode(), "h": b"sha512", "s": made}[field[0]])
        for wrong in (n - 1, n + 1, 0xFFFFFFFF):
            yield refuse(f"envelope, {field} of {wrong}", "G-1", "A blob that is not one of ours.",
                         given(whole[:at] + wrong.to_bytes(4, "big") + whole[at + 4:]), "signature-format", f"sshsig.{field}")


def kinds():
    """One fault in each field of each kind of key and of its signature."""
    def row(name, field, k, reason="signature-format", **change):
        return refuse(f"{name}", "G-1", "A key in its one form, and a signature of its kind.", given(blob(k, BUNDLE, MESSAGE, **change)), reason, f"sshsig.{field}")

    rsa, p256, sk, ed = RSA("rsa-sha2-512"), P256("ecdsa"), SecurityKey("sk"), Ed25519("bundle")
    n = string(b"\0" + rsa.n.to_bytes(256, "big"))
    data = signed_data(BUNDLE, MESSAGE)
    yield row("RSA key, e of 0", "RSA key.e", rsa, wire=string("ssh-rsa") + mpint(0) + n)
    yield row("RSA key, e that is even", "RSA key.e", rsa, wire=string("ssh-rsa") + mpint(65536) + n)
    yield row("RSA key, e with a superfluous zero", "RSA key.e", rsa, wire=string("ssh-rsa") + string(b"\0\0\1\0\1") + n)
    yield row("RSA key, n that is negative", "RSA key.n", rsa, "signature-invalid", wire=string("ssh-rsa") + mpint(65537) + string(b"\xff" + bytes(255)))
    yield row("RSA key, something behind it", "RSA key's end", rsa, wire=rsa.wire + b"\0")
    yield row("RSA signature, one byte short", "RSA signature.bytes", rsa, "signature-invalid", signature=string("rsa-sha2-512") + string(bytes(255)))
    yield row("RSA signature, something behind it", "RSA signature's end", rsa, signature=rsa.sign(data) + b"\0")
    point = p256.wire[-65:]
    x = int.from_bytes(point[1:33], "big")
    prefix = string("ecdsa-sha2-nistp256") + string("nistp256")
    yield row("ECDSA key, another curve", "ECDSA key.curve", p256, wire=string("ecdsa-sha2-nistp256") + string("nistp384") + string(point))
    yield row("ECDSA key, a compressed point", "ECDSA key.form", p256, wire=prefix + string(bytes([2 + (point[-1] & 1)]) + point[1:33]))
    yield row("ECDSA key, the point at infinity", "ECDSA key.form", p256, wire=prefix + string(b"\0"))
    yield row("ECDSA key, x off the curve", "ECDSA key.x", p256, wire=prefix + string(b"\4" + ((x + 1) % p256.p).to_bytes(32, "big") + point[33:]))
    yield row("ECDSA key, y off the curve", "ECDSA key.y", p256, wire=prefix + string(point[:-1] + bytes([point[-1] ^ 1])))
    yield row("ECDSA key, something behind it", "ECDSA key's end", p256, wire=p256.wire + b"\0")
    made = p256.sign(data)[4 + 19 + 4:]
    size = int.from_bytes(made[:4], "big")
    r, s = made[4:4 + size], made[8 + size:]
    ecdsa = lambda r, s, more=b"": string("ecdsa-sha2-nistp256") + string(string(r) + string(s) + more)
    yield row("ECDSA signature, r of 0", "ECDSA signature.r", p256, "signature-invalid", signature=ecdsa(b"", s))
    yield row("ECDSA signature, r above the order", "ECDSA signature.r", p256, "signature-invalid", signature=ecdsa(b"\0" + b"\xff" * 32, s))
    yield row("ECDSA signature, s of 0", "ECDSA signature.s", p256, "signature-invalid", signature=ecdsa(r, b""))
    yield row("ECDSA signature, s above the order", "ECDSA signature.s", p256, "signature-invalid", signature=ecdsa(r, b"\0" + b"\xff" * 32))
    yield row("ECDSA signature, something behind s", "ECDSA signature's end", p256, "signature-invalid", signature=ecdsa(r, s, b"\0"))
    yield row("security key, another application", "security key.application", sk, "signature-invalid",
              wire=string(sk.kind) + sk.wire[4 + len(sk.kind):-8] + string("web:"))
    yield row("security key, without an application", "security key.application", sk, wire=sk.wire[:-8])
    yield row("security key, a key of 31 bytes", "security key.bytes", sk, wire=string(sk.kind) + string(bytes(31)) + string("ssh:"))
    yield row("security key, something behind it", "security key's end", sk, wire=sk.wire + b"\0")
    whole = sk.sign(data)
    yield row("security key's signature, another counter", "security key's counter", sk, "signature-invalid", signature=whole[:-1] + b"\x08")
    yield row("security key's signature, without a counter", "security key's counter", sk, signature=whole[:-4])
    yield row("security key's signature, without flags", "security key's flags", sk, signature=whole[:-5])
    yield row("security key's signature, something behind it", "security key's signature's end", sk, signature=whole + b"\0")
    yield row("Ed25519 signature, 65 bytes", "Ed25519 signature.bytes", ed, "signature-invalid", signature=string("ssh-ed25519") + string(bytes(65)))
    yield row("Ed25519 key, of all zeroes", "Ed25519 key.bytes", ed, "signature-invalid", wire=string("ssh-ed25519") + string(bytes(32)))
    yield row("Ed25519 key, another R", "Ed25519 signature.R", ed, "signature-invalid",
              signature=string("ssh-ed25519") + string(ed.sign(data)[19:51][::-1] + ed.sign(data)[51:]))


def loose_rsa():
    """An RSA key whose modulus has one zero more in front than it needs: another form of the same key."""
    n = RSA("rsa-sha2-512").n
    return string("ssh-rsa") + mpint(65537) + string(b"\0\0" + n.to_bytes(256, "big"))


def invalid(key):
    other = Ed25519("somebody else")
    wrong = key.sign(signed_data("session@ecluse", MESSAGE))
    made = key.sign(signed_data(BUNDLE, MESSAGE))
    s = int.from_bytes(made[-32:], "little") + L
    rows = (("another message", blob(key, BUNDLE, MESSAGE + b" "), "G-1"), ("another key", blob(other, BUNDLE, MESSAGE, wire=key.wire), "G-1"),
            ("a bit of the signature", blob(key, BUNDLE, MESSAGE, signature=made[:-40] + bytes([made[-40] ^ 1]) + made[-39:]), "G-1"),
            ("the message itself is signed", blob(key, BUNDLE, MESSAGE, signature=key.sign(MESSAGE)), "G-1"),
            ("S that is not reduced", blob(key, BUNDLE, MESSAGE, signature=made[:-32] + s.to_bytes(32, "little")), "G-1"),
            ("made for another namespace than it says", blob(key, BUNDLE, MESSAGE, signature=wrong), "G-3"))
    for name, raw, rule in rows:
        yield refuse("signature, " + name, rule, "A signature that does not verify.", given(raw), "signature-invalid")
    for name, raw in (("a security key without a person's presence", blob(SecurityKey("sk", flags=0), BUNDLE, MESSAGE)),
                      ("RSA with the other SHA-2 than it says", blob(RSA("rsa-sha2-512", "rsa-sha2-256"), BUNDLE, MESSAGE)),
                      ("63 bytes", blob(key, BUNDLE, MESSAGE, signature=made[:15] + string(made[19:-1])))):
        yield refuse("signature, " + name, "G-1", "A signature that does not verify.", given(raw), "signature-invalid")
    for name, k in (("RSA", RSA("rsa-sha2-512")), ("ECDSA", P256("ecdsa")), ("a security key", SecurityKey("sk"))):
        yield refuse(f"signature, another message under {name}", "G-1", "A signature that does not verify.", given(blob(k, BUNDLE, MESSAGE + b" ")),
                     "signature-invalid")


def text(right):
    t = armor(right)
    yield accept("armor", "G-1", "ssh-keygen's text.", {"kind": "armor", "text": t}, {"blob": right.hex()})
    for n in (105, 106, 107):
        raw = fixed("armored", n)
        yield accept(f"armor of {n} bytes", "G-1", "Base64 with and without padding, lines full or not.", {"kind": "armor", "text": armor(raw)},
                     {"blob": raw.hex()})
    lines = t.split("\n")
    padded = armor(fixed("armored", 106))
    loose = padded.replace("==\n", "=\n") if "==\n" in padded else padded.replace("=\n", "\n")
    rows = (("76 columns", armor(right, 76)), ("carriage returns", armor(right, newline="\r\n")), ("no line feed at the end", t[:-1]),
            ("a line more at the end", t + "\n"),
            ("a line before", "\n" + t), ("a space at the end of a line", t.replace(lines[1], lines[1] + " ")),
            ("another label", t.replace("SSH SIGNATURE", "PGP SIGNATURE")),
            ("no last line", "\n".join(lines[:-2]) + "\n"), ("a header", t.replace(lines[0], lines[0] + "\nComment: x\n")), ("padding that is cut", loose),
            ("a character that is no base64", t.replace(lines[2], "*" + lines[2][1:])), ("empty", ""), ("two of them", t + t), ("raw bytes", "SSHSIG"))
    for name, wrong in rows:
        assert wrong != t
        yield refuse("armor, " + name, "G-1", "Any other text.", {"kind": "armor", "text": wrong}, "signature-format")


def abandons(key):
    a = records.an_abandon()
    fields = records.abandon_fields(a)
    message = b"ecluse abandon 1\n" + fields
    given_ = {"kind": "abandon", "bundle": a["bundle"], "epoch": a["epoch"], "tenant": a["tenant"], "reason": a["reason"], "message": message.hex()}
    yield accept("abandon", "R-9", "What the signature of an abandon covers.", given_ | {"blob": blob(key, "abandon@ecluse", message).hex()},
                 {"key": key.wire.hex(), "key_id": key_id(key.wire).hex()})
    yield refuse("abandon, without the preamble", "R-9", "The preamble is signed.", given_ | {"blob": blob(key, "abandon@ecluse", fields).hex()},
                 "signature-invalid")
    yield refuse("abandon, of another bundle", "R-9", "All fields before the signature are signed.",
                 given_ | {"blob": blob(key, "abandon@ecluse", message.replace(fixed("bundle", 16), fixed("other", 16))).hex()}, "signature-invalid")
