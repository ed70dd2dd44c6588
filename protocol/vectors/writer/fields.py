"""Where the fault of a vector is, by the vector's name: the field of the format that a reader stumbles over. The first line that fits counts.

A pair of rule and field is one kind of fault, however many vectors show it; so are all flipped bits of one sealed packet."""

import re

_PLACES = {
    "packets": (
        (r"probe: no run", "probe.run"), (r"probe: (no|65) steps", "probe.steps"), (r"probe: a step", "probe.step"), (r"probe: no rate", "probe.rate"),
        (r"probe: (no|too many) packets", "probe.packets"), (r"probe: an index", "probe.index"), (r"probe: a reserved", "probe.zero"), (r"probe: .*padding", "probe.padding"),
        (r"probe: sealed as", "kind"), (r"probe: a shard", "shard"),
        (r"a datagram of 0 ", "version"), (r"a datagram of [123] ", "tag"), (r"a datagram of [4-9] ", "number"), (r"a datagram of 1[0-5] ", "salt"),
        (r"a datagram of (16|17|18|19) ", "block"), (r"a datagram of 2[01] ", "index"), (r"a datagram of 2[23] ", "k"), (r"a datagram of 2[45] ", "m"),
        (r"a datagram of 2[67] ", "zero"), (r"a datagram of 1451 ", "seal"), (r"a shard of|a datagram of", "shard"), (r"version", "version"),
        (r"kind", "kind"), (r"another tag", "tag"), (r"a bit of", "seal"), (r"another.*key", "key"), (r"no associated", "associated data"),
        (r"another order of the nonce", "nonce"), (r"code: .*data shards", "k"), (r"code: .*parity shards", "m"), (r"code: ", "index"), (r"reserved", "zero")),
    "windows": ((r"", "number"),),
    "sessions": (
        (r"announcement, a body one byte long", "end"), (r"announcement, (a body one byte short|s that)", "s"), (r"announcement, fixed fields cut", "zero"),
        (r"announcement, fixed fields alone", "encapsulation"), (r"announcement, .*(empty|long|short)", "piece"), (r"announcement, (no|nine) parts", "parts"),
        (r"announcement, a part ", "part"), (r"announcement, 1 bytes", "header's tag"), (r"announcement, 15 bytes", "header's zero"),
        (r"announcement, kem", "kem"), (r"announcement, (e |no encapsulation)", "e"), (r"announcement, .*links", "links"),
        (r"announcement, .*signature", "s"), (r"announcement, no epoch", "epoch"), (r"announcement, the .* reserved byte", "zero"),
        (r"announcement, a tag", "header's tag"), (r"announcement, .*clear header", "header's zero")),
    "derived": ((r"", "encapsulation"),),
    "codes": ((r"k \d+, m 0|k 2048|k (1|2|4|5|63), m", "m"), (r"k ", "k"), (r"a shard", "shard")),
    "parity": ((r"without \[0, 4", "parity shard"), (r"", "data shard")),
    "blocks": (
        (r"block: .*(sum|a bit)", "sum"), (r"block: another number", "number"), (r"block: used", "used"), (r"block: the reserved", "zero"),
        (r"block: .*padding", "padding"), (r"reserved byte 1", "record's first zero"), (r"reserved byte", "record's second zero"),
        (r"a length", "record's length"), (r"a header", "record's header"), (r"a record that goes on", "record"), (r"type", "record's type"),
        (r"65,537", "records"), (r"(\w+), one byte long", r"\1's end"), (r"(\w+), empty", r"\1.bundle"), (r"heartbeat, one byte short", "heartbeat.tenants[].digest"),
        (r"(offer), one byte short", r"\1.name"), (r"(\w+), one byte short", r"\1.signature"), (r"(\w+), no (bundle|epoch)", r"\1.\2"),
        (r"slice, a header alone", "slice.data"), (r"slice, runs cut short", "slice.runs[].length"), (r"heartbeat, tenant, ", "heartbeat.tenants[].tenant"),
        (r"(\w+), tenant's length below", r"\1.tenant"), (r"(offer|close|abandon), tenant\b", r"\1.tenant"), (r"(offer|close|abandon), (\w+ size)", r"\1.\2"),
        (r"(offer|close), (\w+ chunks)", r"\1.\2"), (r"(offer|close|abandon), (\w+)", r"\1.\2"), (r"heartbeat, sequence", "heartbeat.tenants[].sequence"),
        (r"heartbeat, digest", "heartbeat.tenants[].digest"), (r"heartbeat, tenants (desc|twice|a prefix)", "heartbeat.tenants[].tenant"),
        (r"heartbeat, (tenants|a tenant)", "heartbeat.tenants"), (r"slice, one run too many", "slice.runs"), (r"slice, chunk", "slice.chunk"),
        (r"slice, raw", "slice.raw"), (r"slice, frame", "slice.frame"), (r"slice, a file above", "slice.runs[].file"),
        (r"slice, a run (beyond|that wraps)", "slice.runs[].offset"), (r"slice, data beyond", "slice.data"), (r"slice, an offset", "slice.offset"),
        (r"slice, (no )?runs at", "slice.runs"), (r"slice, (a run of no|runs that add)", "slice.runs[].length"),
        (r"slice, (one file|files|the manifest)", "slice.runs[].file"), (r"slice, a second run", "slice.runs[].offset")),
    "chain": (
        (r"its digest", "digest"), (r"the same again|its id", "bundle"), (r".*in a replaced epoch|a replaced epoch", "epoch"), (r".*floor", "sequence"),
        (r"its sequence|a fork in", "digest"), (r"another previous", "previous"), (r"(its|the) follower", "follower's previous"), (r"a strange", "epoch")),
    "values": (
        (r"(id|epoch), (upper|a character|a line feed)", r"text of an \1: character"), (r"(id|epoch), (padding|25|27|empty)", r"text of an \1: length"),
        (r"(id|epoch), (an unused|the other)", r"text of an \1: last character"), (r"(id|epoch), all zero", r"text of an \1"),
        (r"name ('a{65}'|'')", "name: length"), (r"name '([._-]a|A)'", "name: first character"), (r"name 'a\.'", "name: last character"),
        (r"name ", "name: character"), (r"(digest|mark), (short|long|empty)", r"text of a \1: length"), (r"(digest|mark), ", r"text of a \1: character")),
    "paths": (
        (r"path, (empty|a slash alone)", "path"), (r"path, absolute", "path's beginning"), (r"path, .*at the end", "path's last component"),
        (r"path, (an empty|.*inside)", "path's inner component"), (r"path, (a dot|two dots)", "path's only component"), (r"path, 65", "path's depth"),
        (r"path, a component", "component's length"), (r"path, 4,097", "path's length"), (r"path that is no", "component's encoding"),
        (r"path with", "path's last component"), (r".*: .*a file (and a directory|where)", "files[] and dirs[]"), (r".*: .*director", "dirs[]"),
        (r"portable: the file .*(CON|PRN|AUX|NUL|COM|LPT|con|nul|com|lpt).*\.", "files[]: stem before an extension"),
        (r"portable: the file .*(CON|PRN|AUX|NUL|COM|LPT|con|com|lpt)", "files[]: whole component"), (r"portable: the file '.*[. ]'", "files[]: last character"),
        (r"portable: the file", "files[]: character"), (r".*: ", "files[]")),
    "manifests": (
        (r"two keys exchanged", "sender"), (r"(an unknown|a doubled|a missing|an escaped) key$|a key in|a space after|a string without", "tenant"),
        (r"a space at the end|no line feed$|a carriage|two line feeds$", "behind tenant"), (r".*in an entry|an entry", "files[].size"),
        (r"no line feed between entries|a comma after the last entry", "behind files[]"), (r"a comma after the last member", "behind total"),
        (r"an empty list with a line|a list of null", "dirs"), (r"an empty list", "chunks.marks"), (r"a solidus|a path that", "files[].path"),
        (r".*between labels", "behind labels[]"), (r"labels, (descending|a key twice|an empty key|a key of|DEL)", "labels[].key"),
        (r"labels, 33", "labels"), (r"labels, ", "labels[].value"), (r"a minus sign", "files[].size"), (r"a minus zero", "files[].mtime"),
        (r"a (plus|leading|fraction|number)|an exponent|no number", "sequence"), (r"manifest, (no line|two line|a trailing|two man)", "end"),
        (r"manifest, ", "beginning"), (r"(a character|a line feed|a control|another escape|bytes that|a surrogate)", "labels[].value"),
        (r"another format", "format"), (r"chunk_size", "chunks.size"), (r"marks ", "chunks.marks[]"), (r"previous", "previous"), (r"name, ", "name"),
        (r"file's (path|mode|mtime)", r"files[].\1"), (r"directory's (path|mode|mtime)", r"dirs[].\1"), (r"file's digest", "files[].sha256"),
        (r"tree, (.*parent is|the top|a directory outside|director|a directory|a second)", "dirs[].path"), (r"tree, nothing", "files"), (r"tree, ", "files[].path"),
        (r"collision of a file", "files[] and dirs[]"), (r"collision of dir", "dirs[].path"), (r"collision", "files[].path"), (r"total", "total"),
        (r"(a|no) mark|marks", "chunks.marks"), (r"sums in another order", "sums: order"), (r"sums without", "sums: path"), (r"sums in binary", "sums: separator"),
        (r"sums", "sums"), (r"a claim of another manifest's (\w+)", r"close.manifest \1"), (r"a claim of another (\w+)", r"claim.\1"),
        (r"a receiver's limit of (\w+)", r"limit of \1"), (r"(\w+) ['\"]", r"\1")),
    "signatures": (
        (r"envelope, (another magic|a magic|nothing)", "magic"), (r"envelope, version", "version"), (r"envelope, .*hash", "hash"),
        (r"envelope, a reserved", "reserved"), (r"envelope, (no|a) namespace|envelope, made", "namespace"), (r"envelope, bytes left over$", "end"),
        (r"envelope, bytes left over in the (\w+)", r"\1's end"), (r"envelope, one byte short|envelope, 8,193", "signature.bytes"),
        (r"envelope, a key of 31", "Ed25519 key"), (r"envelope, an RSA key", "RSA key.n"), (r"envelope, (a DSA|a certificate|a kind)", "key.kind"),
        (r"envelope, (RSA with|an algorithm)", "signature.algorithm"), (r"signature, made for", "namespace"), (r"signature, another key", "key"),
        (r"signature, S that", "signature.S"), (r"signature, a security key", "signature.flags"), (r"signature, RSA with", "signature.algorithm"),
        (r"signature, another message under (.*)", r"message under \1"), (r"signature, (another message|the message)", "message"), (r"signature, ", "signature.bytes"),
        (r"armor, (76|a space|a line before|a header)", "armor's lines"), (r"armor, carriage", "armor's line feeds"), (r"armor, (no line|a line more|two)", "armor's end"),
        (r"armor, (another label|empty|raw)", "armor's first line"), (r"armor, no last", "armor's last line"), (r"armor, padding", "armor's padding"),
        (r"armor, ", "armor's base64"), (r"abandon, without", "preamble"), (r"abandon, of another", "bundle")),
    "tickets": (
        (r"a wrong check", "check"), (r"a wrong character|neighbours", "character"), (r"two groups exchanged", "group's place"), (r"a character (left|doubled)", "group"),
        (r"the letter U|a character of no", "alphabet"), (r"a full stop", "separator"), (r"version", "version"), (r"kind", "kind"),
        (r"the last group|a group too|nothing$|one group|five groups|19 groups", "groups"), (r"another epoch", "epoch"), (r"another sender", "epoch"),
        (r"another key", "tag"), (r"a tenant of nobody", "tenant"), (r"a tag", "tag"), (r"the tag of another kind", "kind"), (r"the tag of another seq", "sequence"),
        (r"a number|2\^53", "number"), (r"a body that is cut", "body"), (r"something behind", "body's end"), (r"a group of zeroes", "zeroes"),
        (r"a range of nothing", "ranges[].left out"), (r"a range behind|the whole bundle", "ranges[].count"), (r"a chunk above", "ranges[].first"),
        (r"a range beyond", "ranges[].count"), (r"fewer ranges", "ranges"), (r"no part|fewer parts", "parts"), (r"sequence|a part beyond", "parts[].sequence"),
        (r"a sequence twice", "parts[].sequence"), (r"no bundle in|a row", "parts[].count"), (r"a bundle", "bundle"), (r"no run", "runs"),
        (r"a run of nothing|a run beyond", "runs[].count"), (r"a run ", "runs[].left out"), (r"a receipt that is cut", "body"), (r"", "chain"))
}

_FORMATS = {"packets": "packet.", "windows": "packet.", "sessions": "announcement.", "derived": "announcement.", "codes": "code.", "parity": "block.",
            "manifests": "manifest.", "signatures": "sshsig.", "chain": "place.", "tickets": "ticket."}


def of(family, name):
    """The field of one vector, None where nobody has said."""
    for pattern, field in _PLACES.get(family, ()):
        m = re.match(pattern, name)
        if m:
            return _FORMATS.get(family, "") + m.expand(field)
    return None
