package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/keys"
	"ecluse/internal/policy"
	"ecluse/receiver/inspect"
	"ecluse/receiver/inspect/signatures"
)

// PolicyConfig is what stands below policy: of a tenant here: what the low side has as well, and who looks at content beside.
type PolicyConfig struct {
	policy.Config `yaml:",squash"`
	Inspectors    []string         `yaml:"inspectors"`
	Signatures    SignaturesConfig `yaml:"signatures"`
}

// SignaturesConfig says which people must have signed content: need of of, whose keys stand in signers.
type SignaturesConfig struct {
	Need    int      `yaml:"need"`
	Of      []string `yaml:"of"`
	Signers string   `yaml:"signers"`
}

func (s *SignaturesConfig) validate(f *config.Faults) {
	switch {
	case s.Need < 0:
		f.Add("need", "%d is below 0", s.Need)
	case s.Need == 0 && (len(s.Of) > 0 || s.Signers != ""):
		f.Add("need", "is missing: how many people must have signed each file")
	case len(s.Of) > 0 && s.Need > len(s.Of):
		f.Add("need", "%d of %d people can never be", s.Need, len(s.Of))
	}
	for i, name := range s.Of {
		if err := keys.CheckPerson(name); err != nil {
			f.In("of[%d]", i).Add("", "%v", err)
		} else if slices.Contains(s.Of[:i], name) {
			f.In("of[%d]", i).Add("", "%q stands twice", name)
		}
	}
	if s.Signers != "" {
		f.Absolute("signers", s.Signers)
	}
}

// words says them to people.
func (s *SignaturesConfig) words() string {
	if s.Need == 0 {
		return "of people are not asked for"
	}
	of := "anybody"
	if len(s.Of) > 0 {
		of = strings.Join(s.Of, ", ")
	}
	return fmt.Sprintf("each file must have those of %d people, of %s, by the keys in %s", s.Need, of, cmp.Or(s.Signers, "allowed_signers"))
}

// value is what --json says of them; nil for none.
func (s *SignaturesConfig) value() any {
	if s.Need == 0 {
		return nil
	}
	return map[string]any{"need": s.Need, "of": append([]string{}, s.Of...), "signers": s.Signers}
}

// bySignatures is the name of the inspector that holds content against people's signatures.
const bySignatures = "signatures"

// asked is the inspector that asks for people's signatures, or nil where none are needed.
func (s *SignaturesConfig) asked(tenant, allowedSigners string) (*inspect.Asked, error) {
	if s.Need == 0 {
		return nil, nil
	}
	file := cmp.Or(s.Signers, allowedSigners)
	people, err := keys.LoadPeople(file)
	if err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: fmt.Errorf("tenant %s: policy.signatures: %w", tenant, err), Hint: "signers: names a file of its own for people, one a line: NAME, and the public key"}
	}
	rule := signatures.Rule{Need: s.Need, Of: s.Of}
	rules := inspect.RulesOf([]any{rule, string(people.Text())})
	return askSignatures(&signatures.Inspector{Rule: rule, People: people, Version: rules}), nil
}

func askSignatures(i *signatures.Inspector) *inspect.Asked {
	return &inspect.Asked{Step: inspect.Step{Name: bySignatures, Rules: i.Version}, Timeout: signaturesTime, Inspector: i}
}

// signaturesTime is what reading takes beside what inspect.TimeFor adds for the bytes.
const signaturesTime = time.Minute
