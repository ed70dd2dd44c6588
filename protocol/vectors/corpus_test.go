package vectors_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
)

// faultsLeast is how many kinds of fault the vectors show: pairs of a rule of SPEC.md and the field in which it is broken.
const faultsLeast = 500

// reasonKeepers are the tests that show a reason which no vector can: what a disk, a clock, a policy, a person or a budget says, and what
// several packets say together.
var reasonKeepers = map[bundle.Reason][]string{
	bundle.ReasonBlockConflict:     {"receiver/collect.TestAnInsiderIsRefusedByReason"},
	bundle.ReasonBlockBudget:       {"receiver/collect.TestEveryShardSizeAtOnceStaysWithinTheBudget", "receiver/collect.TestAStalledSinkCostsBlocksAndStopsNothing"},
	bundle.ReasonSessionRate:       {"receiver/collect.TestNoMoreAnnouncementsAreVerifiedInASecond"},
	bundle.ReasonAbandonSignature:  {"receiver/chamber.TestOnlyItsSenderAbandonsABundle", "receiver/chamber.TestAForgedAbandonDoesNotKeepABundleOut"},
	bundle.ReasonTenantUnknown:     {"receiver/chamber.TestARefusalHasItsReasonAndLeavesNothing"},
	bundle.ReasonTenantNotAllowed:  {"receiver/chamber.TestARefusalHasItsReasonAndLeavesNothing", "internal/lab.TestATenantThatTheSenderMayNotUseIsRefused"},
	bundle.ReasonQuota:             {"receiver/chamber.TestQuotaCountsWhatIsHeldAndWhatIsComing"},
	bundle.ReasonDiskFull:          {"receiver/chamber.TestAFullDiskPutsOffTheQuarantineAndNothingElse"},
	bundle.ReasonManifestSender:    {"receiver/chamber.TestARefusalHasItsReasonAndLeavesNothing"},
	bundle.ReasonManifestReceiver:  {"receiver/chamber.TestARefusalHasItsReasonAndLeavesNothing"},
	bundle.ReasonRollback:          {"receiver/chamber.TestWhatAnOlderCopyOfTheRecordsForgotIsHeldUntilAPersonAcceptsIt"},
	bundle.ReasonSignerUnknown:     {"internal/keys.TestOnlyListedSendersCount", "receiver/chamber.TestARefusalHasItsReasonAndLeavesNothing"},
	bundle.ReasonSignerNamespace:   {"internal/keys.TestRefusalsOfAKeyHaveTheirReasons"},
	bundle.ReasonSignerNotYetValid: {"internal/keys.TestRefusalsOfAKeyHaveTheirReasons"},
	bundle.ReasonSignerExpired:     {"internal/keys.TestRefusalsOfAKeyHaveTheirReasons"},
	bundle.ReasonSignerOther:       {"receiver/chamber.TestOnlyTheKeyOfTheSessionSignsForIt"},
	bundle.ReasonSignerRevoked:     {"receiver/chamber.TestARevokedKeyHoldsWhatIsNotReleased"},
	bundle.ReasonContentMismatch:   {"receiver/deliver.TestContentThatNoLongerMatchesIsRefused"},
	bundle.ReasonGaps:              {"receiver/chamber.TestADamagedBundleIsMadeWholeByALaterPass"},
	bundle.ReasonNotInspected:      {"receiver/release.TestNoWayToApprovedSkipsAStep"},
	bundle.ReasonAbandonedSender:   {"receiver/chamber.TestOnlyItsSenderAbandonsABundle"},
	bundle.ReasonAbandonedExpired:  {"receiver/chamber.TestPurge"},
	bundle.ReasonRejected:          {"receiver/chamber.TestARejectionIsFinal"},
	bundle.ReasonClash:             {"receiver/deliver.TestClash"},
	bundle.ReasonDestination:       {"receiver/deliver.TestDestinationsThatCannotBeUsed"},
	bundle.ReasonNeverArrived:      {"receiver/ledger.TestALineIsWhatWasRecorded"},
}

// shownByName are reasons that any test of the houses may show which names them; a reason that no program gives yet needs none.
var shownByName = map[bundle.Reason]string{bundle.ReasonTicketBudget: "ReasonTicketBudget"}

// A refusal says where its fault is, and what is accepted has none.
func TestEveryRefusalNamesItsField(t *testing.T) {
	for _, family := range families(t) {
		for _, v := range load(t, family) {
			if (v.Field != "") != (v.Expect == "refuse") {
				t.Errorf("%s: %q, to be %sd, names the field %q", family, v.Name, v.Expect, v.Field)
			}
		}
	}
}

// The corpus of inputs with one fault: every pair of rule and field counts once, however many vectors show it, and so do the flipped bits of one seal.
func TestTheCorpusShowsFiveHundredKindsOfFault(t *testing.T) {
	type fault struct{ rule, field string }
	faults, rules, vectors := map[fault]bool{}, map[string]int{}, 0
	for _, family := range families(t) {
		for _, v := range load(t, family) {
			if v.Expect != "refuse" {
				continue
			}
			if vectors++; !faults[fault{v.Rule, v.Field}] {
				faults[fault{v.Rule, v.Field}] = true
				rules[v.Rule]++
			}
		}
	}
	t.Logf("%d vectors are refused for %d kinds of fault, by rule: %v", vectors, len(faults), rules)
	if len(faults) < faultsLeast {
		t.Errorf("%d kinds of fault, %d are required", len(faults), faultsLeast)
	}
}

func TestEveryReasonIsShown(t *testing.T) {
	shown := map[bundle.Reason]int{}
	for _, family := range families(t) {
		for _, v := range load(t, family) {
			if v.Expect == "refuse" {
				shown[bundle.Reason(v.Reason)]++
			}
		}
	}
	for reason, tests := range reasonKeepers {
		if shown[reason] > 0 {
			t.Errorf("%s is shown by %d vectors and needs no other test", reason, shown[reason])
		}
		for _, name := range tests {
			folder, test, _ := strings.Cut(name, ".")
			if shown[reason]++; !testsOf(t, folder)[test] {
				t.Errorf("%s is shown by %s, which is not in the source", reason, name)
			}
		}
	}
	for reason, name := range shownByName {
		if where := named(t, name, false); where != "" && named(t, name, true) == "" {
			t.Errorf("%s is given in %s, and no test shows it", reason, where)
		}
		shown[reason]++
	}
	for _, reason := range bundle.Reasons() {
		if shown[reason] == 0 {
			t.Errorf("%s is shown by no vector and no test", reason)
		}
		delete(shown, reason)
	}
	if len(shown) > 0 {
		t.Errorf("SPEC.md does not have %v", slices.Sorted(maps.Keys(shown)))
	}
}

// named tells which file of the houses names something, of the tests or of what they test, or nothing.
func named(t *testing.T, name string, tests bool) (where string) {
	t.Helper()
	for _, pattern := range []string{"../../receiver/*.go", "../../receiver/*/*.go", "../../sender/*.go", "../../sender/*/*.go", "../../internal/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatal("no file of the houses", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err == nil && strings.HasSuffix(file, "_test.go") == tests && strings.Contains(string(text), name) {
				return file
			}
		}
	}
	return ""
}
