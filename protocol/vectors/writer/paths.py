"""Section 9: paths, what collides, portable names, and the order."""

from .wire import accept, refuse


def single():
    for path in ("n", "n/a", "/".join(["d"] * 64), "n" * 255, "/".join(["n" * 255] * 16), "n/...", "n/.a", "n/a.", " ", "n/ a ", "n/a\\b", 'n/a"b', "n/a:b",
                 "n/con",
                 "e\u0301", "\u00e9", "\u65e5\u672c\u8a9e", "\u0645\u0631\u062d\u0628\u0627", "a\u200cb", "a\u200db", "\u2764\ufe0f", "a\U000e0100",
                 "\U0001f468\u200d\U0001f469\u200d\U0001f466",
                 "\u00a0", "\u00ad", "\u200b", "\ufeff", "\u2060", "~", "\ufffd", "\ue000", "\U0010ffff", "\u202f", "\u2027", "\u2065", "\u206a"):
        yield accept(f"path {path[:40]!a} of {len(path.encode())} bytes", "N-1" if path.isascii() else "N-2", "A path as people and programs make them.",
                     {"kind": "path", "path": path}, {"components": path.split("/")})
    for name, path, reason in (
            ("empty", "", "path-syntax"), ("a slash alone", "/", "path-syntax"), ("absolute", "/n", "path-syntax"), ("a slash at the end", "n/", "path-syntax"),
            ("an empty component", "n//a", "path-syntax"), ("a dot", ".", "path-syntax"), ("two dots", "..", "path-syntax"),
            ("a dot inside", "n/./a", "path-syntax"),
            ("two dots inside", "n/../a", "path-syntax"), ("two dots at the end", "n/..", "path-syntax"), ("65 levels", "/".join(["d"] * 65), "path-long"),
            ("a component of 256 bytes", "n" * 256, "path-long"), ("a component of 128 characters in 256 bytes", "\u00e9" * 128, "path-long"),
            ("4,097 bytes", "/".join(["n" * 255] * 15 + ["n" * 253, "nnn"]), "path-long")):
        yield refuse("path, " + name, "N-1", "A path outside the syntax or the limits.", {"kind": "path", "path": path}, reason)
    for place, make in (("first", "{}/a/b"), ("inner", "n/{}/b"), ("last", "n/a/{}")):
        for what, rule, component, reason in (("empty", "N-1", "", "path-syntax"), ("a dot", "N-1", ".", "path-syntax"), ("two dots", "N-1", "..", "path-syntax"),
                                              ("too long", "N-1", "n" * 256, "path-long"), ("a control", "N-2", "a\x1bb", "path-control"),
                                              ("a bidirectional control", "N-2", "\u202ea", "path-control")):
            yield refuse(f"path, its {place} component is {what}", rule, "Every component obeys.", {"kind": "path", "path": make.format(component)}, reason,
                         f"path's {place} component")
    yield accept("path of 4,096 bytes in 17 components", "N-1", "As long as a path may be.",
                 {"kind": "path", "path": "/".join(["n" * 255] * 15 + ["n" * 252, "nnn"])},
                 {"components": ["n" * 255] * 15 + ["n" * 252, "nnn"]})
    for name, b in (("a lone byte", b"n/\xff"), ("a cut character", b"n/\xc3"), ("an overlong slash", b"n/\xc0\xaf"), ("a surrogate", b"n/\xed\xa0\x80"),
                    ("above U+10FFFF", b"n/\xf4\x90\x80\x80")):
        yield refuse("path that is no UTF-8, " + name, "N-1", "Components are valid UTF-8.", {"kind": "path", "hex": b.hex()}, "path-syntax")
    controls = [0, 1, 9, 10, 13, 0x1B, 0x1F, 0x7F, 0x80, 0x85, 0x9F, 0x061C, 0x200E, 0x200F, 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    for c in controls:
        yield refuse(f"path with U+{c:04X}", "N-2", "A control or a bidirectional control.", {"kind": "path", "path": f"n/a{chr(c)}b"}, "path-control")


def tables():
    def table(name, rule, files, dirs=(), policy="linux", reason=None):
        """A bundle named n with these entries in it, besides the directory n itself."""
        order = lambda paths: sorted(paths, key=lambda p: [x.encode() for x in p.split("/")])
        given = {"kind": "table", "policy": policy, "name": "n", "files": order("n/" + f for f in files), "dirs": order(["n", *("n/" + d for d in dirs)])}
        if reason:
            return refuse(f"{policy}: {name}", rule, "Two paths for one name, or a name that the policy refuses.", given, reason)
        return accept(f"{policy}: {name}", rule, "Paths that only look alike, or are allowed.", given)

    same = (("e and acute", ["\u00e9", "e\u0301"]), ("two marks in another order", ["a\u0323\u0307", "a\u0307\u0323"]),
            ("Angstrom and A ring", ["\u212b", "\u00c5"]),
            ("Hangul whole and in parts", ["\ud55c", "\u1112\u1161\u11ab"]), ("Ohm and Omega", ["\u2126", "\u03a9"]))
    for policy in ("linux", "portable"):
        for name, files in same:
            yield table(name, "N-3", files, policy=policy, reason="path-collision")
        yield table("directories equal after NFC", "N-3", [], ["\u00e9", "e\u0301"], policy, "path-collision")
        yield table("a file and a directory equal after NFC", "N-3", ["\u00e9"], ["e\u0301"], policy, "path-collision")
        yield table("a file where a directory is", "N-3", ["a"], ["a"], policy, "path-collision")
        yield table("the same name in two directories", "N-3", ["a/x", "b/x"], ["a", "b"], policy)
        yield table("compatibility forms", "N-3", ["\ufb01", "fj"], [], policy)
        yield table("words of people", "N-3", ["\u00e9t\u00e9", "e", "caf\u00e9.txt", "\u65e5\u672c", "a\u200db"], [], policy)
    folded = (("two cases", ["a", "A"]), ("two cases of a directory", [], ["a", "A"]), ("Kelvin and k", ["\u212a", "k"]),
              ("sharp s", ["stra\u00dfe", "STRASSE"]),
              ("capital sharp s", ["\u1e9e", "ss"]), ("two sigmas", ["\u03c3", "\u03c2"]), ("a ligature", ["\ufb01", "fi"]), ("long s", ["\u017f", "s"]),
              ("case and form", ["\u00c9", "e\u0301"]),
              ("iota below", ["\u1fb3", "\u03b1\u03b9"]), ("dotted capital I", ["\u0130", "i\u0307"]), ("Cherokee", ["\uab70", "\u13a0"]),
              ("iota below and a mark in another order", ["\u03b1\u0345\u0301", "\u03b1\u0301\u03b9"]), ("Deseret", ["\U00010400", "\U00010428"]),
              ("n with an apostrophe", ["\u0149", "\u02bcn"]))
    for name, files, *dirs in folded:
        d = dirs[0] if dirs else ()
        yield table(name, "N-4", files, d, "portable", "path-collision")
        yield table(name, "N-4", files, d, "linux")
    yield table("dotless i", "N-4", ["\u0131", "i"], policy="portable")
    yield table("fullwidth A", "N-4", ["\uff21", "A"], policy="portable")
    reserved = ["CON", "con", "PRN", "AUX", "NUL", "nul.txt", "NUL.tar.gz", "COM0", "COM1", "com9", "LPT0", "LPT9.x", "COM\u00b9", "COM\u00b2.txt", "lpt\u00b3"]
    for name in reserved + ["a.", "a ", ".. .", "a<b", "a>b", "a:b", 'a"b', "a\\b", "a|b", "a?b", "a*b"]:
        yield table(f"the file {name!a}", "N-4", [name], policy="portable", reason="path-portable")
        yield table(f"the file {name!a}", "N-4", [name])
    for field, name, files, dirs, reason in (
            ("dirs[]: last character", "a directory that ends in a dot", ["d./x"], ["d."], "path-portable"),
            ("dirs[]: character", "a directory with a colon", ["d:/x"], ["d:"], "path-portable"),
            ("dirs[]: stem before an extension", "a directory con.d", ["con.d/x"], ["con.d"], "path-portable"),
            ("dirs[]: first character", "a directory that begins with a pipe", ["|d/x"], ["|d"], "path-portable"),
            ("files[]: first character", "a file that begins with a question", ["?a"], [], "path-portable"),
            ("files[] in a directory", "a reserved name in a directory", ["d/lpt1"], ["d"], "path-portable"),
            ("files[] and dirs[]", "a file and a directory equal but for case", ["A"], ["a"], "path-collision"),
            ("dirs[] in a directory", "directories in a directory equal but for case", [], ["d", "d/x", "d/X"], "path-collision")):
        yield table(name, "N-4", files, dirs, "portable", reason) | {"field": field}
    yield table("files in a directory equal after NFC", "N-3", ["d/\u00e9", "d/e\u0301"], ["d"], reason="path-collision") | {"field": "files[] in a directory"}
    yield table("directories in a directory equal after NFC", "N-3", [], ["d", "d/\u00e9", "d/e\u0301"], reason="path-collision") | {
        "field": "dirs[] in a directory"}
    yield table("the directory aux", "N-4", ["aux/x"], ["aux"], "portable", "path-portable")
    for name in ("CONS", "acon", "COM", "COM10", "LPT", "com\u2074", ".con", "a.con", "_nul", "CONIN", "a.b", " a", "a'b", "a;b", "a,b", "a=b", "[a]", "{a}",
                 "%a"):
        yield table(f"the file {name!a}", "N-4", [name], policy="portable")


def order():
    rows = (["a", "a/b", "a/b/c", "a/c", "a!", "a-b", "a.txt", "a0", "ab", "b"],  # '!', '-' and '.' stand before '/' in bytes
            ["A", "B", "a", "b"], ["z", "\u00e9", "\uffff", "\U00010000"],  # by UTF-8, which is not by UTF-16
            ["n", "n/\\", "n/a"], ["e\u0301", "\u00e9"], ["a", "a ", "a b", "a/a"])
    for row in rows:
        want = sorted(row, key=lambda p: [x.encode() for x in p.split("/")])
        yield accept(f"the order of {', '.join(row)!a}", "N-5", "Component by component, bytewise; a directory before what it holds.",
                     {"kind": "order", "files": row[::-1]}, {"files": want})


def vectors():
    return [*single(), *tables(), *order()]
