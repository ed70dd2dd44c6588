"""Section 7, R-7: frames of chunks, written by hand after RFC 8878 in blocks that are not compressed."""

from .wire import accept, fixed, packed, refuse, xxh64

MAGIC = bytes.fromhex("28b52ffd")
CONTENT = fixed("content of a frame", 100)


def block(content, *, last=True, kind=0, size=None):
    return (int(last) | kind << 1 | (len(content) if size is None else size) << 3).to_bytes(3, "little") + content


def frame(content=CONTENT, *, magic=MAGIC, reserved=0, dictionary=b"", size=None, window=None, blocks=None, checksum=None):
    """One frame; its size takes 4 bytes, or none where size is b"". With a window it is not of a single segment."""
    size = len(content).to_bytes(4, "little") if size is None else size
    descriptor = (0x80 if size else 0) | (0x20 if window is None else 0) | reserved << 3 | (4 if checksum is not None else 0) | (1 if dictionary else 0)
    out = magic + bytes([descriptor]) + (b"" if window is None else bytes([window])) + dictionary + size
    return out + (block(content) if blocks is None else blocks) + (b"" if checksum is None else checksum)


def total(content=CONTENT):
    return (xxh64(content) & 0xFFFFFFFF).to_bytes(4, "little")


def vectors():
    def good(name, b, content=CONTENT):
        return accept("frame, " + name, "R-7", "One frame that states its size, whole and alone.", {"frame": packed(b), "raw": len(content)},
                      {"content": packed(content)})

    def bad(name, field, b, raw=len(CONTENT)):
        return refuse("frame, " + name, "R-7", "Not one frame of exactly raw bytes.", {"frame": packed(b), "raw": raw}, "chunk-frame", f"frame.{field}")

    n, large = len(CONTENT), bytes(200000)
    halves = block(CONTENT[:50], last=False) + block(CONTENT[50:])
    skippable = bytes.fromhex("502a4d18") + (3).to_bytes(4, "little") + b"abc"
    return [
        good("a raw block", frame()), good("two blocks", frame(blocks=halves)), good("an empty last block", frame(blocks=block(CONTENT, last=False) + block(b""))),
        good("one byte repeated", frame(bytes(n), blocks=block(b"\0", kind=1, size=n)), bytes(n)), good("a checksum", frame(checksum=total())),
        good("a window of 8 MiB", frame(window=13 << 3)), good("a small window", frame(window=0)),
        bad("another magic", "magic", frame(magic=MAGIC[::-1])), bad("a magic of the last format", "magic", frame(magic=bytes.fromhex("27b52ffd"))),
        bad("the reserved bit", "descriptor", frame(reserved=1)), bad("a dictionary", "dictionary", frame(dictionary=b"\7")),
        bad("no size", "size", frame(size=b"", window=0)), bad("a size one too small", "size", frame(size=(n - 1).to_bytes(4, "little")), n - 1),
        bad("a size one too large", "size", frame(size=(n + 1).to_bytes(4, "little")), n + 1),
        bad("a size above a chunk", "size", frame(size=(4194305).to_bytes(4, "little")), 4194304),
        bad("raw one less", "raw", frame(), n - 1), bad("raw one more", "raw", frame(), n + 1),
        bad("a window of 16 MiB", "window", frame(window=14 << 3)),
        bad("the reserved kind of block", "block's kind", frame(blocks=block(CONTENT, kind=3))),
        bad("a block beyond the frame", "block's size", frame(blocks=block(CONTENT, size=n + 1))),
        bad("a block above 128 KiB", "block's size", frame(large, blocks=block(large)), len(large)),
        bad("a repetition above 128 KiB", "block's size", frame(large, blocks=block(b"\0", kind=1, size=len(large))), len(large)),
        bad("no last block", "block's last bit", frame(blocks=block(CONTENT, last=False))),
        bad("a block behind the last", "end", frame(blocks=block(CONTENT) + block(b""))),
        bad("content that is cut", "block's content", frame()[:-1]), bad("a block's head that is cut", "block's head", frame()[:len(MAGIC) + 5 + 2]),
        bad("no block", "block's head", frame(blocks=b"")), bad("a compressed block of nonsense", "block's content", frame(blocks=block(CONTENT, kind=2))),
        bad("another checksum", "checksum", frame(checksum=total(CONTENT[::-1]))), bad("half a checksum", "checksum", frame(checksum=total()[:2])),
        bad("a checksum that is not announced", "end", frame() + total()), bad("a byte behind", "end", frame() + b"\0"),
        bad("a second frame", "end", frame() + frame()), bad("an empty frame behind", "end", frame() + frame(b"")),
        bad("a skippable frame behind", "end", frame() + skippable), bad("a skippable frame before", "magic", skippable + frame()),
        bad("a skippable frame alone", "magic", skippable), bad("nothing", "magic", b""), bad("half a magic", "magic", MAGIC[:2]),
        bad("a magic alone", "descriptor", MAGIC), bad("a size that is cut", "size", frame()[:len(MAGIC) + 3])]
