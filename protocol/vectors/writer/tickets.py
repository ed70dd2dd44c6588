"""Section 13: codes that a person carries, from what they say to what is typed and back (T-1 to T-9)."""

import hashlib
import hmac

from .wire import accept, fixed, refuse, str8

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
MOST = (1 << 53) - 1
CHUNKS = (1 << 24) + (1 << 18)

KEY, OTHER_KEY = fixed("ticket key", 32), fixed("another ticket key", 32)
EPOCH, OTHER_EPOCH = fixed("ticket epoch", 16), fixed("another ticket epoch", 16)
TENANTS = ["cssf", "default", "n" * 64]
BUNDLE = fixed("ticket bundle", 16)

BY_SEQUENCE, BY_BUNDLE, RECEIPT = 0, 1, 2


def times(a, b):
    """The product in GF(2)[x] modulo x^5 + x^2 + 1."""
    product = 0
    for bit in range(5):
        if b >> bit & 1:
            product ^= a << bit
    for bit in (8, 7, 6, 5):
        if product >> bit & 1:
            product ^= 0b100101 << bit - 5
    return product


def group(place, data):
    sum_, weight = place, 1
    for symbol in data:
        weight = times(weight, 2)
        sum_ ^= times(weight, symbol)
    return list(data) + [sum_]


def bits(b, n):
    """The first n symbols of five bits of some bytes."""
    text = "".join(f"{x:08b}" for x in b).ljust(5 * n, "0")
    return [int(text[5 * i:5 * i + 5], 2) for i in range(n)]


def number(n):
    digits = f"{n:x}"
    return [int(d, 16) + 16 for d in digits[:-1]] + [int(digits[-1], 16)]


def numbers(*ns):
    return [s for n in ns for s in number(n)]


def mac(key, title, epoch, tenant, rest=b""):
    return hmac.new(key, title + epoch + str8(tenant) + rest, hashlib.sha256).digest()


def content(kind, body, tenant="cssf", key=KEY, epoch=EPOCH, version=1, groups=None, zeroes=None, tag=None):
    """The symbols of a code without its checks."""
    body = body + [0] * (-(26 - 1 + len(body)) % 5 if zeroes is None else zeroes)
    first = 4 * version + kind
    mark = bits(hashlib.sha256(b"ecluse ticket epoch 1\n" + epoch).digest(), 4)
    whose = bits(mac(key, b"ecluse ticket tenant 1\n", epoch, tenant), 3)
    proof = bits(mac(key, b"ecluse ticket 1\n", epoch, tenant, bytes([first] + body)), 16) if tag is None else tag
    symbols = [first, 0] + mark + whose + proof + body
    symbols[1] = len(symbols) // 5 if groups is None else groups
    return symbols


def groups_of(symbols):
    return ["".join(ALPHABET[s] for s in group(i // 5 + 1, symbols[i:i + 5])) for i in range(0, len(symbols), 5)]


def code(*given, **named):
    return "-".join(groups_of(content(*given, **named)))


def ranges(list_):
    out, at = number(len(list_)), 0
    for first, count in list_:
        out += numbers(first - at, count)
        at = first + count
    return out


def by_sequence(parts):
    """parts are (sequence, how many, ranges)."""
    out, last = number(len(parts)), 0
    for sequence, count, lacking in parts:
        out += number(sequence - last) + ranges(lacking) + ([] if lacking else number(count))
        last = sequence + count - 1
    return out


def by_bundle(lacking, bundle=BUNDLE):
    return bits(bundle, 26) + ranges(lacking)


def chain(digests):
    return bits(hashlib.sha256(b"ecluse receipt chain 1\n" + b"".join(digests)).digest(), 8)


def digest(sequence):
    return fixed(f"manifest {sequence}", 32)


def receipt(runs, digests=None):
    out, last = chain([digest(to) for _, to in runs] if digests is None else digests) + number(len(runs)), 0
    for first, to in runs:
        out += numbers(first - last - 1, to - first + 1)
        last = to
    return out


def given(text, **other):
    return {"code": text, "key": KEY.hex(), "epoch": EPOCH.hex(), "tenants": TENANTS, **other}


def ticket_values(parts, tenant="cssf", bundle=None):
    return {"tenant": tenant, "bundle": bundle.hex() if bundle else "",
            "parts": [{"sequence": s, "count": n, "ranges": [list(r) for r in lacking]} for s, n, lacking in parts], "runs": []}


def receipt_values(runs, tenant="cssf"):
    return {"tenant": tenant, "bundle": "", "parts": [], "runs": [list(r) for r in runs]}


def good():
    rule, out = "T-8", []
    tickets = {
        "one bundle that never came": [(7, 1, [])],
        "the first of all": [(1, 1, [])],
        "many in a row": [(1000, 250, [])],
        "the last sequence": [(MOST, 1, [])],
        "every sequence": [(1, MOST, [])],
        "one chunk": [(7, 1, [(0, 1)])],
        "chunks in several ranges": [(12, 1, [(0, 1), (15, 16), (255, 256), (4095, 1), (65536, 0)])],
        "the last chunk that can be": [(12, 1, [(CHUNKS - 1, 1)])],
        "all but the first chunk": [(12, 1, [(1, 0)])],
        "several bundles": [(3, 1, [(2, 1)]), (4, 2, []), (6, 1, [(0, 3), (5, 0)]), (4000, 1, [])],
    }
    for name, parts in tickets.items():
        out.append(accept(name, rule, "A ticket by sequences.", given(code(BY_SEQUENCE, by_sequence(parts))), ticket_values(parts)))
    for name, lacking in {"all of a bundle by its id": [], "parts of a bundle by its id": [(3, 2), (9, 0)]}.items():
        out.append(accept(name, "T-7", "A ticket by bundle.", given(code(BY_BUNDLE, by_bundle(lacking))), ticket_values([(0, 1, lacking)], bundle=BUNDLE)))
    for name, runs in {"all up to 9": [(1, 9)], "none before 5": [(5, 5)], "a gap and later ones": [(1, 40), (42, 42), (50, 1000)], "all there can be": [(1, MOST)]}.items():
        digests = [digest(to).hex() for _, to in runs]
        out.append(accept(name, "T-9", "A receipt, and the digests that its sender knows.", given(code(RECEIPT, receipt(runs)), digests=digests), receipt_values(runs)))
    for tenant in TENANTS[1:]:
        parts = [(7, 1, [])]
        out.append(accept(f"tenant of {len(tenant)} characters", "T-5", "Each tenant has a tag of its own.",
                          given(code(BY_SEQUENCE, by_sequence(parts), tenant=tenant)), ticket_values(parts, tenant=tenant)))
    for length in range(1, 6):  # the body ends on each place of a group
        parts = [(16 ** (length + 3), 1, [])]
        out.append(accept(f"a body that ends {length} on", "T-6", "Zeroes fill the last group.", given(code(BY_SEQUENCE, by_sequence(parts))), ticket_values(parts)))
    full = [(12, 1, [(16 * i + 1, 14) for i in range(29)] + [(500, 1)])]
    assert len(by_sequence(full)) == 65, len(by_sequence(full))
    text = code(BY_SEQUENCE, by_sequence(full))
    assert len(text) == 18 * 7 - 1
    out.append(accept("the longest code", "T-3", "18 groups: 125 characters.", given(text), ticket_values(full)))
    return out


def typed():
    parts = [(3, 1, [(2, 1)]), (4, 2, []), (4000, 1, [])]
    text = code(BY_SEQUENCE, by_sequence(parts))
    assert "1" in text and "0" in text
    ways = {
        "lower case": text.lower(), "without separators": text.replace("-", ""), "lower case without separators": text.replace("-", "").lower(),
        "with spaces": text.replace("-", " "), "with line feeds around": "\r\n\t " + text + "\n", "in pieces of four": " ".join(
            text.replace("-", "")[i:i + 4] for i in range(0, len(text), 4)),
        "two groups as one": text.replace("-", "", 1), "O for 0": text.replace("0", "O"), "o for 0": text.replace("0", "o"),
        "I for 1": text.replace("1", "I"), "l for 1": text.replace("1", "l"), "L for 1": text.replace("1", "L"), "i for 1": text.replace("1", "i"),
    }
    return [accept("typed " + name, "T-1", "However it is typed, it says the same.", given(t, again=text), ticket_values(parts)) for name, t in ways.items()]


def mistyped():
    symbols = content(BY_SEQUENCE, by_sequence([(3, 1, [(2, 1)]), (4, 2, []), (4000, 1, [])]))
    g = groups_of(symbols)
    one = lambda n, text: "-".join(g[:n - 1] + [text] + g[n:])  # noqa: E731
    next_ = lambda c: ALPHABET[(ALPHABET.index(c) + 1) % 32]  # noqa: E731
    swapped = next(i for i in range(5) if g[2][i] != g[2][i + 1])
    over = next(n for n in range(1, len(g)) if g[n - 1][5] != g[n][0])
    exchanged = g[:]
    exchanged[1], exchanged[4] = g[4], g[1]
    across = g[:]
    across[over - 1], across[over] = g[over - 1][:5] + g[over][0], g[over - 1][5] + g[over][1:]
    rows = [
        ("a wrong character", "T-2", one(4, g[3][:2] + next_(g[3][2]) + g[3][3:]), [4]),
        ("a wrong check", "T-2", one(1, g[0][:5] + next_(g[0][5])), [1]),
        ("neighbours in the wrong order", "T-2", one(3, g[2][:swapped] + g[2][swapped + 1] + g[2][swapped] + g[2][swapped + 2:]), [3]),
        ("neighbours of two groups", "T-2", "-".join(across), [over, over + 1]),
        ("two groups exchanged", "T-2", "-".join(exchanged), [2, 5]),
        ("a wrong character, without separators", "T-2", one(4, g[3][:2] + next_(g[3][2]) + g[3][3:]).replace("-", "").lower(), [4]),
        ("a character left out", "T-2", one(5, g[4][1:]), [5]),
        ("a character doubled", "T-2", one(2, g[1][0] + g[1]), [2]),
        ("a character left out at the end", "T-2", one(len(g), g[-1][:-1]), [len(g)]),
        ("the letter U", "T-1", one(3, "U" + g[2][1:]), [3]),
        ("a character of no alphabet", "T-1", one(6, g[5][:5] + "\u00e9"), [6]),
        ("a full stop between groups", "T-1", g[0] + "." + "-".join(g[1:]), [2]),
        ("the last group left out", "T-3", "-".join(g[:-1]), []),
        ("a group too many", "T-3", "-".join(groups_of(symbols + [0] * 5)), []),
        ("nothing", "T-3", "", []),
        ("one group", "T-3", g[0], []),
    ]
    return [refuse(name, rule, "A fault of the typist, with the groups that are named.", given(text, groups=named), "ticket-code") for name, rule, text, named in rows]


def refused():
    parts = by_sequence([(7, 1, [])])
    tag = content(BY_SEQUENCE, parts)[9:25]
    bad = lambda body, **named: code(BY_SEQUENCE, body, **named)  # noqa: E731
    rows = [
        ("version 0", "T-3", bad(parts, version=0), "ticket-version"), ("version 2", "T-3", bad(parts, version=2), "ticket-version"),
        ("kind 3", "T-3", code(3, parts), "ticket-version"),
        ("five groups", "T-3", "-".join(groups_of(content(BY_SEQUENCE, []))), "ticket-code"),
        ("19 groups", "T-3", "-".join(groups_of(content(BY_SEQUENCE, parts + [0] * (70 - len(parts)), zeroes=0))), "ticket-code"),
        ("another epoch", "T-4", bad(parts, epoch=OTHER_EPOCH), "ticket-epoch"),
        ("another sender", "T-4", bad(parts, epoch=OTHER_EPOCH, key=OTHER_KEY), "ticket-epoch"),
        ("another key", "T-5", bad(parts, key=OTHER_KEY), "ticket-tag"),
        ("a tenant of nobody", "T-5", bad(parts, tenant="other"), "ticket-tag"),
        ("a tag with one bit", "T-5", bad(parts, tag=tag[:15] + [tag[15] ^ 1]), "ticket-tag"),
        ("the tag of another kind", "T-5", code(BY_BUNDLE, parts, tag=tag), "ticket-tag"),
        ("the tag of another sequence", "T-5", bad(by_sequence([(8, 1, [])]), tag=tag), "ticket-tag"),
        ("a tag of zeroes", "T-5", bad(parts, tag=[0] * 16), "ticket-tag"),
        ("a number with a zero before it", "T-6", bad([1, 16, 7, 0, 1]), "ticket-body"),
        ("a number above 2^53 - 1", "T-6", bad(number(1) + [17] + [16] * 12 + [31, 0] + numbers(0, 1)), "ticket-body"),
        ("2^53", "T-6", bad(number(1) + number(1 << 53) + numbers(0, 1)), "ticket-body"),
        ("a body that is cut off", "T-6", bad([1, 7, 0, 31, 31]), "ticket-body"),
        ("something behind the body", "T-6", bad(parts + [1]), "ticket-body"),
        ("a group of zeroes too many", "T-6", bad(parts, zeroes=-(25 + len(parts)) % 5 + 5), "ticket-body"),
        ("a range of nothing between", "T-7", bad(numbers(1, 7, 2, 0, 4, 0, 3)), "ticket-body"),
        ("a range behind the one to the end", "T-7", bad(numbers(1, 7, 2, 1, 0, 2, 1)), "ticket-body"),
        ("the whole bundle as a range", "T-7", bad(numbers(1, 7, 1, 0, 0)), "ticket-body"),
        ("a chunk above the limit", "T-7", bad(numbers(1, 7, 1, CHUNKS, 1)), "ticket-body"),
        ("a chunk above the limit, to the end", "T-7", bad(numbers(1, 7, 1, CHUNKS, 0)), "ticket-body"),
        ("a range beyond the limit", "T-7", bad(numbers(1, 7, 1, CHUNKS - 1, 2)), "ticket-body"),
        ("fewer ranges than it says", "T-7", bad(numbers(1, 7, 15, 1, 1)), "ticket-body"),
        ("no part", "T-8", bad(number(0)), "ticket-body"),
        ("sequence 0", "T-8", bad(numbers(1, 0, 0, 1)), "ticket-body"),
        ("a sequence twice", "T-8", bad(numbers(2, 7, 0, 1, 0, 0, 1)), "ticket-body"),
        ("no bundle in a row", "T-8", bad(numbers(1, 7, 0, 0)), "ticket-body"),
        ("a row beyond the last sequence", "T-8", bad(numbers(1, MOST, 0, 2)), "ticket-body"),
        ("a part beyond the last sequence", "T-8", bad(numbers(2, MOST, 0, 1, 1, 0, 1)), "ticket-body"),
        ("fewer parts than it says", "T-8", bad(numbers(2, 7, 0, 1)), "ticket-body"),
        ("a bundle of zeroes", "T-8", code(BY_BUNDLE, by_bundle([], bundle=bytes(16))), "ticket-body"),
        ("a bundle with a bit too many", "T-8", code(BY_BUNDLE, by_bundle([])[:25] + [by_bundle([])[25] ^ 1] + ranges([])), "ticket-body"),
        ("a bundle that is cut off", "T-8", code(BY_BUNDLE, by_bundle([])[:25]), "ticket-body"),
        ("no run", "T-9", code(RECEIPT, chain([]) + number(0)), "ticket-body"),
        ("a run of nothing", "T-9", code(RECEIPT, chain([digest(0)]) + numbers(1, 0, 0)), "ticket-body"),
        ("a run that belongs to the one before", "T-9", code(RECEIPT, chain([digest(2), digest(3)]) + numbers(2, 0, 2, 0, 1)), "ticket-body"),
        ("a run beyond the last sequence", "T-9", code(RECEIPT, chain([digest(0)]) + numbers(1, 1, MOST)), "ticket-body"),
        ("a run that begins beyond the last sequence", "T-9", code(RECEIPT, chain([digest(0)]) + numbers(1, MOST, 1)), "ticket-body"),
        ("a receipt that is cut off", "T-9", code(RECEIPT, chain([digest(9)])[:5]), "ticket-body"),
    ]
    out = [refuse(name, rule, "One fault.", given(text), reason) for name, rule, text, reason in rows]
    runs = [(1, 40), (42, 42)]
    for name, digests in {"another manifest in the first run": [digest(39), digest(42)], "another manifest in the last run": [digest(40), digest(41)],
                          "the manifests in another order": [digest(42), digest(40)]}.items():
        out.append(refuse(name, "T-9", "What the sender has given out is not what is safe.", given(code(RECEIPT, receipt(runs)), digests=[d.hex() for d in digests]), "ticket-chain"))
    return out


def vectors():
    return good() + typed() + mistyped() + refused()
