package vectors_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ecluse/protocol/bundle"
)

// keepers are the tests that hold what is no string of bytes: acts over time, and what two records, a clock or an enrolment say
// together. A rule stands here only where no vector can hold it, or where a vector holds but half of it.
var keepers = map[string][]string{
	"P-3":  {"receiver/collect.TestTwoSessionsMayShareATag"},
	"P-4":  {"sender/transmit.TestWhatIsFedArrivesWholeAndIsReportedOut"},
	"P-5":  {"protocol/vectors.TestEverySingleFaultOfAPacketHasItsReason"},
	"P-7":  {"receiver/collect.TestARestartGoesOnBehindTheFloor"},
	"P-8":  {"receiver/collect.TestAnInsiderIsRefusedByReason"},
	"P-9":  {"receiver/collect.TestAGivenUpBlockTakesNoMorePackets", "receiver/collect.TestABlockFarBehindIsLost"},
	"S-3":  {"receiver/collect.TestSessionsAreRefusedByReason"},
	"S-6":  {"receiver/collect.TestSessionsAreRefusedByReason", "internal/keys.TestRefusalsOfAKeyHaveTheirReasons"},
	"S-7":  {"receiver/collect.TestSessionsAreRefusedByReason"},
	"S-8":  {"receiver/collect.TestARepeatedAnnouncementIsNotVerifiedAgain", "receiver/collect.TestNoMoreAnnouncementsAreVerifiedInASecond"},
	"S-9":  {"protocol/vectors.TestKeysAreDerivedAsSection4Says"},
	"S-10": {"receiver/collect.TestANewSessionPushesOutAllButTheOneBefore", "sender/transmit.TestWhatIsFedArrivesWholeAndIsReportedOut"},
	"F-2":  {"protocol/fec.TestAnyMLossesAreRepairedAndOneMoreIsSaid", "receiver/collect.TestOneShardLessThanKIsLostAfterItsTime"},
	"F-3":  {"receiver/collect.TestEveryShardSizeAtOnceStaysWithinTheBudget"},
	"B-3":  {"protocol/record.TestAReaderForgetsTheBlockBefore"},
	"R-4":  {"receiver/assemble.TestAnyOrderAnyNumberOfTimes"},
	"R-5":  {"receiver/assemble.TestSecondOffersAndClosesMustBeEqual"},
	"R-7":  {"receiver/assemble.TestFramesThatAreNotOneFrameOfTheStatedSize"},
	"C-3":  {"sender/pack.TestAgainLeavesOutWhatChanged"},
	"G-2": {"internal/keys.TestRefusalsOfAKeyHaveTheirReasons", "internal/keys.TestAKeySpeaksForTheNameOfItsLine",
		"receiver/quarantine.TestEachFaultOfASenderHasItsReason", "internal/lab.TestATenantThatTheSenderMayNotUseIsRefused"},
	"Q-6": {"receiver/ledger.TestWhatIsPutBackFromABackupIsNoticedAndForgetsNothing", "receiver/chamber.TestWhatAnOlderCopyOfTheRecordsForgotIsHeldUntilAPersonAcceptsIt"},
	"D-1": {"protocol/bundle.TestTheTextOfADecision", "receiver/release.TestTheTextOfADecisionSaysAllOfIt"},
	"D-2": {"protocol/bundle.TestADecisionIsReadInItsOneFormAlone"},
	"D-3": {"receiver/chamber.TestADecisionIsAnOfficersSignature"},
	"D-4": {"receiver/chamber.TestADecisionIsAnOfficersSignature", "receiver/release.TestFourEyesAreTwoPeople", "internal/keys.TestAFileOfPeopleIsTakenWholeOrNotAtAll"},
	"M-8": {"receiver/quarantine.TestEachFaultOfASenderHasItsReason"},
	"T-10": {"protocol/ticket.TestATicketSaysMoreThanIsMissingNeverLess", "receiver/assemble.TestWhatIsLackingIsInTheOneFormOfTickets",
		"receiver/issue.TestNoTicketNamesWhatNobodyCouldSendAgain", "receiver/issue.TestAllIsInAsFewCodesAsHoldItAndWithinTheBudget"},
	"T-11": {"protocol/ticket.TestAReceiptSaysLessThanIsSafeNeverMore", "receiver/ledger.TestNothingSafePassesAGap", "receiver/issue.TestAReceiptNamesWhatIsSafeOfItsChainAlone"},
	"T-12": {"receiver/issue.TestADaysCodesAreBoundedAndCountedDurably", "receiver/issue.TestACodeIsLoggedWithWhoAskedAndWhatItNames"},
	"T-13": {"sender/dispatch.TestResendSendsOnlyTheChunksThatAreWanted", "sender/redeem.TestATicketAsksForNoChunkThatItsBundleHasNot"},
	"T-14": {"sender/dispatch.TestAReceiptClearsWhatWasSentAndNothingElse", "sender/redeem.TestAReceiptForOtherManifestsSettlesNothing"},
}

// rulesOfTheSpec gives every numbered rule of SPEC.md.
func rulesOfTheSpec(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\*\*([A-Z]-[0-9]+)\.\*\*`).FindAllSubmatch(text, -1) {
		rules[string(m[1])] = true
	}
	if len(rules) < 60 {
		t.Fatalf("SPEC.md has only %d rules: its form has changed", len(rules))
	}
	return rules
}

// testsOf gives the names of the test functions in one folder of the repository.
func testsOf(t *testing.T, folder string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(folder), "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				names[f.Name.Name] = true
			}
		}
	}
	return names
}

func TestEveryRuleIsHeld(t *testing.T) {
	rules, held := rulesOfTheSpec(t), map[string]int{}
	for _, family := range families(t) {
		for _, v := range load(t, family) {
			for _, rule := range append(v.Also, v.Rule) {
				if held[rule]++; !rules[rule] {
					t.Errorf("%s: %q names rule %q, which SPEC.md does not set", family, v.Name, rule)
				}
			}
		}
	}
	for rule, tests := range keepers {
		if !rules[rule] {
			t.Errorf("the keepers name rule %q, which SPEC.md does not set", rule)
		}
		for _, name := range tests {
			folder, test, _ := strings.Cut(name, ".")
			if held[rule]++; !testsOf(t, folder)[test] {
				t.Errorf("%s is kept by %s, which is not in the source", rule, name)
			}
		}
	}
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		if held[rule] == 0 {
			t.Errorf("%s is held by no vector and no test", rule)
		}
	}
}

// A vector is whole, has a name of its own, and expects what can be expected.
func TestVectorsAreWhole(t *testing.T) {
	for _, family := range families(t) {
		names := map[string]bool{}
		for _, v := range load(t, family) {
			_, err := bundle.ParseReason(v.Reason)
			switch {
			case v.Name == "" || v.What == "" || len(v.Input) == 0 || names[v.Name]:
				t.Errorf("%s: %q lacks something or is there twice", family, v.Name)
			case v.Expect == "accept" && v.Reason == "" && len(v.Values) > 0, v.Expect == "refuse" && err == nil:
			default:
				t.Errorf("%s: %q expects %q with the reason %q", family, v.Name, v.Expect, v.Reason)
			}
			names[v.Name] = true
		}
	}
}

// runElsewhere are the families that the production code of another folder is held against, by the test that runs them.
var runElsewhere = map[string]string{
	"openings":  "receiver/collect.TestOpeningsOfSection4",
	"conflicts": "receiver/assemble.TestConflictsOfSection7",
	"frames":    "receiver/assemble.TestFramesOfSection7",
	"trust":     "receiver/quarantine.TestTrustOfSection11",
}

// Every family of vectors is run by a test: one that nobody reads would hold nothing.
func TestEveryFamilyIsRun(t *testing.T) {
	read := map[string]bool{}
	for family, name := range runElsewhere {
		folder, test, _ := strings.Cut(name, ".")
		if read[family] = testsOf(t, folder)[test]; !read[family] {
			t.Errorf("%s.json is run by %s, which is not in the source", family, name)
		}
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\beach\(t, "([a-z]+)"`).FindAllSubmatch(text, -1) {
			read[string(m[1])] = true
		}
	}
	for _, family := range families(t) {
		if !read[family] {
			t.Errorf("no test runs the vectors of %s.json", family)
		}
	}
}
