package house

import "testing"

// Who has dropped ever so many keeps nobody else from being claimed, and all together stay bounded.
func TestWhoMayClaimAnother(t *testing.T) {
	const tenants = 4
	for _, row := range []struct {
		name    string
		of, all int
		may     bool
	}{
		{"the first of all", 0, 0, true},
		{"one that is alone, up to all", claimedMost - 1, claimedMost - 1, true},
		{"one that is alone, and no more", claimedMost, claimedMost, false},
		{"one that has none, where another has all", 0, claimedMost, true},
		{"one beside another, up to its share", claimedMost/8 - 1, claimedMost * 5 / 4, true},
		{"one beside another, and no more", claimedMost / 8, claimedMost * 5 / 4, false},
	} {
		if got := mayClaim(row.of, row.all, tenants); got != row.may {
			t.Errorf("%s, with %d of %d claimed: %v, want %v", row.name, row.of, row.all, got, row.may)
		}
	}
	held := [tenants]int{claimedMost}
	all := claimedMost
	for claimed := true; claimed; {
		claimed = false
		for i := range held {
			if mayClaim(held[i], all, tenants) {
				held[i], all, claimed = held[i]+1, all+1, true
			}
		}
	}
	if all > claimedMost*3/2 {
		t.Errorf("all come to %d: %v", all, held)
	}
}
