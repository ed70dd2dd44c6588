"""Section 3: the window of packet numbers (P-6, P-7), each vector a history and one more number."""

from .wire import accept, refuse


def vectors():
    def row(name, accepted, number, reason=None, floor=None, tried=()):
        """accepted are pairs (first, last) of numbers that opened, tried are numbers of packets that did not."""
        rule = "P-7" if floor is not None else "P-6"
        what = "Numbers at or below the one stored before a restart." if rule == "P-7" else "A number counts once, and the last 65,536 can be told."
        given = {"floor": floor, "accepted": [list(a) for a in accepted], "tried": list(tried), "number": number}
        return refuse("window: " + name, rule, what, given, reason) if reason else accept("window: " + name, rule, what, given)

    last, r, f = (1 << 48) - 1, "packet-replay", "packet-floor"
    return [
        row("the first", [], 0), row("the first is not 0", [], 12345), row("the first is the last", [], last), row("the next", [(0, 9)], 10),
        row("again", [(0, 9)], 9, r),
        row("the first again", [(0, 0)], 0, r), row("an old one again", [(0, 9)], 3, r), row("one that is missing", [(0, 4), (6, 9)], 5),
        row("one that is missing, again", [(0, 4), (6, 9), (5, 5)], 5, r),
        row("65,535 below the highest", [(70000, 70000)], 70000 - 65535), row("65,536 below the highest", [(70000, 70000)], 70000 - 65536, r),
        row("65,537 below the highest", [(70000, 70000)], 70000 - 65537, r), row("65,535 below the highest, again",
                                                                                 [(70000 - 65535, 70000 - 65535), (70000, 70000)], 70000 - 65535, r),
        row("0 below 65,535", [(65535, 65535)], 0), row("0 below 65,536", [(65536, 65536)], 0, r),
        row("a leap of exactly one window", [(5, 5), (65541, 65541)], 65541 - 65535),
        row("a leap of exactly one window, the old one", [(5, 5), (65541, 65541)], 5, r), row("a leap over several windows", [(0, 100), (1 << 40, 1 << 40)],
                                                                                              (1 << 40) - 100),
        row("the end of the numbers", [(last - 1, last - 1)], last), row("the end of the numbers, again", [(last, last)], last, r),
        row("far below the end", [(last, last)], 0, r),
        row("a forged number does not move the window", [(0, 9)], 10, tried=[1 << 40]), row("a forged number is not remembered", [(0, 9)], 20, tried=[20]),
        row("a number that did not open is still missing", [(0, 4), (6, 9)], 5, tried=[5]),
        row("a run across the window's end", [(0, 65534), (65536, 131072)], 65535, r), row("a run that leaves one out", [(0, 99), (101, 65635)], 100),
        row("at the floor", [], 100, f, 100), row("below the floor", [], 0, f, 100), row("above the floor", [], 101, None, 100),
        row("a floor of 0", [], 0, f, 0), row("above a floor of 0", [], 1, None, 0),
        row("below the floor after others", [(101, 110)], 50, f, 100), row("above the floor, again", [(101, 110)], 105, r, 100),
        row("above the floor, late", [(200, 200)], 101, None, 100),
        row("far above the floor", [(100000, 100000)], 100000 - 65536, r, 100), row("a floor at the last number", [], last, f, last)]
