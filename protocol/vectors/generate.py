#!/usr/bin/env python3
"""Writes the test vectors of the protocol beside itself, from SPEC.md alone; with --check it says what would change and writes nothing.

Each file is {"about", "vectors"}, each vector {"name", "rule", "what", "input", "expect"}, and either "values" or "reason" of section 12 and "field".
A vector that is refused has one fault, and its field says where. Every run gives the same bytes.
"""

import json
import pathlib
import sys

sys.dont_write_bytecode = True

# After the line that keeps the folder clean.
from writer import (blocks, chain, codes, conflicts, derived, fields, frames, layout, leopard, manifest_vectors, openings, packets, paths,  # noqa: E402
                    sessions, signatures, tickets, trust, values, windows)

HERE = pathlib.Path(__file__).resolve().parent

FAMILIES = {
    "values": (values, "Ids, names, digests and marks as text (section 2)."),
    "packets": (packets, "Data packets under one key (section 3)."),
    "windows": (windows, "Packet numbers (section 3): a floor, "
                         "pairs of the first and last number accepted, numbers of packets that did not open, and one more number."),
    "sessions": (sessions, "Announcements as datagrams, and what is signed and derived from (section 4). "
                           "A vector that is sent out of order says in which."),
    "derived": (derived, "Whole sessions: a receiver's seed, an announcement, the keys of its links, and packets under them (sections 3 and 4)."),
    "openings": (openings, "Announcements before a receiver that has enrolled one key, with what allowed_signers says of it and what was accepted before "
                           "(section 4)."),
    "codes": (codes, "Codes of forward error correction (section 5)."),
    "parity": (leopard, "Parity and repair (section 5). Shards have 1,408 bytes; "
                        "byte j of every 64 in data shard i is (3ii + 5ij + 7j + floor(i/7) + 1) mod 256, "
                        "and 64 bytes of each parity shard are given, which repeat alike."),
    "blocks": (blocks, "Blocks and their records (sections 6 and 7). A block's hexadecimal digits hold {xx*n} for the byte xx n times."),
    "conflicts": (conflicts, "What records say together: blocks of one record each, in order (section 7)."),
    "frames": (frames, "Frames of chunks (section 7)."),
    "layout": (layout, "How files are cut into chunks (section 8). "
                       "Sizes are pairs of a size and how many files of it follow; of long layouts some chunks are shown."),
    "paths": (paths, "Paths, tables of paths and their order (section 9)."),
    "manifests": (manifest_vectors, "Manifests, SHA256SUMS, and claims of offers and closes (section 10)."),
    "signatures": (signatures, "SSHSIG blobs, their text, and the signatures of abandons (section 11, R-9)."),
    "trust": (trust, "Signed manifests before a receiver that has an allowed_signers (G-2, M-6, M-8)."),
    "chain": (chain, "What a receiver remembers of one sender and tenant, and the place that a verified manifest claims (section 11)."),
    "tickets": (tickets, "Codes as they are typed, whose they are and what they say (section 13). Of a receipt the digests are those that its sender knows; "
                         "of what was mistyped the groups are those that a refusal names."),
}


def text(about, vectors):
    names = [v["name"] for v in vectors]
    assert vectors and len(set(names)) == len(names), sorted(n for n in set(names) if names.count(n) > 1)
    rows = ",\n".join(json.dumps(v, ensure_ascii=True) for v in vectors)
    return '{"about": ' + json.dumps(about) + ',\n"vectors": [\n' + rows + "\n]}\n"


def main(arguments):
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    wrong = 0
    for name, (family, about) in FAMILIES.items():
        vectors = family.vectors()
        for v in vectors:
            if v["expect"] == "refuse" and "field" not in v and fields.of(name, v["name"]):
                v["field"] = fields.of(name, v["name"])
        path, fresh = HERE / f"{name}.json", text(about, vectors).encode()
        if not arguments:
            path.write_bytes(fresh)
        elif not path.exists() or path.read_bytes() != fresh:
            print(f"{path.name} is not what generate.py writes", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
