"""Vectors of blocks and the records in them: B-1 to B-3, R-1 to R-3, and what R-6, R-8 and R-10 say of one record."""

import zlib

from . import records as r
from .wire import accept, fixed, packed, refuse, u16, u32

MAX53, ZERO32 = (1 << 53) - 1, bytes(32).hex()


def given(b, number=7, k=1, unit=None):
    """What a reader is given; unit is a record that the block repeats from its first one on."""
    if unit is None:
        return {"number": number, "k": k, "block": packed(b)}
    n = 0
    while b.startswith(unit, 16 + n * len(unit)):
        n += 1
    return {"number": number, "k": k, "block": packed(b[:16]) + "{%s*%d}" % (unit.hex(), n) + packed(b[16 + n * len(unit):])}


def good(name, rule, what, *recs, number=7, k=1, shard=1408):
    b = r.block(b"".join(r.of(x) for x in recs), number=number, size=k * shard)
    return accept(name, rule, what, given(b, number, k), {"records": list(recs)})


def bad(name, rule, what, reason, wrong, k=1, after=True):
    """wrong is the bytes of one record, between two that are right; after tells whether the second one is still read."""
    first, last = r.a_later_slice(), r.a_later_slice(chunk=2)
    b = r.block(r.of(first) + wrong + r.of(last), size=k * 1408)
    v = refuse(name, rule, what, given(b, k=k), reason)
    return v | {"values": {"records": [first, {"refused": reason}] + ([last] if after else [])}}


def rule_of(name, what):
    """A name has its own rules, wherever it stands."""
    if what.split("'")[0] == "tenant":
        return "I-2"
    if name == "offer" and what.startswith("name"):
        return "N-2" if "control" in what else "N-1"
    return "R-3"


def limits(name, make, rows, k=1):
    """Rows of (what, changes that hold at the limit, changes just beyond it or None)."""
    for what, at, beyond in rows:
        if at is not None:
            yield good(f"{name}, {what}, at its limit", "R-3", "A value at its limit is taken.", make(**at), k=k)
        if beyond is not None:
            yield bad(f"{name}, {what}, beyond its limit", rule_of(name, what), "A value outside section 1 or its grammar is refused.", "record-body",
                      r.of(make(**beyond)), k=k)


def of_blocks():
    one = r.of(r.an_offer())
    yield good("an empty block", "B-2", "used may be 0.")
    yield good("one of each", "R-2", "The five types, in one block of two shards.", r.an_offer(), r.a_slice(), r.a_later_slice(), r.a_close(), r.an_abandon(),
               r.a_heartbeat(), k=2)
    yield good("number 0", "B-2", "Blocks count from 0.", r.an_offer(), number=0)
    yield good("the last number", "B-2", "Block numbers have 32 bits.", r.an_offer(), number=0xFFFFFFFF)
    full = r.a_later_slice(raw=4096, frame=4096, offset=1, data=fixed("full", 1408 - 16 - 8 - 34).hex())
    yield good("a full block", "B-2", "16 + used may be all of the block: nothing is left to pad.", full)
    yield good("the largest shard", "B-1", "Sizes are those of section 1.", r.an_offer(), shard=9088)
    b = r.block(one)
    for name, wrong, rule, reason in (
            ("another sum", r.block(one, sum=1), "B-1", "block-crc"),
            ("a sum that is not Castagnoli", u32(zlib.crc32(b[4:])) + b[4:], "B-1", "block-crc"),
            ("a sum over the whole", u32(r.crc32c(b)) + b[4:], "B-1", "block-crc"),
            ("a bit of a record", b[:40] + bytes([b[40] ^ 1]) + b[41:], "B-1", "block-crc"),
            ("a bit of the padding", b[:1400] + b"\1" + b[1401:], "B-1", "block-crc"),
            ("another number", r.block(one, number=8), "B-2", "block-header"),
            ("used one too many", r.block(one, used=1408 - 16 + 1), "B-2", "block-header"),
            ("used that wraps 32 bits", r.block(one, used=0xFFFFFFF8), "B-2", "block-header"),
            ("the reserved word", r.block(one, reserved=1), "B-2", "block-header"),
            ("the first byte of the padding", r.block(one, padding=b"\1" + bytes(1408 - 17 - len(one))), "B-2", "block-header"),
            ("the last byte of the padding", r.block(one, padding=bytes(1408 - 17 - len(one)) + b"\x80"), "B-2", "block-header"),
            ("used that leaves a record outside", r.block(one + one, used=len(one)), "B-2", "block-header")):
        yield refuse("block: " + name, rule, "Nothing of the block is used.", given(wrong), reason) | {"values": {"records": []}}


def of_headers():
    one = r.of(r.an_offer())
    for byte in (1, 2, 3):
        zero = bytes(int(byte == i) for i in (1, 2, 3))
        yield bad(f"reserved byte {byte} of a record", "R-1", "A reserved byte is not zero: the rest of the block is dropped.", "record-header",
                  r.record(1, one[8:], zero=zero), after=False)
    yield bad("a length beyond used", "R-1", "The record must end within used.", "record-header", r.record(1, one[8:], length=1400), after=False)
    yield bad("a length that wraps 32 bits", "R-1", "The record must end within used.", "record-header", r.record(1, one[8:], length=0xFFFFFFFF), after=False)
    first = r.a_later_slice()
    for cut in (1, 7):
        b = r.block(r.of(first) + bytes([1]).ljust(cut, b"\0"))
        yield refuse(f"a header of {cut} bytes", "R-1", "A header must not be cut by used.", given(b), "record-header") | {
            "values": {"records": [first, {"refused": "record-header"}]}}
    b = r.block(r.of(first) + one[:-1])
    yield refuse("a record that goes on in the next block", "B-3", "A record lies whole within one block.", given(b), "record-header") | {
        "values": {"records": [first, {"refused": "record-header"}]}}
    for kind in (0, 6, 255):
        yield bad(f"type {kind}", "R-2", "An unknown type is skipped and counted.", "record-type", r.record(kind, b"whatever"))
    small = r.of(r.a_later_slice(frame=61, data="01"))
    full, over = small * 65536, small * 65537
    k = -(-(16 + len(over)) // 9088)
    yield accept("65,536 records", "R-1", "As many records as a block may hold.", given(r.block(full, size=k * 9088), k=k, unit=small), {"counts": {"": 65536}})
    yield refuse("65,537 records", "R-1", "One record more than a block may hold.", given(r.block(over, size=k * 9088), k=k, unit=small), "record-header") | {
        "values": {"counts": {"": 65536, "record-header": 1}}}


def of_bodies():
    for make in (r.an_offer, r.a_close, r.an_abandon, r.a_heartbeat):
        x = make()
        b, kind = r.body(x), r.TYPES[x["type"]]
        yield bad(f"{x['type']}, one byte short", "R-3", "A body has exactly its fields.", "record-body", r.record(kind, b[:-1]), k=2)
        yield bad(f"{x['type']}, one byte long", "R-3", "A body has exactly its fields.", "record-body", r.record(kind, b + b"\0"), k=2)
        yield bad(f"{x['type']}, empty", "R-3", "A body has exactly its fields.", "record-body", r.record(kind, b""), k=2)
        if make is not r.a_heartbeat:
            yield bad(f"{x['type']}, no bundle", "I-1", "All-zero ids are refused.", "record-body", r.of(make(bundle="00" * 16)), k=2)
        yield bad(f"{x['type']}, no epoch", "I-1", "All-zero epochs are refused.", "record-body", r.of(make(epoch="00" * 16)), k=2)
    yield bad("slice, a header alone", "R-3", "A slice holds at least 1 byte of the frame.", "record-body", r.of(r.a_slice(data="")))
    yield bad("slice, runs cut short", "R-3", "A body has exactly its fields.", "record-body", r.record(2, r.body(r.a_slice(data=""))[:-1]))
    yield bad("slice, no bundle", "I-1", "All-zero ids are refused.", "record-body", r.of(r.a_slice(bundle="00" * 16)))
    names = [("tenant", {"tenant": "a" * 64}, {"tenant": "a" * 65}), ("tenant's first character", None, {"tenant": ".a"}),
             ("tenant's length below", None, {"tenant": ""}),
             ("tenant's last character", None, {"tenant": "a."}), ("tenant's case", None, {"tenant": "Cssf"})]
    signatures = [("signature below", {"signature": "01" * 64}, {"signature": "01" * 63}), ("signature", {"signature": "01" * 8192},
                                                                                            {"signature": "01" * 8193})]
    yield from limits("offer", r.an_offer, names + [
        ("class below", {"class": 1}, {"class": 0}), ("class", {"class": 3}, {"class": 4}), ("files", {"files": 1000000}, {"files": 1000001}),
        ("directories", {"dirs": 1000000}, {"dirs": 1000001}), ("bytes", {"bytes": 1 << 46}, {"bytes": (1 << 46) + 1}),
        ("chunks", {"chunks": 1 << 24}, {"chunks": (1 << 24) + 1}), ("chunk size below", {"chunk_size": 4096}, {"chunk_size": 2048}),
        ("chunk size", {"chunk_size": 1 << 22}, {"chunk_size": 1 << 23}), ("chunk size between", None, {"chunk_size": 4097}),
        ("created below", {"created": 0}, {"created": -1}), ("created", {"created": 253402300799}, {"created": 253402300800}),
        ("name", {"name": "n" * 255}, {"name": "n" * 256}), ("name below", None, {"name": ""}), ("name of two components", None, {"name": "a/b"}),
        ("name that is ..", None, {"name": ".."}), ("name with a control", None, {"name": "a\u0007"})])
    x = r.body(r.an_offer(name="ab"))
    yield bad("offer, name that is no UTF-8", "R-3", "A name is one path component: valid UTF-8.", "record-body", r.record(1, x[:-1] + b"\xff"))
    yield from limits("close", r.a_close, names + signatures + [
        ("sequence below", {"sequence": 1, "previous": ZERO32}, {"sequence": 0}), ("sequence", {"sequence": MAX53}, {"sequence": MAX53 + 1}),
        ("previous of sequence 1", None, {"sequence": 1}), ("previous of a later sequence", None, {"previous": ZERO32}),
        ("manifest size", {"manifest_size": 536870912, "manifest_chunks": 128}, {"manifest_size": 536870913}),
        ("manifest size below", None, {"manifest_size": 0}),
        ("content chunks", {"chunks": 1 << 24}, {"chunks": (1 << 24) + 1}),
        ("manifest chunks", {"manifest_chunks": 1 << 17, "manifest_size": 1 << 29}, {"manifest_chunks": (1 << 24) + (1 << 18)}),
        ("manifest chunks below", None, {"manifest_chunks": 0})], k=7)
    yield from limits("abandon", r.an_abandon, names + signatures + [
        ("reason", {"reason": "r" * 255}, None), ("reason below", {"reason": "r"}, {"reason": ""}), ("reason with a control", None, {"reason": "a\nb"}),
        ("reason with a no-break space", None, {"reason": "a\u00a0b"}), ("reason with a bidirectional control", None, {"reason": "a\u202eb"}),
        ("reason with a line separator", None, {"reason": "a\u2028b"}), ("reason with a joiner", None, {"reason": "a\u200db"}),
        ("reason in marks, symbols and numbers", {"reason": "re\u0301sume\u0301 \u00a7 12 \u20ac \u2211 \u2167 \u65e5\u672c\u3002"}, None)], k=7)
    x = r.an_abandon(reason="ab")
    b = r.body(x)
    at = b.index(b"\2ab")
    yield bad("abandon, reason that is no UTF-8", "R-3", "A reason is UTF-8.", "record-body", r.record(4, b[:at] + b"\2a\xff" + b[at + 3:]))
    heads = [r.a_head(f"t{i:04}", 0) for i in range(1025)]
    yield from limits("heartbeat", r.a_heartbeat, [
        ("no tenants", {"tenants": []}, None), ("clock", {"clock": (1 << 63) - 1}, None), ("clock below", {"clock": -1 << 63}, None),
        ("waiting", {"waiting": 0xFFFFFFFF, "waiting_bytes": (1 << 64) - 1}, None),
        ("tenant", {"tenants": [r.a_head("a" * 64)]}, {"tenants": [r.a_head("a" * 65)]}),
        ("sequence", {"tenants": [r.a_head("a", MAX53)]}, {"tenants": [r.a_head("a", MAX53 + 1)]}),
        ("digest of sequence 0", None, {"tenants": [r.a_head("a", 0, fixed("x", 32))]}),
        ("digest of a sequence", None, {"tenants": [r.a_head("a", 1, bytes(32))]})])
    yield from limits("heartbeat", r.a_heartbeat, [("tenants", {"tenants": heads[:1024]}, {"tenants": heads})], k=36)
    for name, tenants in (("descending", ["b", "a"]), ("twice", ["a", "a"]), ("a prefix after the longer", ["ab", "a"])):
        yield bad("heartbeat, tenants " + name, "R-10", "Tenants stand in ascending order, each once.", "record-body",
                  r.of(r.a_heartbeat(tenants=[r.a_head(t) for t in tenants])))
    b = r.body(r.a_heartbeat(tenants=[r.a_head("a")]))
    yield bad("heartbeat, a tenant that is not there", "R-3", "A body has exactly its fields.", "record-body", r.record(5, b[:68] + u16(2) + b[70:]))


def of_slices():
    m = (1 << 24) + (1 << 18)
    most = [[i + 1, 0, 2] for i in range(2048)]
    yield good("slice, the most runs", "R-3", "A chunk holds up to 2,048 runs.", r.a_slice(runs=most), k=24)
    yield bad("slice, one run too many", "R-3", "A chunk holds up to 2,048 runs.", "record-body", r.of(r.a_slice(raw=4098, runs=most + [[2049, 0, 2]])), k=24)
    incompressible = 4096 + 32 + 1024
    yield from limits("slice", r.a_later_slice, [
        ("chunk", {"chunk": m - 1}, {"chunk": m}), ("raw", {"raw": 4194304}, {"raw": 4194305}), ("raw below", {"raw": 1}, {"raw": 0}),
        ("frame", {"frame": incompressible}, {"frame": incompressible + 1}),
        ("frame of an odd chunk", {"raw": 4095, "frame": 4095 + 31 + 1024}, {"raw": 4095, "frame": 4095 + 31 + 1025}),
        ("the last byte of a frame", {"offset": 99, "data": "01"}, None)])
    top = 1 << 46
    yield good("slice, the last byte of a bundle", "R-3", "A run may end at the limit of a bundle's bytes.", r.a_slice(runs=[[2, top - 4096, 4096]]))
    yield good("slice, the last byte of a manifest", "R-3", "A run may end at the limit of a manifest.", r.a_slice(runs=[[0, (1 << 29) - 4096, 4096]]))
    for name, run in (("a file above the limit", [1000001, 0, 4096]), ("a run beyond a bundle's bytes", [2, top - 4095, 4096]),
                      ("a run that wraps 64 bits", [2, (1 << 64) - 1, 4096]),
                      ("a run beyond a manifest", [0, (1 << 29) - 4095, 4096])):
        yield bad("slice, " + name, "R-3", "A value outside section 1.", "record-body", r.of(r.a_slice(runs=[run])))
    yield good("slice, the largest file number", "R-6", "Files are numbered up to 1,000,000.", r.a_slice(raw=1, runs=[[1000000, 0, 1]]))
    yield good("slice of the manifest", "R-8", "A chunk of the manifest holds one run, of file 0.", r.a_slice(runs=[[0, 4096, 4096]]))
    for name, change, rule in (
            ("data beyond the frame", {"frame": 99}, "R-6"), ("an offset at the frame's end", {"offset": 100, "runs": [], "data": "01"}, "R-6"),
            ("an offset that wraps 32 bits", {"offset": 0xFFFFFFFF, "runs": [], "data": "0102"}, "R-6"),
            ("no runs at offset 0", {"runs": []}, "R-6"), ("runs at a later offset", {"offset": 60, "data": "01"}, "R-6"),
            ("a run of no bytes", {"runs": [[2, 0, 0], [3, 0, 4096]]}, "R-6"), ("runs that add up to less", {"runs": [[2, 4000, 96], [3, 0, 3999]]}, "R-6"),
            ("runs that add up to more", {"runs": [[2, 4000, 96], [3, 0, 4001]]}, "R-6"),
            ("runs that add up beyond 32 bits", {"runs": [[2, 0, 0xFFFFFFFF], [3, 0, 4097]]}, "R-6"),
            ("one file in two runs", {"runs": [[2, 0, 96], [2, 96, 4000]]}, "R-6"), ("files descending", {"runs": [[3, 0, 96], [2, 0, 4000]]}, "R-6"),
            ("a second run inside its file", {"runs": [[2, 4000, 96], [3, 1, 4000]]}, "R-6"),
            ("the manifest and a file", {"runs": [[0, 0, 96], [3, 0, 4000]]}, "R-8")):
        yield bad("slice, " + name, rule, "Slices and runs contradict each other.", "chunk-layout", r.of(r.a_slice(**change)))


def cuts():
    """Each body cut within each of its fields, the record's length with it: a body has exactly its fields (R-3)."""
    for make in (r.an_offer, r.a_slice, r.a_close, r.an_abandon, r.a_heartbeat):
        x = make()
        b, at = r.body(x), 0
        for field, size in r.places(x):
            size = 1 if field == "slice.data" else size
            if at + size // 2 > 0 and not field.endswith("."):
                yield bad(f"cut in {field}", "R-3", "A body has exactly its fields.", "record-body", r.record(r.TYPES[x["type"]], b[:at + size // 2]),
                          k=2) | {"field": field}
            at += size


def vectors():
    return [*of_blocks(), *cuts(), *of_headers(), *of_bodies(), *of_slices()]
