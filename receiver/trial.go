package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"ecluse/internal/cli"
	"ecluse/internal/policy"
	"ecluse/receiver/inspect"
	"ecluse/receiver/inspect/signatures"
)

// beside are who looks at content beside the tenant's rules, as policy test asks them.
func (t TenantConfig) beside(c Config) (list []cli.Inspector) {
	if s := t.Policy.Signatures; s.Need > 0 {
		list = append(list, cli.Inspector{Name: bySignatures, Asked: true, Look: func(ctx context.Context, item cli.Item) (*cli.Inspection, error) {
			a, err := s.asked(t.Name, c.AllowedSigners)
			if err != nil {
				return nil, err
			}
			return inspection(ctx, a, item)
		}})
	}
	for _, i := range c.Inspectors {
		if slices.Contains(t.Policy.Inspectors, i.Name) {
			list = append(list, cli.Inspector{Name: i.Name, Look: func(ctx context.Context, item cli.Item) (*cli.Inspection, error) {
				only := Config{Inspectors: []InspectorConfig{i}}
				return inspection(ctx, only.asked(item.Scratch)[0], item)
			}})
		}
	}
	return list
}

// inspection has one inspector look at what policy test is asked about.
func inspection(ctx context.Context, a *inspect.Asked, item cli.Item) (*cli.Inspection, error) {
	root, err := os.OpenRoot(item.Dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	in := inspect.Item{Dir: item.Dir, Name: item.Name, Files: root.FS(), Bytes: item.Bytes, Count: item.Files, Received: time.Now(), Scratch: item.Scratch, Room: item.Room}
	if _, ok := a.Inspector.(*signatures.Inspector); ok {
		if in.Files, in.Name, err = signatures.Beside(in.Files, in.Name); err != nil {
			return nil, err
		}
	}
	n, err := a.Ask(ctx, in, time.Now)
	if err != nil {
		return nil, err
	}
	verdict := string(n.Verdict)
	w := &cli.Inspection{Verdict: &verdict, Version: n.Version, Files: n.Files, More: n.More}
	for _, f := range n.Findings {
		w.Findings = append(w.Findings, policy.Finding{Reason: f.Reason, Path: f.Path, Text: f.Text})
	}
	for _, s := range n.Signers {
		w.Notes = append(w.Notes, fmt.Sprintf("%s has signed %d files (%s)", s.Principal, s.Files, s.Key))
	}
	return w, nil
}
