"""Section 2: ids, names, digests, marks."""

import hashlib

from .wire import accept, base32, fixed, mark, refuse


def vectors():
    out = []
    for kind in ("id", "epoch"):
        b = fixed(kind, 16)
        good = base32(b)
        out += [accept(f"{kind}, any bytes", "I-1", "16 bytes are 26 characters.", {"kind": kind, "text": good}, {"hex": b.hex()}),
                accept(f"{kind}, all ones", "I-1", "The largest has a last character with two zero bits.",
                       {"kind": kind, "text": base32(b"\xff" * 16)}, {"hex": "ff" * 16})]
        for name, text in (("upper case", good.upper()), ("padding", good + "======"), ("25 characters", good[:25]), ("27 characters", good + "a"),
                           ("a character outside the alphabet", good[:5] + "1" + good[6:]), ("an unused bit", base32(b"\xff" * 16)[:25] + "5"),
                           ("the other unused bit", base32(b"\xff" * 16)[:25] + "6"), ("all zero", "a" * 26), ("empty", ""), ("a line feed", good + "\n")):
            out.append(refuse(f"{kind}, {name}", "I-1", "Any other text, and the zero id, is refused.", {"kind": kind, "text": text}, "manifest-field"))
    for name in ("a", "0", "css-f_1.x", "a" * 64, "a-", "a_", "9..9"):
        out.append(accept(f"name {name}", "I-2", "A name in the grammar.", {"kind": "name", "text": name}, {"text": name}))
    for name in ("", "a" * 65, ".a", "-a", "_a", "a.", "A", "a b", "a/b", "\u00e9", "a\0", "a\n"):
        out.append(refuse(f"name {name!a}", "I-2", "A name outside the grammar.", {"kind": "name", "text": name}, "manifest-field"))
    digest = hashlib.sha256(b"abc").hexdigest()
    out.append(accept("digest of abc", "I-3", "64 lower-case digits.", {"kind": "digest", "text": digest, "of": b"abc".hex()}, {"hex": digest}))
    for name, text in (("upper case", digest.upper()), ("short", digest[:63]), ("long", digest + "0"), ("no digit", digest[:63] + "g"), ("empty", "")):
        out.append(refuse("digest, " + name, "I-3", "Any other text.", {"kind": "digest", "text": text}, "manifest-field"))
    for n in (0, 1, 3, 4, 7, 8, 11, 31, 32, 33, 63, 64, 100, 4096):
        content = fixed("marked", n)
        out.append(accept(f"mark of {n} bytes", "I-4", "XXH64 with seed 0, as 16 digits.", {"kind": "mark", "text": mark(content), "of": content.hex()},
                          {"hex": mark(content)}))
    good = mark(b"abc")
    assert good != good.upper()
    for name, text in (("upper case", good.upper()), ("short", good[:15]), ("long", good + "0"), ("no digit", good[:15] + "g"), ("a sign", "+" + good[1:])):
        out.append(refuse("mark, " + name, "I-4", "Any other text.", {"kind": "mark", "text": text}, "manifest-field"))
    return out
