package ticket

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ecluse/protocol/bundle"
)

// believed takes a code as far as a sender does.
func believed(text string) (Ticket, error) {
	code, err := Parse(text)
	if err == nil {
		_, err = code.Open(owner.Key, owner.Epoch, []bundle.Name{owner.Tenant})
	}
	if err != nil {
		return Ticket{}, err
	}
	t, err := code.Ticket()
	if err != nil {
		return Ticket{}, err
	}
	return *t, nil
}

// names says whether a refusal names exactly these groups.
func names(err error, groups ...int) bool {
	var m *Mistyped
	return errors.As(err, &m) && slices.Equal(m.Groups, groups) && m.Reason == bundle.ReasonTicketCode
}

// drawn is a code, and whether it is typed with separators, and in which case.
func drawn(t *rapid.T) (text string, apart int) {
	x := ticketOf(20).Draw(t, "ticket")
	x.Fit()
	if text, apart = owner.Ticket(x), groupSize+1; rapid.Bool().Draw(t, "together") {
		text, apart = strings.ReplaceAll(text, "-", ""), groupSize
	}
	if rapid.Bool().Draw(t, "lower") {
		text = strings.ToLower(text)
	}
	return text, apart
}

func TestEveryMistypedCharacterIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, apart := drawn(t)
		at := rapid.IntRange(0, len(text)-1).Filter(func(i int) bool { return text[i] != '-' }).Draw(t, "at")
		c := rapid.ByteRange(1, 126).Filter(func(c byte) bool {
			s := symbolOf(c)
			return !separates(c) && (s < 0 || s != symbolOf(text[at]))
		}).Draw(t, "character")
		if _, err := believed(text[:at] + string(c) + text[at+1:]); !names(err, at/apart+1) {
			t.Fatalf("%q for %q in group %d: %v", c, text[at], at/apart+1, err)
		}
	})
}

func TestEverySwapOfNeighboursIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, _ := drawn(t)
		text = strings.ReplaceAll(text, "-", "")
		at := rapid.IntRange(0, len(text)-2).Filter(func(i int) bool { return text[i] != text[i+1] }).Draw(t, "at")
		groups := slices.Compact([]int{at/groupSize + 1, (at+1)/groupSize + 1})
		if _, err := believed(text[:at] + text[at+1:at+2] + text[at:at+1] + text[at+2:]); !names(err, groups...) {
			t.Fatalf("%s at %d: %v", text, at, err)
		}
	})
}

func TestEverySwapOfTwoGroupsIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, _ := drawn(t)
		text = strings.ReplaceAll(text, "-", "")
		n := len(text) / groupSize
		a := rapid.IntRange(0, n-2).Draw(t, "a")
		b := rapid.IntRange(a+1, n-1).Draw(t, "b")
		group := func(i int) string { return text[i*groupSize : (i+1)*groupSize] }
		swapped := text[:a*groupSize] + group(b) + text[(a+1)*groupSize:b*groupSize] + group(a) + text[(b+1)*groupSize:]
		if _, err := believed(swapped); group(a) != group(b) && !names(err, a+1, b+1) {
			t.Fatalf("groups %d and %d of %s: %v", a+1, b+1, text, err)
		}
	})
}

// Left out or doubled, with separators: that group is named. Without, nobody can tell for sure: the first that does not hold is named.
func TestACharacterLeftOutOrDoubledIsNamed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, apart := drawn(t)
		at := rapid.IntRange(0, len(text)-1).Filter(func(i int) bool { return text[i] != '-' }).Draw(t, "at")
		wrong := text[:at] + text[at+1:]
		if rapid.Bool().Draw(t, "doubled") {
			wrong = text[:at+1] + text[at:]
		}
		_, err := believed(wrong)
		var m *Mistyped
		group := at/apart + 1
		if !errors.As(err, &m) || len(m.Groups) != 1 || apart == groupSize+1 && m.Groups[0] != group {
			t.Fatalf("%s, for %s: %v", wrong, text, err)
		}
	})
}

// Many faults at once may pass every check: then the tag refuses them.
func TestWhatPassesTheChecksIsRefusedByTheTag(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := ticketOf(20).Draw(t, "ticket")
		x.Fit()
		content, err := read(owner.Ticket(x))
		if err != nil {
			t.Fatal(err)
		}
		at := rapid.IntRange(0, len(content)-1).Draw(t, "at")
		content[at] ^= rapid.ByteRange(1, 31).Draw(t, "bits")
		if at == 1 {
			content[1] = byte(len(content) / groupData) // the count is held by what stands there
		}
		got, err := believed(spell(content))
		if at == 1 && err == nil {
			return
		}
		if reason, _ := bundle.ReasonOf(err); err == nil || reason == bundle.ReasonTicketCode || reason == bundle.ReasonTicketBody {
			t.Fatalf("symbol %d changed: %+v, %v", at, got, err)
		}
	})
}

func TestOnlyTheOwnersCodeIsOpened(t *testing.T) {
	code, err := Parse(owner.Ticket(&Ticket{Parts: []Part{{Sequence: 1, Count: 1}}}))
	if err != nil {
		t.Fatal(err)
	}
	other := [32]byte{1, 2, 4}
	for name, row := range map[string]struct {
		key     [32]byte
		epoch   bundle.Epoch
		tenants []bundle.Name
		want    bundle.Reason
	}{
		"the owner":            {owner.Key, owner.Epoch, []bundle.Name{"a", "cssf"}, ""},
		"another key":          {other, owner.Epoch, []bundle.Name{"a", "cssf"}, bundle.ReasonTicketTag},
		"another epoch":        {owner.Key, bundle.Epoch{4, 5, 7}, []bundle.Name{"cssf"}, bundle.ReasonTicketEpoch},
		"another tenant":       {owner.Key, owner.Epoch, []bundle.Name{"cssg"}, bundle.ReasonTicketTag},
		"no tenant":            {owner.Key, owner.Epoch, nil, bundle.ReasonTicketTag},
		"another of the marks": {other, owner.Epoch, []bundle.Name{"cssf"}, bundle.ReasonTicketTag},
	} {
		tenant, err := code.Open(row.key, row.epoch, row.tenants)
		if reason, _ := bundle.ReasonOf(err); reason != row.want || (err == nil) != (tenant == "cssf") {
			t.Errorf("%s: %q, %v", name, tenant, err)
		}
	}
}

// FuzzParseCode holds that whatever is typed is refused with a reason or printed again as it is, and so is whatever its symbols would say as a code of which every check holds.
func FuzzParseCode(f *testing.F) {
	f.Add(owner.Ticket(&Ticket{Parts: []Part{{Sequence: 7, Count: 1, Ranges: []Range{{3, 4}, {9, 0}}}, {Sequence: 12, Count: 30}}}))
	f.Fuzz(func(t *testing.T, text string) {
		code, err := Parse(text)
		if err == nil {
			held(t, code)
		} else if _, ok := bundle.ReasonOf(err); !ok {
			t.Fatalf("no refusal: %v", err)
		}
		if made := forced(text); made != nil {
			held(t, made)
		}
	})
}

// forced makes a code of any text, with the head that it needs to be looked into.
func forced(text string) *Code {
	var content []byte
	for i := range len(text) {
		if s := symbolOf(text[i]); s >= 0 && len(content) < maxGroups*groupData {
			content = append(content, byte(s))
		}
	}
	content = content[:len(content)/groupData*groupData]
	if len(content) < minGroups*groupData {
		return nil
	}
	content[0], content[1] = version<<2|content[0]%byte(kinds), byte(len(content)/groupData)
	return &Code{content}
}

// held holds a code to its promises: it is printed and read again, and what it says is written as it was read.
func held(t *testing.T, code *Code) {
	again, err := Parse(spell(code.content))
	if err != nil || !slices.Equal(again.content, code.content) || len(spell(code.content)) > MaxLength {
		t.Fatalf("%v, %v is printed as %s", err, code.content, spell(code.content))
	}
	var body []byte
	if code.IsReceipt() {
		var r *Receipt
		if r, err = code.Receipt(); err == nil {
			body = r.append(nil)
		}
	} else {
		var x *Ticket
		if x, err = code.Ticket(); err == nil {
			body = x.append(nil)
		}
	}
	if reason, _ := bundle.ReasonOf(err); err != nil && reason != bundle.ReasonTicketBody {
		t.Fatalf("%v", err)
	}
	if have := code.content[beforeBody:]; err == nil && (len(body) > len(have) || !slices.Equal(body, have[:len(body)])) {
		t.Fatalf("%v was read, %v is written", have, body)
	}
}
