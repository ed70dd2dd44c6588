"""Section 10: the one form of a manifest, SHA256SUMS, and one fault at a time."""

import hashlib

from .layout import chunks
from .wire import base32, fixed, mark

ZERO = "0" * 64


def quote(s):
    return '"' + s.replace("\\", "\\\\").replace('"', '\\"') + '"'


def entry(pairs):
    return "{" + ",".join(f'"{k}":{v}' for k, v in pairs) + "}"


def rows(all_):
    return "[\n" + ",\n".join(all_) + "\n]" if all_ else "[]"


def content(path, size):
    return fixed("content of " + path, size)


def file(path, size=10, mode="0600", mtime=1767225599, sha256=None):
    return {"path": path, "size": size, "mode": mode, "mtime": mtime, "sha256": sha256 or hashlib.sha256(content(path, size)).hexdigest()}


def folder(path, mode="0700", mtime=1767225599):
    return {"path": path, "mode": mode, "mtime": mtime}


def sums(files):
    out = ""
    for f in files:
        line = f"{f['sha256']}  files/{f['path']}"
        if "\\" in line:
            line = "\\" + line.replace("\\", "\\\\")
        out += line + "\n"
    return out


def manifest(**change):
    """The fields of a good manifest with some changed; sums, marks and total follow from the files unless they are given."""
    m = {"format": "ecluse-manifest-1", "bundle": base32(fixed("bundle", 16)), "sender": "ctie-low", "receiver": fixed("receiver", 32).hex(), "tenant": "cssf",
         "epoch": base32(fixed("epoch", 16)), "sequence": 7, "previous": fixed("manifest 6", 32).hex(), "created": "2026-01-31T23:59:59Z", "name": "n",
         "labels": [["k", "v"], ["l", "w"]], "files": [file("n/a", 12), file("n/b", 0, "0700", -1), file("n/c/x", 9000)], "dirs": [folder("n"), folder("n/c")],
         "chunk_size": 4096}
    m |= change
    sizes = [f["size"] for f in m["files"]]
    m.setdefault("sums", hashlib.sha256(sums(m["files"]).encode()).hexdigest())
    if "marks" not in m:
        data = {n: content(f["path"], f["size"]) for n, f in enumerate(m["files"], 1) if f["size"] < 1 << 20}
        m["marks"] = [mark(b"".join(data[n][o:o + k] for n, o, k in c)) for c in chunks(sizes, m["chunk_size"])]
    m.setdefault("total", sum(sizes))
    return m


def text(m):
    files = [entry([("path", quote(f["path"])), ("size", f["size"]), ("mode", quote(f["mode"])), ("mtime", f["mtime"]),
                    ("sha256", quote(f["sha256"]))]) for f in m["files"]]
    dirs = [entry([("path", quote(d["path"])), ("mode", quote(d["mode"])), ("mtime", d["mtime"])]) for d in m["dirs"]]
    members = [(k, quote(m[k])) for k in ("format", "bundle", "sender", "receiver", "tenant", "epoch")]
    members += [("sequence", m["sequence"]), ("previous", quote(m["previous"])), ("created", quote(m["created"])), ("name", quote(m["name"])),
                ("labels", "{" + ",".join(f"{quote(k)}:{quote(v)}" for k, v in m["labels"]) + "}"), ("sums", quote(m["sums"])), ("files", rows(files)),
                ("dirs", rows(dirs)),
                ("chunks", f'{{"size":{m["chunk_size"]},"marks":{rows([quote(x) for x in m["marks"]])}}}'), ("total", m["total"])]
    return "{" + ",\n".join(f'"{k}":{v}' for k, v in members) + "}\n"


def claim(m, created):
    """What the offer and the close of an honest sender say."""
    b = text(m).encode()
    return {"bundle": m["bundle"], "tenant": m["tenant"], "epoch": m["epoch"], "sequence": m["sequence"], "previous": m["previous"], "files": len(m["files"]),
            "dirs": len(m["dirs"]),
            "bytes": m["total"], "chunks": len(m["marks"]), "chunk_size": m["chunk_size"], "name": m["name"], "created": created, "size": len(b),
            "digest": hashlib.sha256(b).hexdigest()}
