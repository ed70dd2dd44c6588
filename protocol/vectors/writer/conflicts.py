"""Section 7, what records say together: R-5, R-6 and R-8 over two or three blocks of one session, each of one record."""

from . import records as r
from .wire import accept, fixed, packed, refuse

BASE = fixed("another", 32).hex()


def given(*recs):
    return {"blocks": [packed(r.block(r.of(x), number=i)) for i, x in enumerate(recs)]}


def vectors():
    offer, close = r.an_offer(), r.a_close()
    out = [accept("the same offer again", "R-5", "Offers are repeated each second.", given(offer, offer)),
           accept("the same close again", "R-8", "Closes are repeated for a while.", given(offer, close, close)),
           accept("slices of one frame", "R-6", "Overlapping slices are not an error.", given(offer, r.a_later_slice(), r.a_later_slice(offset=70, data="00" * 9)))]
    for field, change in (("epoch", {"epoch": BASE[:32]}), ("tenant", {"tenant": "other"}), ("class", {"class": 1}), ("files", {"files": 4}),
                          ("directories", {"dirs": 2}), ("bytes", {"bytes": 8201}), ("chunks", {"chunks": 4}), ("chunk size", {"chunk_size": 8192}),
                          ("created", {"created": 1769904000}), ("name", {"name": "rapport"})):
        out.append(refuse(f"a second offer with another {field}", "R-5", "The first stands.", given(offer, offer | change), "offer-conflict", f"offer.{field}"))
    for field, change in (("epoch", {"epoch": BASE[:32]}), ("tenant", {"tenant": "other"}), ("sequence", {"sequence": 8}), ("previous", {"previous": BASE}),
                          ("manifest size", {"manifest_size": 1235}), ("digest", {"manifest": BASE}), ("content chunks", {"chunks": 4}),
                          ("manifest chunks", {"manifest_chunks": 2}), ("signature", {"signature": fixed("other signature", 184).hex()})):
        out.append(refuse(f"a second close with another {field}", "R-8", "The first stands.", given(offer, close, close | change), "close-conflict",
                          f"close.{field}"))
    layout, what = "chunk-layout", "Runs are held against the offer, and slices of one frame against each other."
    for field, name, recs in (
            ("slice.raw", "another raw length", (r.a_slice(data=fixed("frame", 100)[:60].hex()), r.a_later_slice(raw=4095))),
            ("slice.raw", "a raw length above the chunk size", (r.a_slice(raw=4097, runs=[[2, 0, 4097]]),)),
            ("slice.runs[].offset", "a run beyond the offer's bytes", (r.a_slice(runs=[[2, 8200 - 4095, 4096]]),)),
            ("slice.runs[].file", "a file beyond the offer's", (r.a_slice(runs=[[4, 0, 4096]]),))):
        out.append(refuse("slices, " + name, "R-6", what, given(offer, *recs), layout, field))
    return out
