package cli

import (
	"context"

	"ecluse/internal/policy"
)

// Inspector is somebody who looks at content beside a policy's rules.
type Inspector struct {
	Name  string
	Asked bool // by policy test as well; the others where a flag says so
	// Look has content looked at; an error says that nothing is known of it.
	Look func(ctx context.Context, item Item) (*Inspection, error)
}

// Item is an item on its way to nowhere: what policy test is asked about.
type Item struct {
	Dir, Name    string // a path without links, and the last of its names
	Files, Bytes int64
	Scratch      string // a directory to work in, and how much may be put there
	Room         int64
}

// Inspection is what an Inspector says.
type Inspection struct {
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

// inspectors are those whom policy test asks, and the names of the others.
func (t *Tenant) inspectors(all bool) (asked []Inspector, others []string) {
	for _, i := range t.Beside {
		if i.Asked || all {
			asked = append(asked, i)
		} else {
			others = append(others, i.Name)
		}
	}
	return asked, others
}

// ask has one look, and keeps what it says or why it says nothing.
func (i *Inspector) ask(ctx context.Context, item Item) *Inspection {
	said, err := i.Look(ctx, item)
	if err != nil {
		text := err.Error()
		said = &Inspection{Failed: &text, err: err}
	}
	said.Inspector = i.Name
	if said.Findings == nil {
		said.Findings = []policy.Finding{}
	}
	if said.Notes == nil {
		said.Notes = []string{}
	}
	return said
}
