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
    return [*good(key), *envelope(key, right), *invalid(key), *text(right), *abandons(key)]


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
