"""Section 11: what a receiver remembers, a manifest that claims a place, and the judgement (Q-1 to Q-5)."""

from .wire import accept, fixed, refuse

PAIRED, OLD, STRANGE = "paired", "replaced", "unknown"
ZERO = bytes(32).hex()


def d(n, other=""):
    return ZERO if n == 0 else fixed(f"chain {n}{other}", 32).hex()


def i(n, other=""):
    return fixed(f"chain id {n}{other}", 16).hex()


E = {name: fixed("chain epoch " + name, 16).hex() for name in (PAIRED, OLD, STRANGE)}


def held(n, other="", previous=None, epoch=PAIRED):
    return {"bundle": i(n, other), "epoch": E[epoch], "sequence": n, "digest": d(n, other), "previous": d(n - 1) if previous is None else previous}


def row(name, rule, what, have, place, reason=None, floor=0):
    given = {"paired": E[PAIRED], "replaced": [E[OLD]], "held": have, "floor": floor, "place": place}
    return refuse(name, rule, what, given, reason) if reason else accept(name, rule, what, given)


def vectors():
    chain = [held(1), held(2), held(3)]
    q1, q2, q4, q5 = "sequence-replay", "sequence-rollback", "epoch-new", None
    q3, held_before = "sequence-fork", "An id or a digest that has been held is refused in whatever state it ended."
    forks, fine = "Two manifests claim one place, or contradict their neighbours.", "A predecessor that is not here blocks nothing."
    return [
        row("the first", "Q-5", fine, [], held(1), q5), row("the next", "Q-5", fine, chain, held(4), q5),
        row("one is missing before", "Q-5", fine, chain, held(5), q5),
        row("a late one without neighbours", "Q-5", fine, [held(1), held(9)], held(5), q5), row("a late one between its neighbours", "Q-5", fine,
                                                                                                [held(1), held(3)], held(2), q5),
        row("the first one, late", "Q-5", fine, [held(2)], held(1), q5), row("a predecessor in another epoch", "Q-5", "Each epoch counts from 1.",
                                                                             [held(1, epoch=OLD)], held(1, "x"), q5),
        row("the last sequence", "Q-5", fine, chain, {**held(1), "bundle": i("z"), "digest": d("z"), "sequence": (1 << 53) - 1, "previous": d("y")}, q5),
        row("the same again", "Q-1", held_before, chain, held(2), q1), row("its id with another digest", "Q-1", held_before, chain, {**held(4), "bundle": i(2)},
                                                                           q1),
        row("its digest with another id", "Q-1", held_before, chain, {**held(4), "digest": d(2)}, q1),
        row("the same again, in its replaced epoch", "Q-1", "Q-1 is judged before Q-2.", [held(1, epoch=OLD)], held(1, epoch=OLD), q1),
        row("the same again, below the floor", "Q-1", "Q-1 is judged before Q-2.", chain, held(1), q1, floor=2),
        row("the same again, in a strange epoch", "Q-1", "Q-1 is judged before Q-4.", [held(1, epoch=STRANGE)], held(1, epoch=STRANGE), q1),
        row("a replaced epoch", "Q-2", "An epoch that was paired once and has been replaced.", chain, held(4, epoch=OLD), q2),
        row("at the floor", "Q-2", "What was forgotten on purpose cannot be told from a replay.", [], held(5), q2, floor=5),
        row("below the floor", "Q-2", "What was forgotten on purpose cannot be told from a replay.", [], held(4), q2, floor=5),
        row("just above the floor", "Q-5", "The floor is the last one that was forgotten.", [], held(6), q5, floor=5),
        row("a fork below the floor", "Q-2", "Q-2 is judged before Q-3.", chain, held(2, "x", previous=d(1)), q2, floor=2),
        row("a fork in a replaced epoch", "Q-2", "Q-2 is judged before Q-3.", [held(2, epoch=OLD)], held(2, "x", previous=d(1), epoch=OLD), q2),
        row("its sequence with another digest", "Q-3", forks, chain, held(3, "x", previous=d(2)), q3),
        row("another previous than is held", "Q-3", forks, chain, held(4, previous=d(3, "x")), q3),
        row("its follower names another previous", "Q-3", forks, [held(1), held(3)], held(2, "x", previous=d(1)), q3),
        row("the follower of the first names another", "Q-3", forks, [held(2)], held(1, "x"), q3),
        row("a fork in a strange epoch", "Q-3", "Q-3 is judged before Q-4.", [held(1, epoch=STRANGE)], held(1, "x", epoch=STRANGE), q3),
        row("a strange epoch", "Q-4", "Held until the sender is paired again.", chain, held(1, "x", epoch=STRANGE), q4),
        row("a strange epoch that goes on", "Q-4", "Held until the sender is paired again.", [held(1, epoch=STRANGE)], held(2, epoch=STRANGE), q4)]
