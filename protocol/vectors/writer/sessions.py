"""Section 4: announcements, their parts, and the bytes that are signed and derived from (S-1 to S-5, S-9)."""

import hashlib

from . import sshsig
from .wire import accept, fixed, packed, refuse, u16, u32, u64, u8

PART = 1408
SENDER = sshsig.Ed25519("session")
RECEIVER = fixed("a KEM's public key", 1216)
EPOCH = fixed("epoch", 16)


def info(sender, receiver, number, epoch, links, kem=1):
    return b"ecluse session 1\n" + u32(len(sender)) + sender + u32(len(receiver)) + receiver + u64(number) + epoch + u8(links) + u8(kem)


def body(*, number=1769903999123, epoch=EPOCH, links=2, kem=1, e=1120, s=None, zero=bytes(10), encapsulation=b"\xe0" * 1120, signature=b"\x51" * 184):
    s = len(signature) if s is None else s
    ids = hashlib.sha256(SENDER.wire).digest() + hashlib.sha256(RECEIVER).digest()
    return u64(number) + epoch + ids + u8(links) + u8(kem) + u16(e) + u16(s) + zero + encapsulation + signature


def clear(part, parts, *, tag=b"\0\0\0", zero=bytes(10)):
    return b"\x11" + tag + u8(part) + u8(parts) + zero


def datagrams(b, size=PART):
    cut = [b[i:i + size] for i in range(0, len(b), size)]
    return [clear(i, len(cut)) + x for i, x in enumerate(cut)]


def given(all_):
    return {"datagrams": [packed(d) for d in all_]}


def good(name, rule, what, order=None, **change):
    f = {"number": 1769903999123, "epoch": EPOCH, "links": 2, "encapsulation": b"\xe0" * 1120, "signature": b"\x51" * 184} | change
    all_ = datagrams(body(**change))
    values = {"number": f["number"], "epoch": f["epoch"].hex(), "sender": hashlib.sha256(SENDER.wire).hexdigest(),
              "receiver": hashlib.sha256(RECEIVER).hexdigest(),
              "links": f["links"], "encapsulation": packed(f["encapsulation"]), "signature": packed(f["signature"])}
    sent = [all_[i] for i in order] if order else all_
    return accept(name, rule, what, given(sent) | {"order": order or list(range(len(all_)))}, values)


def accepted():
    large = b"\x51" * 8192
    yield good("an announcement", "S-1", "With an Ed25519 signature it is one datagram.")
    yield good("random bytes", "S-1", "What is not zero is where it should be.", encapsulation=fixed("enc", 1120), signature=fixed("sig", 184))
    yield good("the smallest signature", "S-2", "Signatures of section 1.", signature=b"\x51" * 64)
    yield good("the largest signature", "S-1", "In seven parts.", signature=large)
    yield good("parts in another order", "S-1", "Datagrams overtake each other.", [6, 2, 0, 5, 1, 4, 3], signature=large)
    yield good("a part twice", "S-1", "Datagrams are repeated.", [0, 0, 1], signature=b"\x51" * 1000)
    yield good("a full last part", "S-1", "The last part may hold 1,408 bytes.", signature=b"\x51" * (2 * PART - 1224))
    yield good("a last part of one byte", "S-1", "The last part is not empty.", signature=b"\x51" * (PART - 1224 + 1))
    yield good("one link", "S-2", "1 to 16 links.", links=1)
    yield good("sixteen links", "S-2", "1 to 16 links.", links=16)
    yield good("number 0", "S-1", "Any number of 64 bits.", number=0)
    yield good("the last number", "S-1", "Any number of 64 bits.", number=(1 << 64) - 1)


def refused():
    b, two, fields = body(), body(signature=b"\x51" * 1000), "A field outside its range, or a reserved byte."
    for name, all_, reason in (
            ("a body one byte short", datagrams(b[:-1]), "announce-length"), ("a body one byte long", datagrams(b + b"\0"), "announce-length"),
            ("fixed fields cut", datagrams(b[:103]), "announce-length"), ("fixed fields alone", datagrams(b[:104]), "announce-length"),
            ("s that says more", datagrams(body(s=185)), "announce-length"), ("s that says less", datagrams(body(s=183)), "announce-length"),
            ("an empty part", [clear(0, 1)], "announce-length"), ("an empty last part", [clear(1, 2)], "announce-length"),
            ("a first part one byte short", [clear(0, 2) + two[:1407]], "announce-parts"), ("a part one byte long", [clear(0, 2) + two[:1409]],
                                                                                            "announce-length"),
            ("a last part one byte long", [clear(1, 2) + b"\x51" * 1409], "announce-length"),
            ("no parts", [clear(0, 0) + b], "announce-parts"), ("nine parts", [clear(0, 9) + two[:1408]], "announce-parts"),
            ("a part that is not among them", [clear(1, 1) + b], "announce-parts"), ("a part far outside", [clear(255, 2) + two[:1408]], "announce-parts")):
        yield refuse("announcement, " + name, "S-1", "Lengths and parts must add up.", given(all_), reason)
    for n, part in ((1, "tag"), (4, "part"), (5, "parts"), (15, "zero")):
        yield refuse(f"announcement, {n} bytes of the clear header", "P-1", "What has no clear header is no announcement either.", given([clear(0, 1)[:n]]),
                     "packet-length", f"announcement.header's {part}")
    for field, n in (("number", 3), ("epoch", 12), ("sender", 30), ("receiver", 87), ("links", 88), ("kem", 89), ("e", 91), ("s", 92), ("zero", 99),
                     ("encapsulation", 700), ("signature", 1300)):
        yield refuse(f"announcement, cut in {field}", "S-1", "Lengths and parts must add up.", given(datagrams(b[:n])), "announce-length",
                     f"announcement.{field}")
    for name, change in (
            ("kem 0", {"kem": 0}), ("kem 2", {"kem": 2}), ("e one less", {"e": 1119, "encapsulation": b"\xe0" * 1119}),
            ("e one more", {"e": 1121, "encapsulation": b"\xe0" * 1121}),
            ("no encapsulation", {"e": 0, "encapsulation": b""}), ("no links", {"links": 0}), ("17 links", {"links": 17}),
            ("a signature of 63 bytes", {"signature": b"\x51" * 63}),
            ("a signature of 8,193 bytes", {"signature": b"\x51" * 8193}), ("no signature", {"signature": b""}), ("no epoch", {"epoch": bytes(16)}),
            ("the first reserved byte", {"zero": b"\1" + bytes(9)}), ("the last reserved byte", {"zero": bytes(9) + b"\1"})):
        yield refuse("announcement, " + name, "S-2", fields, given(datagrams(body(**change))), "announce-fields")
    for name, header in (("a tag", clear(0, 1, tag=b"\0\0\1")), ("a reserved byte of the clear header", clear(0, 1, zero=b"\1" + bytes(9))),
                         ("the last byte of the clear header", clear(0, 1, zero=bytes(9) + b"\1"))):
        yield refuse("announcement, " + name, "S-2", fields, given([header + b]), "announce-fields")


def signed():
    for links in (1, 2, 16):
        number, encapsulation = 1769903999000 + links, fixed(f"enc {links}", 1120)
        i = info(SENDER.wire, RECEIVER, number, EPOCH, links)
        blob = sshsig.blob(SENDER, "session@ecluse", i + encapsulation)
        yield accept(f"signed, {links} links", "S-5", "What is derived from, what is signed, and the signature.",
                     {"sender_key": SENDER.wire.hex(), "receiver_key": RECEIVER.hex(), "number": number, "epoch": EPOCH.hex(), "links": links,
                      "encapsulation": encapsulation.hex()},
                     {"info": i.hex(), "message": (i + encapsulation).hex(), "signature": blob.hex(), "sender": hashlib.sha256(SENDER.wire).hexdigest(),
                      "receiver": hashlib.sha256(RECEIVER).hexdigest(), "keys": [f"ecluse 1 packet key, link {n}" for n in range(links)],
                      "tags": [f"ecluse 1 session tag, link {n}" for n in range(links)]}) | {"also": ["S-3", "S-4", "S-9"]}


def vectors():
    return [*accepted(), *refused(), *signed()]
