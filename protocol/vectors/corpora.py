#!/usr/bin/env python3
"""Writes corpora for the fuzz targets from the vectors: for each target some that are accepted, and of those that are refused one for each rule and field, up to a number.

They stand in testdata/fuzz beside the targets, in the form of `go test -fuzz`. What fuzzing finds later is added there by hand and is left alone here."""

import json
import pathlib
import re

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MOST = 24
LONGEST = 8192


def unhex(text):
    while m := re.search(r"\{((?:[0-9a-f]{2})+)\*(\d+)\}", text):
        text = text[:m.start()] + m.group(1) * int(m.group(2)) + text[m.end():]
    return bytes.fromhex(text)


def go(value):
    """One value as Go writes it in a corpus."""
    if isinstance(value, bool):
        return f"bool({str(value).lower()})"
    if isinstance(value, int):
        return f"byte('\\x{value:02x}')"
    b = value if isinstance(value, bytes) else value.encode()
    quoted = "".join(chr(x) if 0x20 <= x < 0x7F and x not in (0x22, 0x5C) else f"\\x{x:02x}" for x in b)
    return f'[]byte("{quoted}")' if isinstance(value, bytes) else f'string("{quoted}")'


def vectors(family):
    """The vectors of a family, one for each rule and field first."""
    seen, first, rest = set(), [], []
    for v in json.loads((HERE / f"{family}.json").read_text())["vectors"]:
        kind = (v["rule"], v.get("field"), v["expect"] == "accept" and len(seen))
        (rest if kind in seen else first).append(v)
        seen.add(kind)
    step = max(1, len(first) // MOST)
    return first[::step] + [v for i, v in enumerate(first) if i % step] + rest


def bodies(v):
    """The type and the body of each record that a block holds, as far as it can be walked."""
    b = unhex(v["input"]["block"])
    at = 16
    while at + 8 <= len(b) and 1 <= b[at] <= 5:
        n = int.from_bytes(b[at + 4:at + 8], "big")
        yield b[at], b[at + 8:at + 8 + n]
        at += 8 + n


def targets():
    v = vectors
    yield "protocol/packet/FuzzOpenPacket", [(unhex(x["input"]["packet"]), False) for x in v("packets")]
    yield "protocol/packet/FuzzParseAnnouncement", [(unhex(x["input"]["datagrams"][0])[16:],) for x in v("sessions") if "datagrams" in x["input"]]
    yield "protocol/packet/FuzzAssembler", [(b"".join(map(unhex, x["input"]["datagrams"])),) for x in v("sessions") if "datagrams" in x["input"]]
    yield "protocol/record/FuzzReadBlock", [(unhex(x["input"]["block"]), 64, False) for x in v("blocks")]
    yield "protocol/record/FuzzParseBody", [body for x in v("blocks") for body in list(bodies(x))[-2:-1]]
    yield "protocol/bundle/FuzzParsePath", [(x["input"]["path"],) for x in v("paths") if "path" in x["input"]]
    yield "protocol/bundle/FuzzParseText", [(x["input"]["text"],) for x in v("values")]
    yield "protocol/bundle/FuzzParseManifest", [(x["input"].get("text", "").encode() + bytes.fromhex(x["input"].get("hex", "")),) for x in v("manifests")]
    yield "protocol/bundle/FuzzParseSignature", [(unhex(x["input"]["blob"]) if "blob" in x["input"] else x["input"]["text"].encode(),) for x in v("signatures")]
    yield "receiver/assemble/FuzzDecodeChunk", [(unhex(x["input"]["frame"]),) for x in v("frames")]
    yield "receiver/collect/FuzzAnnouncements", [(unhex(x["input"]["announcement"][0]), 3, 50) for x in v("openings")]


def main():
    for target, rows in targets():
        folder = ROOT / pathlib.Path(target).parent / "testdata" / "fuzz" / pathlib.Path(target).name
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("vector-*"):
            old.unlink()
        texts = []
        for row in rows:
            lines = [go(value) for value in row]
            if target.endswith("FuzzAnnouncements"):
                lines[2] = f"uint16({row[2]})"
            text = "go test fuzz v1\n" + "\n".join(lines) + "\n"
            if sum(len(x) for x in row if not isinstance(x, int)) <= LONGEST and text not in texts:
                texts.append(text)
        assert texts, target
        for i, text in enumerate(texts[:MOST]):
            (folder / f"vector-{i:02}").write_text(text)
        print(f"{target}: {len(texts[:MOST])}")


if __name__ == "__main__":
    main()
