"""Vectors of manifests: M-1 to M-7, and the reasons of section 9 inside one."""

import hashlib

from .manifests import ZERO, claim, file, folder, manifest, sums, text
from .wire import accept, base32, fixed, mark, refuse

CREATED = 1769903999  # 2026-01-31T23:59:59Z


def given(t):
    """Text where it is Unicode, else hexadecimal."""
    try:
        return {"text": t if isinstance(t, str) else t.decode()}
    except UnicodeDecodeError:
        return {"hex": t.hex()}


def _values(m, seconds):
    values = {k: m[k] for k in ("bundle", "sender", "receiver", "tenant", "epoch", "sequence", "previous", "name", "labels", "sums", "files", "dirs",
                                "chunk_size", "marks", "total")}
    return values | {"created": seconds, "sha256sums": sums(m["files"]), "digest": hashlib.sha256(text(m).encode()).hexdigest()}


def good(name, rule, what, seconds=CREATED, /, **change):
    m = manifest(**change)
    return accept(name, rule, what, given(text(m)), _values(m, seconds))


def bad(name, rule, reason, what, /, **change):
    return refuse(name, rule, what, given(text(manifest(**change))), reason)


def edit(name, old, new, what, rule="M-1", reason="manifest-syntax", /, **change):
    """One edit of the text of a good manifest."""
    t = text(manifest(**change)).encode()
    old, new = (x.encode() if isinstance(x, str) else x for x in (old, new))
    assert t.count(old) == 1, (name, t.count(old))
    return refuse(name, rule, what, given(t.replace(old, new)), reason)


def accepted():
    one = [file("n", 5)]
    yield good("as drawn", "M-1", "A directory with files, empty ones too.")
    yield good("one file", "M-3", "One file whose path is the name.", files=one, dirs=[])
    yield good("one empty file", "M-3", "No chunk at all.", files=[file("n", 0)], dirs=[])
    yield good("an empty directory", "M-3", "Empty lists are [].", files=[], dirs=[folder("n")])
    yield good("directories alone", "M-3", "Directories without a file.", files=[], dirs=[folder("n"), folder("n/a"), folder("n/a/b"), folder("n/c")])
    yield good("no labels", "M-1", "An empty list of labels is {}.", labels=[])
    yield good("the first of a chain", "M-2", "previous is zero for sequence 1.", sequence=1, previous=ZERO)
    yield good("the last of a chain", "M-2", "The largest sequence.", sequence=(1 << 53) - 1)
    yield good("quotes and backslashes", "M-1", "Only these two are escaped.", name='a"\\b', labels=[['"', "\\"]], files=[file('a"\\b', 1)], dirs=[])
    yield good("names beyond ASCII", "N-2", "Nothing else is escaped.", name="\u00e9t\u00e9",
               files=[file("\u00e9t\u00e9/\u65e5", 3), file("\u00e9t\u00e9/\U0001f468\u200d\U0001f469", 3)],
               dirs=[folder("\u00e9t\u00e9")])
    yield good("a line of sums that is escaped", "M-6", "A path with a backslash has its line escaped.", files=[file("n/a\\b", 3), file("n/c", 3)],
               dirs=[folder("n")])
    yield good("every mode", "M-4", "The owner's bits.", files=[file(f"n/{m}", 1, f"0{m}00") for m in range(8)], dirs=[folder("n", "0000")])
    yield good("times at their limits", "M-4", "From -2^40 to 2^40.", files=[file("n/a", 1, mtime=-1 << 40), file("n/b", 1, mtime=1 << 40),
                                                                             file("n/c", 1, mtime=0)],
               dirs=[folder("n", mtime=-1 << 40)])
    yield good("files are ordered by component", "N-5", "What n/a holds comes before n/a!.", files=[file("n/a/x", 1), file("n/a!", 1)],
               dirs=[folder("n"), folder("n/a")])
    for name, s, seconds in (("the first second", "1970-01-01T00:00:00Z", 0), ("the last second", "9999-12-31T23:59:59Z", 253402300799),
                             ("a leap day", "2024-02-29T12:00:00Z", 1709208000)):
        yield good("created in " + name, "M-2", "From 1970 to 9999.", seconds, created=s)
    yield good("labels at their limits", "M-2", "32 labels, keys of 64 bytes, values of 256 and of none.",
               labels=[["k" * 64 if i == 0 else f"l{i:02}", "v" * 256 if i else ""] for i in range(32)])
    yield good("labels in order of bytes", "M-2", "Strictly ascending, bytewise.", labels=[["A", "1"], ["a", "2"], ["a b", "3"], ["ab", "4"], ["\u00e9", "5"]])
    yield good("the largest chunks", "C-1", "Chunks of 4 MiB.", chunk_size=4194304)


def syntax():
    form, m = "Any byte that departs from the form.", manifest()
    yield edit("two keys exchanged", '"sender":"ctie-low",\n"receiver":"' + m["receiver"] + '"', '"receiver":"' + m["receiver"] + '",\n"sender":"ctie-low"',
               form)
    yield edit("an unknown key", '"tenant":', '"note":"",\n"tenant":', form)
    yield edit("a doubled key", '"tenant":"cssf",', '"tenant":"cssf",\n"tenant":"cssf",', form)
    yield edit("a missing key", '"tenant":"cssf",\n', "", form)
    yield edit("a key in upper case", '"tenant":', '"Tenant":', form)
    yield edit("an escaped key", '"tenant":', '"\\u0074enant":', form)
    yield edit("a space after a colon", '"tenant":', '"tenant": ', form)
    yield edit("a space at the end of a line", '"cssf",\n', '"cssf", \n', form)
    yield edit("no line feed", '"cssf",\n', '"cssf",', form)
    yield edit("a carriage return", '"cssf",\n', '"cssf",\r\n', form)
    yield edit("two line feeds", '"cssf",\n', '"cssf",\n\n', form)
    yield edit("a space in an entry", '"size":12,"mode"', '"size":12, "mode"', form)
    yield edit("no line feed between entries", '},\n{"path":"n/b"', '},{"path":"n/b"', form)
    yield edit("a comma after the last entry", '}\n],\n"dirs"', '},\n],\n"dirs"', form)
    yield edit("a comma after the last member", f'"total":{m["total"]}}}', f'"total":{m["total"]},}}', form)
    yield edit("an entry's keys exchanged", '"size":12,"mode":"0600"', '"mode":"0600","size":12', form)
    yield edit("an entry without a key", '"size":12,', "", form)
    yield edit("an unknown key in an entry", '"size":12,', '"size":12,"uid":0,', form)
    yield edit("an empty list with a line feed", '"dirs":[]', '"dirs":[\n]', form, files=[file("n", 5)], dirs=[])
    yield edit("an empty list with two", '"marks":[]', '"marks":[\n\n]', form, files=[file("n", 0)], dirs=[])
    yield edit("a list of null", '"dirs":[]', '"dirs":null', form, files=[file("n", 5)], dirs=[])
    yield edit("a solidus that is escaped", '"path":"n/b"', '"path":"n\\/b"', form)
    yield edit("a character as \\u", '"k":"v"', '"k":"\\u0076"', form)
    yield edit("a line feed as \\n", '"k":"v"', '"k":"\\n"', form)
    yield edit("a control in a string", '"k":"v"', '"k":"\t"', "RFC 8259 has no raw control below U+0020 in a string.")
    yield edit("a control after an escape", '"k":"v"', '"k":"\\\\\t"', "An escape does not open the string to more.")
    yield edit("another escape after an escape", '"k":"v"', '"k":"\\\\\\n"', "An escape does not open the string to more.")
    yield edit("bytes that are no UTF-8 after an escape", '"k":"v"', b'"k":"\\\\\xff"', "An escape does not open the string to more.")
    yield edit("bytes that are no UTF-8", '"k":"v"', b'"k":"\xff"', "A manifest is UTF-8.")
    yield edit("a surrogate", '"k":"v"', b'"k":"\xed\xa0\x80"', "A manifest is UTF-8.")
    yield edit("a path that is no UTF-8", '"path":"n/b"', b'"path":"n/\xff"', "A manifest is UTF-8.")
    yield edit("a plus sign", '"sequence":7', '"sequence":+7', form)
    yield edit("a minus sign", '"size":12', '"size":-12', "Integers are without sign, but mtime.")
    yield edit("a leading zero", '"sequence":7', '"sequence":07', form)
    yield edit("a fraction", '"sequence":7', '"sequence":7.0', form)
    yield edit("an exponent", '"sequence":7', '"sequence":7e0', form)
    yield edit("a minus zero", '"mtime":-1', '"mtime":-0', "One form for each value.")
    yield edit("a number in quotes", '"sequence":7', '"sequence":"7"', form)
    yield edit("no number", '"sequence":7', '"sequence":', form)
    yield edit("a string without quotes", '"tenant":"cssf"', '"tenant":null', form)
    yield edit("a space between labels", '"k":"v","l"', '"k":"v", "l"', form)
    yield edit("a line feed between labels", '"k":"v","l"', '"k":"v",\n"l"', form)
    yield bad("labels, descending", "M-2", "manifest-syntax", "The order of labels is part of the form.", labels=[["l", ""], ["k", ""]])
    yield bad("labels, a key twice", "M-2", "manifest-syntax", "The order of labels is part of the form.", labels=[["k", ""], ["k", ""]])
    t = text(m)
    for name, wrong in (("a byte order mark", "\ufeff" + t), ("no line feed at the end", t[:-1]), ("two line feeds at the end", t + "\n"),
                        ("a trailing space", t + " "),
                        ("a trailing NUL", t + "\0"), ("a space before", " " + t), ("cut in the middle", t[:len(t) // 2]), ("two manifests", t + t),
                        ("nothing", ""), ("no object", "[]\n")):
        yield refuse("manifest, " + name, "M-1", form, given(wrong), "manifest-syntax")


def places():
    """The form at each of its places: every key, every value, and what stands behind each (M-1)."""
    m = manifest(labels=[["kk", "vv"], ["ll", "ww"]])
    t, form = text(m), "Any byte that departs from the form."
    top = ["format", "bundle", "sender", "receiver", "tenant", "epoch", "sequence", "previous", "created", "name", "labels", "sums", "files", "dirs", "chunks",
           "total"]
    inner = {"files[]": ["path", "size", "mode", "mtime", "sha256"], "dirs[]": ["path", "mode", "mtime"], "chunks": ["size", "marks"]}
    begins = {"files[]": t.index('"files":'), "dirs[]": t.index('"dirs":'), "chunks": t.index('"chunks":')}
    keys = [(k, t.index(f'"{k}":')) for k in top] + [(f"{a}.{k}", t.index(f'"{k}":', begins[a] + 2)) for a, ks in inner.items() for k in ks]
    for place, at in keys:
        key = place.rpartition(".")[2]
        after = at + len(key) + 3  # the first byte of the value
        yield refuse(f"the form, another key for {place}", "M-1", form, given(t[:at] + f'"x{key}":' + t[after:]), "manifest-syntax", f"manifest.{place}'s key")
        yield refuse(f"the form, {place} without its colon", "M-1", form, given(t[:after - 1] + t[after:]), "manifest-syntax", f"manifest.{place}'s colon")
        yield refuse(f"the form, white space before {place}", "M-1", form, given(t[:after] + " " + t[after:]), "manifest-syntax", f"manifest.{place}")
    for name, old in (("labels[].key", '"ll":'), ("labels[].value", '"ww"'), ("chunks.marks[]", '"' + m["marks"][1])):
        at = t.index(old) + 1
        yield refuse(f"the form, an escape in {name}", "M-1", form, given(t[:at] + f"\\u{ord(t[at]):04x}" + t[at + 1:]), "manifest-syntax", f"manifest.{name}")
    for place, at in keys:  # what follows the value: a comma, or the end of what holds it
        if place in ("labels", "files", "dirs", "chunks", "chunks.marks"):
            end = {"labels": "},\n\"sums", "files": "],\n\"dirs", "dirs": "],\n\"chunks", "chunks": "},\n\"total", "chunks.marks": "]},\n\"total"}[place]
            stop = t.index(end) + 1
        else:
            stop = min(i for i in (t.find(",", at), t.find("}", at)) if i > 0)
        yield refuse(f"the form, white space behind {place}", "M-1", form, given(t[:stop] + " " + t[stop:]), "manifest-syntax", f"manifest.behind {place}")


def field():
    f, what = "manifest-field", "A value outside its grammar or limit."
    b32, digest = base32(fixed("bundle", 16)), fixed("receiver", 32).hex()
    for key, wrong in (("bundle", "a" * 26), ("bundle", b32.upper()), ("bundle", b32[:25]), ("bundle", b32[:25] + "b"), ("epoch", "a" * 26),
                       ("epoch", b32 + "a"), ("sender", ""),
                       ("sender", "a" * 65), ("sender", "-a"), ("sender", "a."), ("sender", "A"), ("tenant", "a/b"), ("tenant", "..") ,
                       ("receiver", digest.upper()),
                       ("receiver", digest[:63]), ("previous", ZERO[:62]), ("previous", ZERO), ("sums", "g" * 64), ("sequence", 0), ("sequence", 1 << 53),
                       ("sequence", 1 << 64),
                       ("sequence", 10**40), ("created", "2026-01-31T23:59:59+00:00"), ("created", "2026-01-31t23:59:59z"),
                       ("created", "2026-01-31T23:59:59.0Z"),
                       ("created", "2026-02-29T00:00:00Z"), ("created", "2026-01-31T23:59:60Z"), ("created", "2026-01-31T24:00:00Z"),
                       ("created", "1969-12-31T23:59:59Z"),
                       ("created", "10000-01-01T00:00:00Z"), ("created", "2026-01-31 23:59:59Z"), ("created", ""), ("chunk_size", 4097), ("chunk_size", 2048),
                       ("chunk_size", 8388608),
                       ("chunk_size", 0), ("marks", ["0" * 15, "0" * 16, "0" * 16]), ("marks", ["A" * 16] * 3)):
        change = {key: wrong} | ({"marks": [mark(b"")]} if key == "chunk_size" else {})
        rule = {"bundle": "I-1", "epoch": "I-1", "sender": "I-2", "tenant": "I-2", "receiver": "I-3", "sums": "I-3", "marks": "I-4"}.get(key, "M-2")
        rule = "I-3" if wrong == ZERO[:62] else rule
        yield bad(f"{key} {str(wrong)[:30]!r}" + (f" of {len(wrong)}" if isinstance(wrong, str) else ""), rule, f, what, **change)
    for key, wrong in (("file's size", {"files": [file("n", 1) | {"size": (1 << 46) + 1}], "dirs": [], "total": (1 << 46) + 1, "marks": []}),
                       ("total", {"total": (1 << 46) + 1}), ("total of 65 bits", {"total": 1 << 64}), ("file's size of 65 bits", {"files": [
                           file("n", 1) | {"size": 1 << 64}], "dirs": [], "total": 1, "marks": [mark(b"")]})):
        yield refuse(f"{key} beyond its limit", "M-2", what, given(text(manifest(**({"sums": "ab" * 32} | wrong)))), f,
                     "manifest.files[].size" if "file" in key else "manifest.total")
    yield bad("another format", "M-2", f, "Another format has the same keys.", format="ecluse-manifest-2")
    yield bad("previous of sequence 1", "M-2", f, "previous is zero for sequence 1.", sequence=1)
    names = (("33 of them", [[f"l{i:02}", ""] for i in range(33)]), ("an empty key", [["", "v"]]), ("a key of 65 bytes", [["k" * 65, ""]]),
             ("a value of 257 bytes", [["k", "v" * 257]]),
             ("DEL in a key", [["k\x7f", ""]]), ("a C1 control in a value", [["k", "a\x85"]]),
             ("a bidirectional control in a value", [["k", "a\u202eb"]]), ("a line separator in a value", [["k", "a\u2028b"]]))
    for name, labels in names:
        yield bad("labels, " + name, "N-2" if labels[0][0][1:] == "\x7f" or labels[0][1][:1] == "a" else "M-2", f, "Labels are few, short, printable and in order.", labels=labels)
    for name, path, reason in (("empty", "", "path-syntax"), ("two components", "n/a", "path-syntax"), ("two dots", "..", "path-syntax"),
                               ("too long", "n" * 256, "path-long"),
                               ("a control", "a\x7f", "path-control")):
        yield bad("name, " + name, "N-2" if reason == "path-control" else "N-1", reason, "The name is one path component; paths give the reasons of section 9.", name=path)
    for name, path, reason in (("absolute", "/n/a", "path-syntax"), ("climbs", "n/../a", "path-syntax"), ("two slashes", "n//a", "path-syntax"),
                               ("too deep", "n/" + "/".join(["a"] * 64), "path-long"),
                               ("DEL", "n/\x7f", "path-control"), ("a bidirectional control", "n/\u2066", "path-control")):
        rule = "N-2" if reason == "path-control" else "N-1"
        yield bad("file's path, " + name, rule, reason, "Paths give the reasons of section 9.", files=[file(path, 1)], dirs=[folder("n")])
        yield bad("directory's path, " + name, rule, reason, "Paths give the reasons of section 9.", files=[], dirs=[folder("n"), folder(path)])
    for mode in ("0640", "0601", "0800", "1700", "4700", "700", "00700", "", "0x00", "0000\u0660"):
        yield bad(f"file's mode {mode!a}", "M-4", f, "Only the owner's three bits.", files=[file("n", 1, mode)], dirs=[])
        yield bad(f"directory's mode {mode!a}", "M-4", f, "Only the owner's three bits.", files=[], dirs=[folder("n", mode)])
    for mtime in ((1 << 40) + 1, -(1 << 40) - 1, 1 << 63, -(1 << 63) - 1):
        yield bad(f"file's mtime {mtime}", "M-4", f, "From -2^40 to 2^40.", files=[file("n", 1, mtime=mtime)], dirs=[])
        yield bad(f"directory's mtime {mtime}", "M-4", f, "From -2^40 to 2^40.", files=[], dirs=[folder("n", mtime=mtime)])
    yield bad("file's digest in upper case", "I-3", f, what, files=[file("n", 1, sha256="AB" * 32)], dirs=[])


def tree():
    t, up = "manifest-tree", "Strictly ascending, every parent there, one tree under the name."
    n = folder("n")
    for name, change in (
            ("files descending", {"files": [file("n/b", 1), file("n/a", 1)], "dirs": [n]}), ("a file twice", {"files": [file("n/a", 1)] * 2, "dirs": [n]}),
            ("files in order of bytes, not of components", {"files": [file("n/a!", 1), file("n/a/x", 1)], "dirs": [n, folder("n/a")]}),
            ("directories descending", {"files": [], "dirs": [n, folder("n/b"), folder("n/a")]}), ("a directory twice", {"files": [], "dirs": [n, n]}),
            ("a directory after what it holds", {"files": [], "dirs": [folder("n/a"), n]}), ("a file's parent is missing",
                                                                                             {"files": [file("n/c/x", 1)], "dirs": [n]}),
            ("a directory's parent is missing", {"files": [], "dirs": [n, folder("n/c/d")]}), ("the top is missing", {"files": [file("n/a", 1)], "dirs": []}),
            ("a file outside the name", {"files": [file("o", 1)], "dirs": []}), ("a directory outside the name", {"files": [], "dirs": [folder("o")]}),
            ("a second top", {"files": [file("n/a", 1)], "dirs": [n, folder("o")]}), ("two files at the top",
                                                                                      {"files": [file("n", 1), file("o", 1)], "dirs": []}),
            ("a file beside the directory", {"files": [file("n/a", 1), file("o", 1)], "dirs": [n]}), ("nothing at all", {"files": [], "dirs": []}),
            ("a name that only begins alike", {"files": [file("nn", 1)], "dirs": []})):
        yield bad("tree, " + name, "M-3", t, up, **change)
    collide = (("e and acute", {"files": [file("n/e\u0301", 1), file("n/\u00e9", 1)], "dirs": [n]}),
               ("a file and a directory", {"files": [file("n/a", 1)], "dirs": [n, folder("n/a")]}),
               ("directories", {"files": [], "dirs": [n, folder("n/e\u0301"), folder("n/\u00e9")]}))
    for name, change in collide:
        yield bad("collision of " + name, "N-3", "path-collision", "Two paths for one name.", **change)


def totals():
    m, t = manifest(), "manifest-total"
    yield bad("total one more", "M-5", t, "total is the sum of the sizes.", total=m["total"] + 1)
    yield bad("total one less", "M-5", t, "total is the sum of the sizes.", total=m["total"] - 1)
    yield bad("a mark too few", "M-5", t, "Marks are as many as chunks.", marks=m["marks"][:-1])
    yield bad("a mark too many", "M-5", t, "Marks are as many as chunks.", marks=m["marks"] + ["0" * 16])
    yield bad("a mark for nothing", "M-5", t, "Without content there is no chunk.", files=[file("n", 0)], dirs=[], marks=["0" * 16])
    yield bad("no mark", "M-5", t, "Marks are as many as chunks.", marks=[])
    yield bad("marks for chunks that do not end after 2,048 runs", "M-5", t, "A chunk ends early after 2,048 runs.", marks=["0" * 16], dirs=[folder("n")],
              files=[file(f"n/{i:04}", 1, sha256="ab" * 32) for i in range(2049)])
    other = hashlib.sha256(sums(m["files"][::-1]).encode()).hexdigest()
    yield bad("sums in another order", "M-6", "manifest-sums", "The lines stand in order.", sums=other)
    plain = [file("n/a\\b", 3)]
    yield bad("sums without the escape", "M-6", "manifest-sums", "A path with a backslash has its line escaped.", files=plain, dirs=[folder("n")],
              sums=hashlib.sha256(f"{plain[0]['sha256']}  files/n/a\\b\n".encode()).hexdigest())
    yield bad("sums in binary mode", "M-6", "manifest-sums", "Two spaces stand before the name.",
              sums=hashlib.sha256(sums(m["files"]).replace("  files", " *files").encode()).hexdigest())
    yield bad("sums of nothing", "M-6", "manifest-sums", "Another digest.", sums=hashlib.sha256(b"").hexdigest())


def agreement():
    m = manifest()
    good_claim, t = claim(m, CREATED), text(m)
    yield accept("an honest claim", "M-7", "Offer, close and manifest agree.", given(t) | {"claim": good_claim})
    changes = (("bundle", base32(fixed("other", 16))), ("tenant", "other"), ("epoch", base32(fixed("other", 16))), ("sequence", 8),
               ("previous", fixed("other", 32).hex()), ("files", 4),
               ("dirs", 1), ("bytes", 9013), ("chunks", 4), ("chunk_size", 8192), ("name", "o"), ("created", CREATED + 1))
    for key, value in changes:
        yield refuse("a claim of another " + key, "M-7", "The manifest contradicts its offer or close.", given(t) | {"claim": good_claim | {key: value}},
                     "manifest-mismatch")
    for key, value in (("size", good_claim["size"] + 1), ("digest", fixed("other", 32).hex())):
        yield refuse("a claim of another manifest's " + key, "M-7", "These are other bytes than the close says.",
                     given(t) | {"claim": good_claim | {key: value}}, "manifest-digest")


def limits():
    m, t = manifest(), text(manifest())
    size, own = len(t.encode()), "A receiver's own, lower limits."
    for key, at in (("files", len(m["files"])), ("dirs", len(m["dirs"])), ("bytes", m["total"]), ("manifest", size)):
        yield accept(f"a receiver's limit of {key}", "M-2", own, given(t) | {"limits": {key: at}}, _values(m, CREATED))
        yield refuse(f"a receiver's limit of {key}, one too many", "M-2", own, given(t) | {"limits": {key: at - 1}}, "limit")


def vectors():
    return [*accepted(), *syntax(), *places(), *field(), *tree(), *totals(), *agreement(), *limits()]
