"""Sections 6 and 7: records as fields and as bytes, and the blocks that carry them."""

from .wire import crc32c, fixed, i64, str16, str8, u16, u32, u64, u8

TYPES = {"offer": 1, "slice": 2, "close": 3, "abandon": 4, "heartbeat": 5}


def raw(h):
    return bytes.fromhex(h)


def offer(r):
    return (raw(r["bundle"]) + raw(r["epoch"]) + str8(r["tenant"]) + u8(r["class"]) + u32(r["files"]) + u32(r["dirs"]) + u64(r["bytes"])
            + u32(r["chunks"]) + u32(r["chunk_size"]) + i64(r["created"]) + str16(r["name"].encode()))


def slice_(r):
    runs = b"".join(u32(f) + u64(o) + u32(n) for f, o, n in r["runs"])
    return (raw(r["bundle"]) + u32(r["chunk"]) + u32(r["raw"]) + u32(r["frame"]) + u32(r["offset"]) + u16(len(r["runs"])) + runs + raw(r["data"]))


def close(r):
    return (raw(r["bundle"]) + raw(r["epoch"]) + str8(r["tenant"]) + u64(r["sequence"]) + raw(r["previous"]) + u64(r["manifest_size"])
            + raw(r["manifest"]) + u32(r["chunks"]) + u32(r["manifest_chunks"]) + str16(raw(r["signature"])))


def abandon_fields(r):
    """The fields before the signature: what it covers, after the preamble (R-9)."""
    return raw(r["bundle"]) + raw(r["epoch"]) + str8(r["tenant"]) + str8(r["reason"])


def abandon(r):
    return abandon_fields(r) + str16(raw(r["signature"]))


def heartbeat(r):
    heads = b"".join(str8(t["tenant"]) + u64(t["sequence"]) + raw(t["manifest"]) for t in r["tenants"])
    return i64(r["clock"]) + raw(r["epoch"]) + raw(r["ticket_key"]) + u32(r["waiting"]) + u64(r["waiting_bytes"]) + u16(len(r["tenants"])) + heads


BODIES = {"offer": offer, "slice": slice_, "close": close, "abandon": abandon, "heartbeat": heartbeat}


def body(r):
    return BODIES[r["type"]](r)


def record(kind, content, *, zero=b"\0\0\0", length=None):
    return u8(kind) + zero + u32(len(content) if length is None else length) + content


def of(r):
    return record(TYPES[r["type"]], body(r))


def block(records, *, number=7, size=1408, used=None, reserved=0, sum=None, padding=None):
    """A block of size bytes; each keyword from used on is a way to make it wrong."""
    rest = u32(number) + u32(len(records) if used is None else used) + u32(reserved) + records
    rest += padding if padding is not None else bytes(size - 4 - len(rest))
    assert len(rest) == size - 4
    return u32(crc32c(rest) if sum is None else sum) + rest


def places(r):
    """The fields of a body in order, with the bytes that each takes; of what there may be several the first ones."""
    n = lambda key: len(r[key].encode())
    ids = [("bundle", 16), ("epoch", 16)]
    tenant = lambda: [("tenant's length", 1), ("tenant", n("tenant"))]
    signature = lambda: [("signature's length", 2), ("signature", len(r["signature"]) // 2)]
    fields = {
        "offer": lambda: ids + tenant() + [("class", 1), ("files", 4), ("directories", 4), ("bytes", 8), ("chunks", 4), ("chunk size", 4), ("created", 8),
                                           ("name's length", 2), ("name", n("name"))],
        "slice": lambda: [("bundle", 16), ("chunk", 4), ("raw", 4), ("frame", 4), ("offset", 4), ("runs", 2), ("runs[].file", 4), ("runs[].offset", 8),
                          ("runs[].length", 4)] + [("", 16)] * (len(r["runs"]) - 1) + [("data", len(r["data"]) // 2)],
        "close": lambda: ids + tenant() + [("sequence", 8), ("previous", 32), ("manifest size", 8), ("digest", 32), ("content chunks", 4), ("manifest chunks", 4)]
        + signature(),
        "abandon": lambda: ids + tenant() + [("reason's length", 1), ("reason", n("reason"))] + signature(),
        "heartbeat": lambda: [("clock", 8), ("epoch", 16), ("ticket key", 32), ("waiting", 4), ("waiting bytes", 8), ("tenants", 2),
                              ("tenants[].tenant's length", 1), ("tenants[].tenant", len(r["tenants"][0]["tenant"])), ("tenants[].sequence", 8),
                              ("tenants[].digest", 32)]}
    return [(f"{r['type']}.{field}", size) for field, size in fields[r["type"]]()]


def an_offer(**change):
    return {"type": "offer", "bundle": fixed("bundle", 16).hex(), "epoch": fixed("epoch", 16).hex(), "tenant": "cssf", "class": 2, "files": 3, "dirs": 1,
            "bytes": 8200, "chunks": 3, "chunk_size": 4096, "created": 1769903999, "name": "rapport \u00e9t\u00e9"} | change


def a_slice(**change):
    return {"type": "slice", "bundle": fixed("bundle", 16).hex(), "chunk": 1, "raw": 4096, "frame": 100, "offset": 0,
            "runs": [[2, 4000, 96], [3, 0, 4000]], "data": fixed("frame", 100).hex()} | change


def a_later_slice(**change):
    return a_slice(offset=60, runs=[], data=fixed("frame", 100)[60:].hex()) | change


def a_close(**change):
    return {"type": "close", "bundle": fixed("bundle", 16).hex(), "epoch": fixed("epoch", 16).hex(), "tenant": "cssf", "sequence": 7,
            "previous": fixed("manifest 6", 32).hex(), "manifest_size": 1234, "manifest": fixed("manifest 7", 32).hex(), "chunks": 3, "manifest_chunks": 1,
            "signature": fixed("signature", 184).hex()} | change


def an_abandon(**change):
    return {"type": "abandon", "bundle": fixed("bundle", 16).hex(), "epoch": fixed("epoch", 16).hex(), "tenant": "cssf",
            "reason": "the operator took it back \u2014 d\u00e9sol\u00e9", "signature": fixed("signature", 184).hex()} | change


def a_head(tenant="cssf", sequence=7, manifest=None):
    return {"tenant": tenant, "sequence": sequence, "manifest": (fixed("manifest 7", 32) if sequence and manifest is None else manifest or bytes(32)).hex()}


def a_heartbeat(**change):
    return {"type": "heartbeat", "clock": 1769903999123456789, "epoch": fixed("epoch", 16).hex(), "ticket_key": fixed("ticket", 32).hex(), "waiting": 2,
            "waiting_bytes": 1 << 40, "tenants": [a_head(), a_head("default", 0)]} | change
