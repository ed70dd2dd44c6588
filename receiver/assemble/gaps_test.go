package assemble

import (
	"slices"
	"testing"

	"ecluse/protocol/record"
	"ecluse/protocol/ticket"
)

func TestWhatIsLackingIsInTheOneFormOfTickets(t *testing.T) {
	end := &record.Close{ManifestChunks: 2}
	type R = ticket.Range
	for name, row := range map[string]struct {
		have   []uint32
		close  *record.Close
		want   []R
		nobody bool
	}{
		"nothing is here":                    {nil, end, nil, false},
		"nothing is here, and no close":      {nil, nil, nil, false},
		"all is here":                        {[]uint32{0, 1, 2, 3, 4, 5, 6, 7}, end, nil, true},
		"the manifest alone is missing":      {[]uint32{0, 1, 2, 3, 4, 5}, end, []R{{From: 6, Count: 2}}, false},
		"the first":                          {[]uint32{1, 2, 3, 4, 5, 6, 7}, end, []R{{From: 0, Count: 1}}, false},
		"some, and one of the manifest":      {[]uint32{0, 3, 4, 7}, end, []R{{From: 1, Count: 2}, {From: 5, Count: 2}}, false},
		"all content, and no close":          {[]uint32{0, 1, 2, 3, 4, 5}, nil, []R{{From: 6}}, false},
		"all that came, and no close":        {[]uint32{0, 1, 2, 3, 4, 5, 6, 7}, nil, []R{{From: 8}}, false},
		"the last content, and no close":     {[]uint32{0, 1, 2, 3, 4}, nil, []R{{From: 5}}, false},
		"one of the manifest, and no close":  {[]uint32{0, 1, 2, 3, 4, 5, 7}, nil, []R{{From: 6, Count: 1}, {From: 8}}, false},
		"all but the first, with a gap open": {[]uint32{0}, nil, []R{{From: 1}}, false},
	} {
		var b bitmap
		for _, c := range row.have {
			b.set(c)
		}
		got, ok := lacking(&b, &record.Offer{Chunks: 6}, row.close)
		if ok == row.nobody || !slices.Equal(got, row.want) || row.want == nil && got != nil {
			t.Errorf("%s: %v, %v, should be %v", name, got, ok, row.want)
		}
	}
}

// Every second chunk of many is missing: the list is bounded, and names them all.
func TestALongListOfGapsIsBounded(t *testing.T) {
	const chunks = 100_000
	var b bitmap
	for c := uint32(0); c < chunks; c += 2 {
		b.set(c)
	}
	for c := uint32(5000); c < 5900; c++ {
		b.set(c) // the widest stretch that is here
	}
	got, ok := lacking(&b, &record.Offer{Chunks: chunks}, &record.Close{ManifestChunks: 1})
	if !ok || len(got) > 2*ticket.MostRanges {
		t.Fatalf("%d ranges", len(got))
	}
	named := func(c uint32) bool {
		return slices.ContainsFunc(got, func(r ticket.Range) bool { return c >= r.From && c-r.From < r.Count })
	}
	for c := uint32(0); c <= chunks; c++ {
		if !b.has(c) && !named(c) {
			t.Fatalf("chunk %d is missing and not named", c)
		}
	}
	if named(5000) || named(5899) {
		t.Error("the widest stretch that is here is asked for again")
	}
}
