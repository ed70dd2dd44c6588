"""Section 11: a signed manifest before a receiver that has an allowed_signers (G-2, M-6, M-8)."""

import base64
import time

from . import manifests, sshsig
from .wire import accept, fixed, refuse

NOW = 1769903999
LOW, OTHER, STRANGER = sshsig.Ed25519("trust low"), sshsig.Ed25519("trust other"), sshsig.Ed25519("trust stranger")
SECURITY, CURVE, RSA = sshsig.SecurityKey("trust low"), sshsig.P256("trust low"), sshsig.RSA("rsa-sha2-512")
KINDS = (("Ed25519", LOW), ("a security key", SECURITY), ("ECDSA", CURVE), ("RSA", RSA))


def line(key, principal="ctie-low", namespaces="session@ecluse,bundle@ecluse", after=None, before=None):
    options = [f'namespaces="{namespaces}"'] if namespaces else []
    for option, at in (("valid-after", after), ("valid-before", before)):
        if at is not None:
            options.append(f'{option}="{time.strftime("%Y%m%d%H%M%SZ", time.gmtime(at))}"')
    return f'{principal} {",".join(options)}{" " if options else ""}{key.kind} {base64.b64encode(key.wire).decode()}\n'


def given(*, key=LOW, signers=None, sender="ctie-low", named="ctie-low", at=NOW, accepted=None, receiver=None):
    """sender opened the session, the manifest is that of named. accepted is the digest that was verified before, where this is looked at once more."""
    text = manifests.text(manifests.manifest(files=[manifests.file("n", 12)], dirs=[], sender=named)).encode()
    return {"signers": line(LOW) + line(OTHER, "other") if signers is None else signers, "sender": sender, "receiver": receiver or fixed("receiver", 32).hex(), "at": at,
            "accepted": accepted or "", "manifest": text.decode(), "signature": sshsig.blob(key, "bundle@ecluse", text).hex()}


def vectors():
    fine = "The key is listed for the name and the namespace, at that time, and the name opened the session."
    out = [accept("trusted", "G-2", fine, given())]
    out += [accept("trusted, " + name, "G-2", fine, given(**how)) for name, how in (
        ("without a list of namespaces", {"signers": line(LOW, namespaces=None)}), ("by a pattern of namespaces", {"signers": line(LOW, namespaces="*@ecluse")}),
        ("in its first second", {"signers": line(LOW, after=NOW)}), ("in its last second", {"signers": line(LOW, before=NOW)}),
        ("by the second of its lines", {"signers": line(LOW, before=NOW - 1) + line(LOW, after=NOW)}),
        ("another sender", {"key": OTHER, "sender": "other", "named": "other"}))]

    def bad(name, rule, field, reason, what="The bundle is refused.", **how):
        out.append(refuse("not trusted, " + name, rule, what, given(**how), reason, field))

    for name, key in KINDS:
        bad(f"a stranger's key, {name}", "G-2", f"allowed_signers: key of {name}", "signer-unknown", key=key, signers=line(STRANGER))
    bad("nobody is listed", "G-2", "allowed_signers", "signer-unknown", signers="# nobody\n")
    for name, namespaces in (("sessions alone", "session@ecluse"), ("something else", "git"), ("all but bundles", "!bundle@ecluse,*@ecluse")):
        bad("a key for " + name, "G-2", f"allowed_signers: namespaces, {name}", "signer-namespace", signers=line(LOW, namespaces=namespaces))
    for name, by in (("a second", 1), ("a year", 31536000)):
        bad(f"{name} too early", "G-2", "allowed_signers: valid-after", "signer-not-yet-valid", signers=line(LOW, after=NOW + by))
        bad(f"{name} too late", "G-2", "allowed_signers: valid-before", "signer-expired", signers=line(LOW, before=NOW - by))
    bad("between its two lines", "G-2", "allowed_signers: lines", "signer-not-yet-valid", signers=line(LOW, before=NOW - 1) + line(LOW, after=NOW + 1))
    bad("another's key", "G-2", "allowed_signers: principal", "signer-other", key=OTHER)
    bad("another's session", "G-2", "session: principal", "signer-other", sender="other")
    m8 = "A manifest names who made it, and for whom."
    bad("a manifest in another's name", "M-8", "manifest.sender", "manifest-sender", m8, named="other")
    bad("a manifest for another receiver", "M-8", "manifest.receiver", "manifest-receiver", m8, receiver=fixed("another receiver", 32).hex())
    bad("another manifest than was accepted", "M-6", "manifest", "content-mismatch", "What was verified once is not replaced by another, also where that is signed.",
        accepted=fixed("manifest 6", 32).hex())
    return out
