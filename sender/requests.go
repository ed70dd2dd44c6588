package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/catalog"
	"ecluse/internal/cli"
	"ecluse/internal/control"
	"ecluse/internal/disk"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/protocol/ticket"
	"ecluse/sender/dispatch"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// viewGroup may look at everything; operators of a tenant (the outbox's group) may look too, and send for it. root and the daemon's own user may do everything.
const viewGroup = "ecluse-view"

// sendRequest asks for an item to be claimed that stands whole in an outbox under a name of send's own.
type sendRequest struct {
	Tenant   string       `json:"tenant"`
	Have     string       `json:"have"` // its name in the outbox
	Name     string       `json:"name"` // under which it travels
	Priority bundle.Class `json:"priority"`
}

// progressAnswer is how far a bundle is.
type progressAnswer struct {
	Record *ledger.Record `json:"record"`
	Bytes  int64          `json:"bytes"` // of the present pass that are out
	Active bool           `json:"active"`
	Passes int            `json:"passes"` // of each bundle
}

// operates says whether a peer is an operator of a tenant: in its outbox's group.
func (d *daemon) operates(p control.Peer, i int) bool {
	info, err := os.Stat(d.c.Tenants[i].Outbox)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && p.In(st.Gid)
}

// looks allows whoever may look.
func (d *daemon) looks(p control.Peer) bool {
	if gid, ok := control.GroupID(viewGroup); control.Owner(p) || ok && p.In(gid) {
		return true
	}
	for i := range d.c.Tenants {
		if d.operates(p, i) {
			return true
		}
	}
	return false
}

// tenantFor finds a tenant that a peer may act for.
func (d *daemon) tenantFor(p control.Peer, name string) (int, error) {
	i := d.c.tenant(name)
	if i < 0 {
		return 0, &control.Error{Code: cli.NotFound, Text: fmt.Sprintf("there is no tenant %q", name)}
	}
	if !control.Owner(p) && !d.operates(p, i) {
		return 0, &control.Error{Code: cli.Failed, Text: fmt.Sprintf("%s is not in the group of %s", p.Name(), d.c.Tenants[i].Outbox)}
	}
	return i, nil
}

// handle registers what commands may ask for.
func (d *daemon) handle(s *control.Server) {
	s.Handle("status", d.looks, false, func(ctx context.Context, _ control.Peer, _ json.RawMessage) (any, error) { return d.status(ctx) })
	cli.HandleUsage(s, d.looks, account(d.c, d.Disk))
	s.Handle("list", d.looks, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var q ledger.Query
		if err := control.Decode(m, &q); err != nil {
			return nil, err
		}
		return cli.Page(cli.Reader{State: d.c.State}, q.Limit, func(db *sql.DB, limit int) ([]ledger.Record, error) {
			q.Limit = limit
			return ledger.List(ctx, db, q)
		})
	})
	s.Handle("show", d.looks, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		id, err := d.bundleOf(ctx, m)
		if err != nil {
			return nil, err
		}
		r, err := d.Ledger.Get(id)
		return r, answerable(err)
	})
	s.Handle("audit", d.looks, false, cli.ServeAudit(d.c.State, ledger.Digests(d.Disk, d.c.State)))
	s.Handle("progress", d.looks, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) { return d.progress(ctx, m) })
	s.Handle("current", d.looks, false, func(ctx context.Context, _ control.Peer, _ json.RawMessage) (any, error) { return d.current() })
	s.Handle("send", d.looks, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) { return d.send(ctx, p, m) })
	s.Handle("resend", d.looks, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) { return d.resend(ctx, p, m) })
	s.Handle("dismiss", d.looks, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) { return d.dismiss(ctx, p, m) })
	s.Handle("probe", control.Owner, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) { return d.probe(ctx, p, m) })
	cli.HandleRoutes(s, d.Routes, d.looks, d.looks, d.maySay, d.Clock.Now, d.said)
	s.Handle("redeem", d.looks, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) { return d.redeem(ctx, p, m) })
}

func (d *daemon) bundleOf(ctx context.Context, m json.RawMessage) (bundle.ID, error) {
	var in cli.BundleRequest
	if err := control.Decode(m, &in); err != nil {
		return bundle.ID{}, err
	}
	id, err := d.Ledger.Find(ctx, in.Bundle)
	return id, answerable(err)
}

// answerable gives an error the exit code that the command shall end with.
func answerable(err error) error {
	var known *control.Error
	var typo *ticket.Mistyped
	var held *outbox.HeldError
	reason, _ := bundle.ReasonOf(err)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.As(err, &held):
		return &control.Error{Code: cli.Refused, Text: err.Error()}
	case errors.Is(err, ledger.ErrNotFound), errors.Is(err, dispatch.ErrNotHere), errors.Is(err, outbox.ErrGone):
		return &control.Error{Code: cli.NotFound, Text: err.Error()}
	case errors.Is(err, catalog.ErrAmbiguous), errors.As(err, &typo):
		return &control.Error{Code: cli.Usage, Text: err.Error()}
	case errors.Is(err, dispatch.ErrFormerEpoch):
		return &control.Error{Code: cli.Refused, Text: err.Error()}
	case reason.Where() == "ticket":
		return &control.Error{Code: cli.Refused, Text: err.Error(), Reason: string(reason)}
	}
	return &control.Error{Code: cli.Failed, Text: err.Error()}
}

func (d *daemon) progress(ctx context.Context, m json.RawMessage) (*progressAnswer, error) {
	id, err := d.bundleOf(ctx, m)
	if err != nil {
		return nil, err
	}
	return d.progressOf(id)
}

// current is how far the oldest pass under way is; null where none is.
func (d *daemon) current() (*progressAnswer, error) {
	id, ok := d.Dispatch.Current()
	if !ok {
		return nil, nil
	}
	return d.progressOf(id)
}

func (d *daemon) progressOf(id bundle.ID) (*progressAnswer, error) {
	r, err := d.Ledger.Get(id)
	if err != nil {
		return nil, answerable(err)
	}
	a := &progressAnswer{Record: r, Passes: d.c.Passes.Count}
	a.Bytes, a.Active = d.Dispatch.Progress(id)
	return a, nil
}

// errUnnoted is what a bundle is whose claim the state had no room for.
var errUnnoted = errors.New("it is not noted yet")

// noted waits behind what take has posted: from here on the bundle can be asked for. Where the state has no room for that the item is taken all the same, and is noted later: whoever
// was told that it is not would send it twice.
func (d *daemon) noted(ctx context.Context, id bundle.ID) error {
	err := d.Ledger.Change(ctx, id, func(r *ledger.Record) error {
		if r.State == "" {
			return errUnnoted
		}
		return nil
	})
	if errors.Is(err, errUnnoted) || disk.NoRoom(err) {
		return nil
	}
	return err
}

// staged holds that what a peer wants taken is what send has copied for that peer: every other name in the outbox is its owner's, who may not be done with it.
func (d *daemon) staged(p control.Peer, tenant int, name string) error {
	no := &control.Error{Code: cli.Refused, Text: fmt.Sprintf("%s is nothing that send has copied for %s", strconv.Quote(name), p.Name())}
	if !outbox.Staged(name) || strings.Contains(name, "/") {
		return no
	}
	info, err := d.Disk.Lstat(filepath.Join(d.c.Tenants[tenant].Outbox, name))
	if err != nil {
		return answerable(err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || st.Uid != p.UID && !control.Owner(p) {
		return no
	}
	return nil
}

func (d *daemon) send(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
	var in sendRequest
	if err := control.Decode(m, &in); err != nil {
		return nil, err
	}
	i, err := d.tenantFor(p, in.Tenant)
	if err != nil {
		return nil, err
	}
	if err := d.staged(p, i, in.Have); err != nil {
		return nil, err
	}
	if why := d.Dispatch.Halted(i); why != nil {
		reason, _ := bundle.ReasonOf(why)
		return nil, &control.Error{Code: cli.Refused, Text: why.Error(), Reason: string(reason)}
	}
	id, err := d.Take(i, outbox.Candidate{Name: in.Have, As: in.Name, Class: in.Priority})
	if err == nil {
		d.Audit.Tell(audit.Entry{Event: "asked", Bundle: id.String(), Tenant: in.Tenant, Name: in.Name, Who: p.Name(), Text: "send"})
		err = d.noted(ctx, id)
	}
	if err == nil {
		err = d.Dispatch.Durable(i) // or a power cut would give it back its hidden name, under which nobody looks for it
	}
	if err != nil {
		return nil, answerable(err)
	}
	return cli.BundleRequest{Bundle: id.String()}, nil
}

// own finds the bundle that a request is about, of a tenant that the peer may act for.
func (d *daemon) own(ctx context.Context, p control.Peer, m json.RawMessage) (r *ledger.Record, tenant int, err error) {
	id, err := d.bundleOf(ctx, m)
	if err != nil {
		return nil, 0, err
	}
	if r, err = d.Ledger.Get(id); err != nil {
		return nil, 0, answerable(err)
	}
	tenant, err = d.tenantFor(p, string(r.Tenant))
	return r, tenant, err
}

func (d *daemon) resend(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
	r, _, err := d.own(ctx, p, m)
	if err != nil {
		return nil, err
	}
	d.Audit.Tell(audit.Entry{Event: "asked", Bundle: r.Bundle.String(), Tenant: string(r.Tenant), Who: p.Name(), Text: "resend"})
	if err := d.Dispatch.Resend(ctx, r.Bundle, nil); err != nil {
		return nil, answerable(err)
	}
	return d.Ledger.Get(r.Bundle)
}

// dismiss ends the alarm about an item that has failed.
func (d *daemon) dismiss(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
	r, tenant, err := d.own(ctx, p, m)
	if err != nil {
		return nil, err
	}
	if r.State != ledger.Failed {
		return nil, &control.Error{Code: cli.Refused, Text: fmt.Sprintf("bundle %s is %s: only what has failed can be dismissed", r.Bundle, r.State)}
	}
	if err := d.Outboxes[tenant].Dismiss(r.Bundle); err != nil {
		return nil, answerable(err)
	}
	d.Audit.Tell(audit.Entry{Event: "dismissed", Bundle: r.Bundle.String(), Tenant: string(r.Tenant), State: string(r.State), Who: p.Name()})
	err = d.Ledger.Change(ctx, r.Bundle, func(have *ledger.Record) error {
		if was := or(have.Reason, "no reason is known"); !strings.HasPrefix(was, dismissed) {
			text := dismissed + p.Name() + ": " + was
			have.Reason = &text
		}
		r = have.Copy()
		return nil
	})
	return r, answerable(err)
}

// dismissed begins the reason of what somebody has looked at.
const dismissed = "dismissed by "

// said takes a word about a route that somebody has said: it holds from the next block on.
func (d *daemon) said(w route.Word) {
	tenant := string(w.Tenant)
	if w.Tenant == route.All {
		tenant = "all"
	}
	d.Follow()
	d.Audit.Tell(w.Entry())
	d.log.Warn("route", zap.String("tenant", tenant), zap.Bool("stopped", w.Stopped), zap.String("who", w.Who), zap.Uint32("uid", w.UID), zap.String("reason", w.Reason))
}
