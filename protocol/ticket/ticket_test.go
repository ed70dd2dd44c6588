package ticket

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
)

var owner = Owner{Key: [32]byte{1, 2, 3}, Epoch: bundle.Epoch{4, 5, 6}, Tenant: "cssf"}

// rangesOf draws what a bundle lacks, in its only form.
func rangesOf(most int) *rapid.Generator[[]Range] {
	return rapid.Custom(func(t *rapid.T) (list []Range) {
		at := uint32(0)
		for range rapid.IntRange(0, most).Draw(t, "ranges") {
			skip := uint32(rapid.IntRange(1, 1<<rapid.IntRange(1, 12).Draw(t, "wide")).Draw(t, "skip"))
			if at == 0 && rapid.Bool().Draw(t, "first") {
				skip = 0
			}
			count := uint32(rapid.IntRange(1, 1<<rapid.IntRange(1, 12).Draw(t, "long")).Draw(t, "count"))
			list = append(list, Range{at + skip, count})
			at += skip + count
		}
		if n := len(list); n > 0 && list[n-1].From > 0 && rapid.Bool().Draw(t, "open") {
			list[n-1].Count = 0
		}
		return list
	})
}

func ticketOf(most int) *rapid.Generator[*Ticket] {
	return rapid.Custom(func(t *rapid.T) *Ticket {
		if rapid.Bool().Draw(t, "by bundle") {
			id := rapid.SliceOfN(rapid.Byte(), 16, 16).Filter(func(b []byte) bool { return bundle.ID(b) != bundle.ID{} }).Draw(t, "bundle")
			return &Ticket{Bundle: bundle.ID(id), Parts: []Part{{Count: 1, Ranges: rangesOf(most).Draw(t, "lacks")}}}
		}
		out, last := &Ticket{}, uint64(0)
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			p := Part{Sequence: last + rapid.Uint64Range(1, 1<<20).Draw(t, "sequence"), Count: 1, Ranges: rangesOf(most).Draw(t, "lacks")}
			if len(p.Ranges) == 0 {
				p.Count = rapid.Uint64Range(1, 300).Draw(t, "count")
			}
			last = p.Sequence + p.Count - 1
			out.Parts = append(out.Parts, p)
		}
		return out
	})
}

// clone copies a ticket: Fit changes it.
func clone(t *Ticket) *Ticket {
	c := &Ticket{Bundle: t.Bundle}
	for _, p := range t.Parts {
		p.Ranges = slices.Clone(p.Ranges)
		c.Parts = append(c.Parts, p)
	}
	return c
}

func same(a, b *Ticket) bool {
	return a.Bundle == b.Bundle && slices.EqualFunc(a.Parts, b.Parts, func(p, q Part) bool {
		return p.Sequence == q.Sequence && p.Count == q.Count && slices.Equal(p.Ranges, q.Ranges)
	})
}

// lacks says whether a chunk is named.
func lacks(ranges []Range, chunk uint32) bool {
	if len(ranges) == 0 {
		return true
	}
	for _, r := range ranges {
		if chunk >= r.From && (r.Count == 0 || chunk-r.From < r.Count) {
			return true
		}
	}
	return false
}

func TestATicketSaysMoreThanIsMissingNeverLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := ticketOf(60).Draw(t, "ticket")
		fitted := clone(whole)
		if !fitted.Fit() {
			t.Fatal("four parts do not fit")
		}
		if whole.Fits() && !same(whole, fitted) {
			t.Fatalf("what fits was changed: %+v", fitted)
		}
		text := owner.Ticket(fitted)
		if len(text) > MaxLength || len(text) > 128 {
			t.Fatalf("%d characters", len(text))
		}
		code, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if tenant, err := code.Open(owner.Key, owner.Epoch, []bundle.Name{"a", "cssf", "z"}); err != nil || tenant != "cssf" || code.IsReceipt() {
			t.Fatal(tenant, err)
		}
		read, err := code.Ticket()
		if err != nil || !same(read, fitted) {
			t.Fatalf("%v: wrote %+v, read %+v", err, fitted, read)
		}
		for i, p := range whole.Parts {
			for _, r := range p.Ranges {
				for _, c := range []uint32{r.From, r.From + max(r.Count, 1) - 1} {
					if !lacks(read.Parts[i].Ranges, c) {
						t.Fatalf("chunk %d of part %d is not named: %+v of %+v", c, i, read.Parts[i], p)
					}
				}
			}
		}
	})
}

// What is closed are the smallest gaps: of those that stay open none is smaller than one that was closed, and gathering in steps gives the same.
func TestTheSmallestGapsAreClosed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := rangesOf(80).Filter(func(l []Range) bool { return len(l) > 1 }).Draw(t, "ranges")
		n := rapid.IntRange(1, len(list)).Draw(t, "n")
		got := Coarsen(slices.Clone(list), n)
		if got != nil && len(got) != n {
			t.Fatalf("%d ranges, not %d", len(got), n)
		}
		smallest, widest := uint32(1<<31), uint32(0)
		for i := range list[1:] {
			gap, end := list[i+1].From-list[i].From-list[i].Count, list[i].From+list[i].Count
			if lacks(got, end) {
				widest = max(widest, gap)
			} else {
				smallest = min(smallest, gap)
			}
		}
		if widest > smallest {
			t.Fatalf("a gap of %d was closed, one of %d was not", widest, smallest)
		}
		var steps []Range
		for _, r := range list {
			if steps = append(steps, r); len(steps) > 2*n {
				steps = Coarsen(steps, n+1)
			}
		}
		for _, r := range Coarsen(steps, n) {
			if !slices.ContainsFunc(list, func(l Range) bool { return l.From == r.From }) {
				t.Fatalf("%v begins where nothing began", r)
			}
		}
	})
}

func TestAWholeBundleIsTheLastResort(t *testing.T) {
	if got := Coarsen([]Range{{0, 3}, {5, 2}, {9, 0}}, 1); got != nil {
		t.Errorf("all of a bundle is %v", got)
	}
	if got := Coarsen([]Range{{1, 3}, {5, 2}, {9, 0}}, 1); !slices.Equal(got, []Range{{1, 0}}) {
		t.Errorf("all but the first chunk is %v", got)
	}
	many := &Ticket{}
	for i := range uint64(12) {
		many.Parts = append(many.Parts, Part{Sequence: 1 + 40*i, Count: 1, Ranges: []Range{{70000, 5000}}})
	}
	if !many.Fit() || !slices.ContainsFunc(many.Parts, func(p Part) bool { return len(p.Ranges) == 0 }) {
		t.Errorf("twelve bundles fit by no whole ones: %+v", many)
	}
	for i := range uint64(40) {
		many.Parts = append(many.Parts, Part{Sequence: 1000 + 40*i, Count: 1})
	}
	if many.Fit() {
		t.Error("52 parts fit")
	}
}

func TestAReceiptSaysLessThanIsSafeNeverMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Receipt
		last := uint64(0)
		for i := range rapid.IntRange(1, 40).Draw(t, "runs") {
			from := last + rapid.Uint64Range(2, 5000).Draw(t, "skip")
			if i == 0 && rapid.Bool().Draw(t, "first") {
				from = 1
			}
			last = from + rapid.Uint64Range(0, 1<<20).Draw(t, "long")
			r.Runs = append(r.Runs, Run{From: from, To: last, Digest: bundle.Digest{byte(i), 1}})
		}
		all := slices.Clone(r.Runs)
		r.Fit()
		code, err := Parse(owner.Receipt(&r))
		if err != nil || !code.IsReceipt() {
			t.Fatal(err)
		}
		read, err := code.Receipt()
		if err != nil || len(read.Runs) == 0 || len(read.Runs) != len(r.Runs) {
			t.Fatalf("%v: %+v", err, read)
		}
		for i := range read.Runs {
			if read.Runs[i].From != all[i].From || read.Runs[i].To != all[i].To {
				t.Fatalf("run %d is %+v, should be %+v", i, read.Runs[i], all[i])
			}
			read.Runs[i].Digest = all[i].Digest
		}
		if err := read.Hold(read.Runs); err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(read.Runs)-1).Draw(t, "other")
		read.Runs[at].Digest[7] ^= 1
		if reason, _ := bundle.ReasonOf(read.Hold(read.Runs)); reason != bundle.ReasonTicketChain {
			t.Fatalf("another manifest in run %d is %q", at, reason)
		}
	})
}

// Each prefix of a body is refused, and so is each body with something behind it.
func TestABodyHasOneEnd(t *testing.T) {
	for name, row := range map[string]struct {
		body  []byte
		parse func([]byte) error
	}{
		"by sequence": {(&Ticket{Parts: []Part{{3, 1, []Range{{2, 400}, {500, 0}}}, {9, 20, nil}}}).append(nil), func(b []byte) error { _, err := parseBySequence(b); return err }},
		"by bundle":   {(&Ticket{Bundle: bundle.ID{9}, Parts: []Part{{0, 1, []Range{{2, 400}, {500, 0}}}}}).append(nil), func(b []byte) error { _, err := parseByBundle(b); return err }},
		"receipt":     {(&Receipt{Runs: []Run{{From: 1, To: 900}, {From: 903, To: 990}}}).append(nil), func(b []byte) error { _, err := parseReceipt(b); return err }},
	} {
		for n := range row.body {
			if reason, _ := bundle.ReasonOf(row.parse(row.body[:n])); reason != bundle.ReasonTicketBody {
				t.Errorf("%s: the first %d symbols of %d are %q", name, n, len(row.body), reason)
			}
		}
		for n := range groupData {
			if err := row.parse(append(slices.Clone(row.body), make([]byte, n)...)); err != nil {
				t.Errorf("%s: %d zeroes behind it: %v", name, n, err)
			}
		}
		for _, more := range [][]byte{make([]byte, groupData), {1}, {0, 0, 31}} {
			if row.parse(append(slices.Clone(row.body), more...)) == nil {
				t.Errorf("%s: %v behind it is taken", name, more)
			}
		}
	}
}

func TestLengthsAreWhatIsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(0, bundle.MaxSequence).Draw(t, "n")
		if got := appendNumber(nil, n); len(got) != numberLength(n) || (&reader{rest: got}).number() != n {
			t.Fatalf("%d is %v, of length %d", n, got, numberLength(n))
		}
		x := ticketOf(30).Draw(t, "ticket")
		if got := x.append(nil); len(got) != x.length() {
			t.Fatalf("%d symbols, and length says %d", len(got), x.length())
		}
	})
}
