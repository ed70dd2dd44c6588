"""Section 8: how files are cut into chunks, found by walking every byte's place the simple way."""

from .wire import accept

RUNS = 2048


def chunks(sizes, size):
    """Each chunk is a list of runs (file, offset, length)."""
    out, now, room = [], [], size
    for number, left in enumerate(sizes, 1):
        offset = 0
        while left:
            n = min(left, room)
            now.append([number, offset, n])
            offset, left, room = offset + n, left - n, room - n
            if room == 0 or len(now) == RUNS:
                out, now, room = out + [now], [], size
    return out + [now] if now else out


def row(name, rule, what, sizes, size):
    """Sizes are given as pairs (size, how many files of it). Of a long layout only some chunks are shown."""
    flat = [s for s, n in sizes for _ in range(n)]
    all_ = chunks(flat, size)
    shown = {str(i): c if len(c) <= 8 else {"runs": len(c), "first": c[0], "last": c[-1]} for i, c in enumerate(all_) if i < 4 or i >= len(all_) - 2}
    shown = {i: c if isinstance(c, dict) else {"runs": len(c), "all": c} for i, c in shown.items()}
    return accept(name, rule, what, {"sizes": [list(s) for s in sizes], "chunk_size": size}, {"chunks": len(all_), "shown": shown})


def manifest(size, chunk):
    n = -(-size // chunk)
    return accept(f"a manifest of {size} bytes in chunks of {chunk}", "C-2", "The manifest is file 0 and is cut the same way.",
                  {"manifest": size, "chunk_size": chunk},
                  {"chunks": n, "shown": {str(i): {"runs": 1, "all": [[0, i * chunk, min(chunk, size - i * chunk)]]} for i in sorted({0, n - 1})}})


def vectors():
    cut, numbered = "Files one after another, cut where a chunk is full.", "Files are numbered from 1, empty ones too."
    early = "A chunk ends early after 2,048 runs only."
    return [
        row("nothing", "C-1", "No byte, no chunk.", [], 4096), row("an empty file", "C-1", "Empty files have no run.", [(0, 1)], 4096),
        row("one byte", "C-1", cut, [(1, 1)], 4096), row("one chunk less a byte", "C-1", cut, [(4095, 1)], 4096),
        row("one chunk", "C-1", cut, [(4096, 1)], 4096),
        row("one chunk and a byte", "C-1", cut, [(4097, 1)], 4096), row("a file across four chunks", "C-1", cut, [(100, 1), (12400, 1), (7, 1)], 4096),
        row("files that end with their chunks", "C-1", cut, [(4096, 3)], 4096), row("empty files between", "C-2", numbered,
                                                                                    [(0, 2), (10, 1), (0, 3), (4096, 1), (0, 1)], 4096),
        row("2,047 runs", "C-1", early, [(1, 2047)], 4096), row("2,048 runs", "C-1", early, [(1, 2048)], 4096),
        row("2,049 runs", "C-1", early, [(1, 2049)], 4096),
        row("2,048 runs that fill the chunk", "C-1", early, [(2, 2048), (5, 1)], 4096), row("the 2,048th run inside a file", "C-1", early,
                                                                                            [(1, 2047), (9000, 1)], 4096),
        row("the 2,048th run ends at the chunk's end inside a file", "C-1", early, [(2, 2047), (9000, 1)], 4096),
        row("2,048 runs and empty files", "C-1", early, [(1, 1000), (0, 500), (1, 1100)], 4096),
        row("runs counted afresh", "C-1", early, [(1, 5000), (4096, 2), (3, 3000)], 4096),
        row("the largest chunk", "C-1", cut, [(5000000, 2)], 4194304), manifest(1, 4096), manifest(4096, 4096), manifest(4097, 4096),
        manifest(536870912, 4194304),
        manifest(536870912, 4096)]
