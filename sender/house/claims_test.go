package house

import "testing"

// K10 of the threats: who has dropped ever so many keeps nobody else from being claimed, and all together stay bounded.
func TestWhoMayClaimAnother(t *testing.T) {
	const tenants = 4
	for _, row := range []struct {
		of, all int
		may     bool
	}{
		{0, 0, true},
		{claimedMost - 1, claimedMost - 1, true},       // alone it may have all
		{claimedMost, claimedMost, false},              //
		{0, claimedMost, true},                         // who has none does not wait for it
		{claimedMost/8 - 1, claimedMost * 5 / 4, true}, //
		{claimedMost / 8, claimedMost * 5 / 4, false},  // nor is it more than a share
	} {
		if got := mayClaim(row.of, row.all, tenants); got != row.may {
			t.Errorf("with %d of %d claimed: %v, want %v", row.of, row.all, got, row.may)
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
