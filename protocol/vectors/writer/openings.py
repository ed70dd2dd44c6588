"""Section 4: an announcement before a receiver that knows keys, clocks and numbers (S-3 to S-7)."""

import hashlib

from . import sessions, sshsig
from .kem import Receiver
from .wire import accept, fixed, packed, refuse, u32, u64, u8

NOW, NUMBER, EPOCH, OTHER = 1769903999, 1769903999123, fixed("epoch", 16), fixed("another epoch", 16)
SENDER, STRANGER = sshsig.Ed25519("session opening"), sshsig.Ed25519("session of a stranger")
RECEIVER, ANOTHER = Receiver(fixed("receiver seed opening", 32)), Receiver(fixed("receiver seed another", 32))
_, ENC = RECEIVER.encapsulate(fixed("m opening", 32), fixed("ephemeral opening", 32))
_, ENC2 = RECEIVER.encapsulate(fixed("m opening 2", 32), fixed("ephemeral opening 2", 32))


def announcement(*, key=SENDER, receiver=RECEIVER, number=NUMBER, epoch=EPOCH, links=2, enc=ENC, info=None, message=None, blob=None, said=None, **wrong):
    """Its datagrams. What is said in the fields may differ from what was signed; wrong makes the signature's envelope so."""
    info = sessions.info(key.wire, receiver.public, number, epoch, links) if info is None else info
    made = sshsig.blob(key, "session@ecluse", info + enc if message is None else message, **wrong) if blob is None else blob
    f = {"number": number, "epoch": epoch, "sender": key.wire, "receiver": receiver.public, "links": links, "enc": enc} | (said or {})
    body = u64(f["number"]) + f["epoch"] + hashlib.sha256(f["sender"]).digest() + hashlib.sha256(f["receiver"]).digest() + u8(f["links"]) + u8(1)
    body += len(f["enc"]).to_bytes(2, "big") + len(made).to_bytes(2, "big") + bytes(10) + f["enc"] + made
    return sessions.datagrams(body)


def given(datagrams, before=(), **how):
    """before are the announcements that were accepted; how says what allowed_signers says of the key."""
    return {"seed": RECEIVER.seed.hex(), "sender_key": SENDER.wire.hex(), "now": NOW, "before": [packed(d) for a in before for d in a],
            "announcement": [packed(d) for d in datagrams]} | how


def vectors():
    right = announcement()
    fine = "Whoever is enrolled, meant, signed, valid and newer opens a session."
    out = [accept("an opening", "S-5", fine, given(right)), accept("the same again", "S-7", fine, given(right, [right])),
           accept("a newer one", "S-7", fine, given(announcement(number=NUMBER + 1), [right])),
           accept("an older one of another epoch", "S-7", fine, given(announcement(number=5, epoch=OTHER), [right])),
           accept("in the first second", "S-6", fine, given(right, valid_after=NOW)), accept("in the last second", "S-6", fine, given(right, valid_before=NOW))]

    def bad(name, rule, field, datagrams, reason, before=(), what="The announcement is refused.", **how):
        out.append(refuse("opening, " + name, rule, what, given(datagrams, before, **how), reason, f"announcement.{field}"))

    bad("by a stranger", "S-3", "sender", announcement(key=STRANGER), "session-sender-unknown")
    bad("for another receiver", "S-3", "receiver", announcement(receiver=ANOTHER), "session-receiver-other")
    s, k, r = "session-signature", SENDER.wire, RECEIVER.public
    head, numbers, tail = b"ecluse session 1\n", u64(NUMBER) + EPOCH, u8(2) + u8(1)
    for name, field, info in (
            ("without the preamble", "info's preamble", u32(len(k)) + k + u32(len(r)) + r + numbers + tail),
            ("another preamble", "info's preamble", b"ecluse session 2\n" + u32(len(k)) + k + u32(len(r)) + r + numbers + tail),
            ("without the sender's length", "info's sender's length", head + k + u32(len(r)) + r + numbers + tail),
            ("with the sender's key id", "info's sender", head + u32(32) + hashlib.sha256(k).digest() + u32(len(r)) + r + numbers + tail),
            ("without the receiver's length", "info's receiver's length", head + u32(len(k)) + k + r + numbers + tail),
            ("without the receiver", "info's receiver", head + u32(len(k)) + k + numbers + tail),
            ("a number of the other order", "info's number", head + u32(len(k)) + k + u32(len(r)) + r + NUMBER.to_bytes(8, "little") + EPOCH + tail),
            ("without the epoch", "info's epoch", head + u32(len(k)) + k + u32(len(r)) + r + u64(NUMBER) + tail),
            ("without the links", "info's links", head + u32(len(k)) + k + u32(len(r)) + r + numbers + u8(1)),
            ("without the kem", "info's kem", head + u32(len(k)) + k + u32(len(r)) + r + numbers + u8(2))):
        bad(f"info {name}", "S-4", field, announcement(info=info), s, what="What is signed is this info.")
    for name, field, said in (("number", "number", {"number": NUMBER + 1}), ("epoch", "epoch", {"epoch": OTHER}), ("links", "links", {"links": 3}),
                              ("encapsulation", "encapsulation", {"enc": ENC2})):
        bad(f"another {name} than was signed", "S-5", field, announcement(said=said), s)
    bad("without the encapsulation in what is signed", "S-5", "message", announcement(message=sessions.info(k, r, NUMBER, EPOCH, 2)), s)
    message = sessions.info(k, r, NUMBER, EPOCH, 2) + ENC
    for name, field, blob in (
            ("another namespace", "signature's namespace", sshsig.blob(SENDER, "bundle@ecluse", message)),
            ("another hash", "signature's hash", sshsig.blob(SENDER, "session@ecluse", message, hash="sha256")),
            ("another magic", "signature's magic", sshsig.blob(SENDER, "session@ecluse", message, magic=b"SSHSIH")),
            ("another version", "signature's version", sshsig.blob(SENDER, "session@ecluse", message, version=2)),
            ("a reserved field", "signature's reserved", sshsig.blob(SENDER, "session@ecluse", message, reserved=b"x")),
            ("a stranger's key in the envelope", "signature's key", sshsig.blob(STRANGER, "session@ecluse", message)),
            ("a stranger's signature under the key", "signature's bytes", sshsig.blob(STRANGER, "session@ecluse", message, wire=SENDER.wire)),
            ("something behind the envelope", "signature's end", sshsig.blob(SENDER, "session@ecluse", message) + b"\0")):
        bad(name, "S-5", field, announcement(blob=blob), s)
    bad("a key without the namespace", "S-6", "key's namespaces", right, "session-key-namespace", namespaces="bundle@ecluse")
    bad("before valid-after", "S-6", "key's valid-after", right, "session-key-not-yet-valid", valid_after=NOW + 1)
    bad("after valid-before", "S-6", "key's valid-before", right, "session-key-expired", valid_before=NOW - 1)
    bad("a number below", "S-7", "number", announcement(number=NUMBER - 1), "session-number-old", [right])
    for name, field, other in (("other links", "links", announcement(links=3)), ("another encapsulation", "encapsulation", announcement(enc=ENC2))):
        bad(f"the same number with {name}", "S-7", field, other, "session-conflict", [right])
    bad("a point of order 2", "S-9", "encapsulation", announcement(enc=ENC[:1088] + (1).to_bytes(32, "little")), "session-kem")
    return out
