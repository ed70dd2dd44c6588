package vectors_test

import (
	"cmp"
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
	bundle.ReasonBlockConflict:    {"receiver/collect.TestAnInsiderIsRefusedByReason"},
	bundle.ReasonBlockBudget:      {"receiver/collect.TestAFloodOfUnfinishedBlocksHitsItsSenderAlone", "receiver/collect.TestAStalledSinkCostsBlocksAndStopsNothing"},
	bundle.ReasonSessionRate:      {"receiver/collect.TestNoMoreAnnouncementsAreVerifiedInASecond"},
	bundle.ReasonAbandonSignature: {"receiver/chamber.TestForgedAbandonsAreCountedAndNotLogged"},
	bundle.ReasonTenantUnknown:    {"receiver/chamber.TestARefusalHasItsReasonAndLeavesNothing"},
	bundle.ReasonTenantNotAllowed: {"receiver/chamber.TestARefusalHasItsReasonAndLeavesNothing", "internal/lab.TestATenantThatTheSenderMayNotUseIsRefused"},
	bundle.ReasonQuota:            {"receiver/chamber.TestQuotaCountsWhatIsHeldAndWhatIsComing"},
	bundle.ReasonEnvelope:         {"receiver/chamber.TestAnEnvelopeThatStopsRefusesWhatIsBeyondIt"},
	bundle.ReasonDiskFull:         {"receiver/chamber.TestAFullDiskPutsOffTheQuarantineAndNothingElse"},
	bundle.ReasonRollback:         {"receiver/chamber.TestWhatAnOlderCopyOfTheRecordsForgotIsHeldUntilAPersonAcceptsIt"},
	bundle.ReasonSignerRevoked:    {"receiver/chamber.TestARevokedKeyHoldsWhatIsNotReleased"},
	bundle.ReasonGaps:             {"receiver/chamber.TestADamagedBundleIsMadeWholeByALaterPass"},
	bundle.ReasonNotInspected:     {"receiver/release.TestNoWayToApprovedSkipsAStep"},
	bundle.ReasonMalware:          {"receiver/inspect/clamd.TestARealClamd"},
	bundle.ReasonInspectorFinding: {"receiver/inspect/command.TestACommandSaysWhatItFound"},
	bundle.ReasonInspectorLimit:   {"receiver/inspect/clamd.TestARealClamd"},
	bundle.ReasonPolicyName:       {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicySize:       {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicyType:       {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicyText:       {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicyMacro:      {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicyPath:       {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicyArchive:    {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicyEncrypted:  {"internal/policy.TestHostileContents"},
	bundle.ReasonPolicyBroken:     {"internal/policy.TestHostileContents"},
	bundle.ReasonRouteStopped:     {"internal/route.TestARouteIsClosedByWhoeverSaysSo"},
	bundle.ReasonRouteExpired:     {"internal/route.TestARouteIsClosedByWhoeverSaysSo"},
	bundle.ReasonPolicyCount:      {"internal/examine.TestAnItemIsHeldAgainstTheRules"},
	bundle.ReasonInspection:       {"receiver/chamber.TestWhatIsNotInspectedIsNotReleased"},
	bundle.ReasonInspector:        {"receiver/chamber.TestAnInspectorThatFailsHolds"},
	bundle.ReasonSignatureMissing: {"receiver/inspect/signatures.TestAnItemIsHeldAgainstWhatPeopleHaveSigned"},
	bundle.ReasonSignatureContent: {"receiver/inspect/signatures.TestAnItemIsHeldAgainstWhatPeopleHaveSigned"},
	bundle.ReasonAbandonedSender:  {"receiver/chamber.TestOnlyItsSenderAbandonsABundle"},
	bundle.ReasonAbandonedExpired: {"receiver/chamber.TestPurge"},
	bundle.ReasonRejected:         {"receiver/chamber.TestARejectionIsFinal"},
	bundle.ReasonClash:            {"receiver/deliver.TestClash"},
	bundle.ReasonDestination:      {"receiver/deliver.TestDestinationsThatCannotBeUsed"},
	bundle.ReasonUnfit:            {"receiver/deliver/s3.TestNamesThatDoNotFitAreRefusedBeforeAnythingIsSent", "receiver/deliver/oci.TestWhatIsNoImageIsRefusedAndNothingIsPushed"},
	bundle.ReasonNeverArrived:     {"receiver/ledger.TestALineIsWhatWasRecorded"},
	bundle.ReasonDecisionSyntax:   {"protocol/bundle.TestADecisionIsReadInItsOneFormAlone"},
	bundle.ReasonDecisionOfficer:  {"receiver/chamber.TestADecisionIsAnOfficersSignature"},
	bundle.ReasonDecisionOther:    {"receiver/chamber.TestADecisionIsAnOfficersSignature"},
	bundle.ReasonTicketBudget:     {"receiver/issue.TestADaysCodesAreBoundedAndCountedDurably"},
}

// spokenOfAs is what the tests of a reason call it, where that is not its name: blocks are given up by the thousand, and are counted, not refused one by one.
var spokenOfAs = map[bundle.Reason]string{bundle.ReasonBlockBudget: "Budget"}

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
			shown[reason]++
			if body := bodyOf(t, name); body == "" {
				t.Errorf("%s is shown by %s, which is not in the source", reason, name)
			} else if !slices.ContainsFunc([]string{nameOf(reason), `"` + string(reason) + `"`, cmp.Or(spokenOfAs[reason], nameOf(reason))}, func(word string) bool { return strings.Contains(body, word) }) {
				t.Errorf("%s is said to be shown by %s, which does not speak of it", reason, name)
			}
		}
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

// bodyOf gives the text of a test by its folder and name, or nothing.
func bodyOf(t *testing.T, name string) string {
	t.Helper()
	folder, test, _ := strings.Cut(name, ".")
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, body, found := strings.Cut(string(text), "\nfunc "+test+"(t *testing.T) {\n"); found {
			body, _, _ = strings.Cut(body, "\n}\n")
			return body
		}
	}
	return ""
}

// nameOf gives the name of a reason in code: packet-crc is ReasonPacketCRC.
func nameOf(r bundle.Reason) string {
	name := "Reason"
	for word := range strings.SplitSeq(string(r), "-") {
		if word == "crc" || word == "kem" {
			name += strings.ToUpper(word)
		} else {
			name += strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return name
}
