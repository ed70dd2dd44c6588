package cli

import (
	"context"

	"ecluse/internal/policy"
)

// Witness is somebody who looks at content beside a policy's rules.
type Witness struct {
	Name  string
	Asked bool // by policy test as well; the others where a flag says so
	// Look has content looked at; an error says that nothing is known of it.
	Look func(ctx context.Context, item Content) (*Word, error)
}

// Content is an item on its way to nowhere: what policy test is asked about.
type Content struct {
	Dir, Name    string // a path without links, and the last of its names
	Files, Bytes int64
	Scratch      string // a directory to work in, and how much may be put there
	Room         int64
}

// Word is what a Witness says.
type Word struct {
	Inspector string           `json:"inspector"`
	Verdict   *string          `json:"verdict"` // clean, flagged; null: nobody knows, and Failed says why
	Version   string           `json:"version"`
	Files     int64            `json:"files"`
	Findings  []policy.Finding `json:"findings"`
	More      int              `json:"more"`
	Notes     []string         `json:"notes"` // such as who has signed
	Failed    *string          `json:"failed"`

	err error
}

// witnesses are those whom policy test asks, and the names of the others.
func (t *Tenant) witnesses(all bool) (asked []Witness, others []string) {
	for _, w := range t.Beside {
		if w.Asked || all {
			asked = append(asked, w)
		} else {
			others = append(others, w.Name)
		}
	}
	return asked, others
}

// ask has one look, and keeps what it says or why it says nothing.
func (w *Witness) ask(ctx context.Context, item Content) *Word {
	said, err := w.Look(ctx, item)
	if err != nil {
		text := err.Error()
		said = &Word{Failed: &text, err: err}
	}
	said.Inspector = w.Name
	if said.Findings == nil {
		said.Findings = []policy.Finding{}
	}
	if said.Notes == nil {
		said.Notes = []string{}
	}
	return said
}
