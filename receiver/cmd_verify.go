package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/ledger"
	"ecluse/receiver/quarantine"
)

// verified is what verify prints.
type verified struct {
	Bundle bundle.ID    `json:"bundle"`
	Name   *string      `json:"name"`
	State  ledger.State `json:"state"`
	Valid  bool         `json:"valid"`
	Files  *int64       `json:"files"`
	Bytes  *int64       `json:"bytes"`
	Reason *string      `json:"reason"` // why it is not valid: a reason code

	failure error
}

// Failure implements cli.Failing.
func (v *verified) Failure() error { return v.failure }

func verifyCommand() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "verify [flags] BUNDLE...", Short: "Check signature and every byte of bundles in quarantine", Args: cobra.MinimumNArgs(1),
		Long: `Check bundles in quarantine: the signature and who may sign, the manifest's form, SHA256SUMS, every file's size and SHA-256; nothing may be missing, nothing
extra, and nothing may be anything but a regular file or a directory. It changes nothing, and may run beside the daemon. With --json also what does not hold is shown,
with its reason.`,
		Example:           "  ecluse-receiver verify 3f7k2q || echo do not release",
		ValidArgsFunction: completeBundles(&path),
		RunE: func(c *cobra.Command, args []string) error {
			conf, err := load(path)
			if err != nil {
				return err
			}
			return cli.Each(c, args, asJSON,
				func(ctx context.Context, text string) (*verified, error) { return verifyBundle(ctx, conf, text) },
				func(w io.Writer, v *verified) {
					fmt.Fprintf(w, "%s  ok  %s  %s files, %s\n", v.Bundle, cli.Or(v.Name), cli.Number(v.Files), cli.Size(v.Bytes))
				})
		},
	}
	configFlag(c, &path)
	cli.JSONFlag(c, &asJSON)
	return c
}

// verifyBundle reads the quarantine itself where it may, and asks the daemon otherwise.
func verifyBundle(ctx context.Context, conf Config, text string) (*verified, error) {
	r, err := readRecord(ctx, conf, text)
	if err != nil {
		return nil, err
	}
	if r.State != ledger.Quarantined && r.State != ledger.Approved {
		failure := cli.Fail(cli.Refused, "it is %s: %s", r.State, chamber.OnlyVerified)
		return &verified{Bundle: r.Bundle, Name: r.Name, State: r.State, Files: r.Files, Bytes: r.Bytes, Reason: r.Reason, failure: failure}, nil
	}
	err = checkBundle(conf, r)
	if errors.Is(err, os.ErrPermission) {
		err = reader(conf).NoDaemon(control.Call(ctx, conf.State, "verify", cli.BundleRequest{Bundle: r.Bundle.String()}, nil))
	}
	v := &verified{Bundle: r.Bundle, Name: r.Name, State: r.State, Valid: err == nil, Files: r.Files, Bytes: r.Bytes}
	if err == nil {
		return v, nil
	}
	var no *control.Error
	if errors.As(answerable(err), &no) && no.Reason != "" {
		v.Reason, v.failure = &no.Reason, no
		return v, nil
	}
	return nil, answerable(err) // nobody knows
}

func checkBundle(conf Config, r *ledger.Record) error {
	dir := chamber.Dir(conf.State, r.Tenant, r.Bundle)
	if _, err := os.ReadDir(dir); errors.Is(err, os.ErrPermission) {
		return err
	}
	signers, _, err := loadTrust(conf)
	if err != nil {
		return err
	}
	expect := quarantine.Expect{Signers: signers, Sender: r.Sender, Received: *r.Received, Manifest: r.Manifest.Digest}
	for _, t := range conf.Tenants {
		if t.Name == string(r.Tenant) {
			if expect.Names, err = bundle.ParseNamePolicy(t.Names); err != nil {
				return err
			}
		}
	}
	_, err = quarantine.Check(disk.New(), dir, expect)
	return err
}
