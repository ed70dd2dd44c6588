package signatures

import (
	"context"

	"ecluse/receiver/inspect"
)

// Inspector holds items against a tenant's rule.
type Inspector struct {
	Rule    Rule
	People  People
	Version string // of the rule and of who may sign
	Fault   error  // why nobody knows who may sign: nothing is known of any item then; or nil
}

// Ready implements inspect.Inspector.
func (i *Inspector) Ready(context.Context) (inspect.Version, error) {
	return inspect.Version{Text: i.Version}, i.Fault
}

// Look implements inspect.Inspector.
func (i *Inspector) Look(ctx context.Context, item inspect.Item) (*inspect.Answer, error) {
	if i.Fault != nil {
		return nil, i.Fault
	}
	r, err := Check(ctx, item.Files, item.Name, i.Rule, i.People, item.Received)
	if err != nil {
		return nil, err
	}
	return &inspect.Answer{Version: inspect.Version{Text: i.Version}, Findings: r.Findings, More: r.More, Files: r.Files, Signers: r.Signers}, nil
}
