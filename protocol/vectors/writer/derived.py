"""Whole sessions: from a receiver's seed to the first packet of each link (S-2 to S-5, S-9, P-5)."""

import hashlib

from . import packets, sessions, sshsig
from .kem import Context, Receiver
from .wire import accept, fixed, packed, refuse

NUMBER, EPOCH = 1769903999123, fixed("epoch", 16)


def announced(label, links, *, point=None):
    """A session's announcement and its keys; point replaces the encapsulation's X25519 half."""
    receiver, sender = Receiver(fixed("receiver seed " + label, 32)), sshsig.Ed25519("session " + label)
    shared, enc = receiver.encapsulate(fixed("m " + label, 32), fixed("ephemeral " + label, 32))
    enc = enc if point is None else enc[:1088] + point
    info = sessions.info(sender.wire, receiver.public, NUMBER, EPOCH, links)
    ids = hashlib.sha256(sender.wire).digest() + hashlib.sha256(receiver.public).digest()
    blob = sshsig.blob(sender, "session@ecluse", info + enc)
    body = NUMBER.to_bytes(8, "big") + EPOCH + ids + bytes([links, 1]) + (1120).to_bytes(2, "big") + len(blob).to_bytes(2, "big") + bytes(10) + enc + blob
    given = {"seed": receiver.seed.hex(), "receiver_key": receiver.public.hex(), "sender_key": sender.wire.hex(),
             "announcement": (sessions.clear(0, 1) + body).hex()}
    return given, Context(shared, info), enc


def vectors():
    out = []
    for label, links in (("one", 1), ("two", 2), ("sixteen", 16)):
        given, context, enc = announced(label, links)
        assert len(enc) == 1120 and len(given["receiver_key"]) == 2 * 1216
        each = []
        for i in range(links):
            key, tag = context.export(f"ecluse 1 packet key, link {i}", 32), context.export(f"ecluse 1 session tag, link {i}", 3)
            shard = bytes([0x40 + i]) * 1408
            plain = packets.inner(block=i, index=1, k=3, m=1) + shard
            row = {"key": key.hex(), "tag": tag.hex()}
            if i in (0, links - 1):
                row |= {"packet": packed(packets.packet(packets.clear(i, tag=tag), plain, key)), "shard": packed(shard)}
            each.append(row)
        out.append(accept(f"a session of {links}", "S-9", "An announcement, the keys that follow from it, and packets under them.", given,
                          {"links": each}) | {"also": ["S-2", "S-3", "S-4", "S-5"]})
    for name, point in (("a point of order 1", bytes(32)), ("a point of order 2", (1).to_bytes(32, "little")),
                        ("a point of order 8", bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"))):
        given, _, _ = announced("one", 1, point=point)
        out.append(refuse(f"an encapsulation with {name}", "S-9", "X25519 gives zeroes: it does not open.", given, "session-kem"))
    return out
