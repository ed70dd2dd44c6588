package inspect

import (
	"ecluse/protocol/bundle"
	"ecluse/receiver/ledger"
)

// Step is one that has to be asked, and by what it has to have judged for its word to count.
type Step struct {
	Name    string
	Rules   string // what the configuration says of it (RulesOf)
	Version string // the one version whose word counts; "": any. A tenant's own rules have one, signatures grow older every day
}

// Counts says whether evidence is this step's, by what the configuration says now.
func (s *Step) Counts(n *ledger.Inspection) bool {
	return n.Inspector == s.Name && n.Rules == s.Rules && (s.Version == "" || n.Version == s.Version)
}

// Word is what evidence says of a bundle.
type Word uint8

// The words. The zero Word is Waiting: what is not known is not clean.
const (
	Waiting Word = iota // somebody who is required was not asked yet
	Nobody              // nobody is required
	Clean               // all said so
	Flagged             // somebody did not let it pass
)

// Passes says whether nothing that inspectors say keeps a bundle from being released.
func (w Word) Passes() bool { return w == Nobody || w == Clean }

// Judge says what evidence is worth to a tenant that requires these steps; of what is flagged, by whom: the first who knows it as malicious, else the first. Whoever flags is believed without the others.
func Judge(required []Step, have []ledger.Inspection) (Word, *ledger.Inspection) {
	if len(required) == 0 {
		return Nobody, nil
	}
	word, by := Clean, (*ledger.Inspection)(nil)
	for i := range required {
		n := Evidence(&required[i], have)
		switch {
		case n == nil && by == nil:
			word = Waiting
		case n != nil && flags(n) && (by == nil || malicious(n) && !malicious(by)):
			word, by = Flagged, n
		}
	}
	return word, by
}

// Unasked are the steps of which there is no evidence: where somebody flags, the others may not have been asked.
func Unasked(required []Step, have []ledger.Inspection) (names []string) {
	for i := range required {
		if Evidence(&required[i], have) == nil {
			names = append(names, required[i].Name)
		}
	}
	return names
}

func flags(n *ledger.Inspection) bool {
	return n.Verdict != ledger.Clean || len(n.Findings)+n.More > 0
}

func malicious(n *ledger.Inspection) bool { return First(n).Reason == bundle.ReasonMalware }

// First is the finding for which evidence flags a bundle.
func First(n *ledger.Inspection) ledger.Finding {
	if len(n.Findings) == 0 {
		return ledger.Finding{Reason: bundle.ReasonInspectorFinding, Path: n.Inspector, Text: "it does not say why"}
	}
	return n.Findings[0]
}

// Evidence is a step's, or nil.
func Evidence(s *Step, have []ledger.Inspection) *ledger.Inspection {
	for i := range have {
		if s.Counts(&have[i]) {
			return &have[i]
		}
	}
	return nil
}
