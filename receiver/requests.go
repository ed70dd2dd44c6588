package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/catalog"
	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/control"
	"ecluse/internal/keys"
	"ecluse/internal/route"
	"ecluse/protocol/bundle"
	"ecluse/receiver/chamber"
	"ecluse/receiver/issue"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// Groups of people. root and the daemon's own user may do everything.
const (
	viewGroup    = "ecluse-view"    // may look
	releaseGroup = "ecluse-release" // may look, approve, reject, deliver, and carry tickets
)

// decisionRequest is what approve and reject ask for.
type decisionRequest struct {
	Bundle    string        `json:"bundle"`
	Approve   bool          `json:"approve"`
	Reason    string        `json:"reason"`
	Override  bundle.Reason `json:"override"`
	Signature string        `json:"signature"` // armored, of release.Statement; empty where decisions are no signatures
}

// statementRequest asks for the text that a decision is.
type statementRequest struct {
	Bundle   string `json:"bundle"`
	Approve  bool   `json:"approve"`
	Reason   string `json:"reason"`
	Override bool   `json:"override"` // although it is flagged
}

// statement is that text.
type statement struct {
	Document string `json:"document"`
	Signed   bool   `json:"signed"` // decisions are signatures here
}

// decisionAnswer is what became of it.
type decisionAnswer struct {
	Bundle  bundle.ID    `json:"bundle"`
	Name    *string      `json:"name"`
	State   ledger.State `json:"state"`
	Missing int          `json:"missing"` // people that have to approve yet

	Override bundle.Reason `json:"override,omitempty"` // the reason for which it is flagged, approved all the same
}

// pairRequest makes an epoch the accepted one.
type pairRequest struct {
	Sender bundle.Name  `json:"sender"`
	Epoch  bundle.Epoch `json:"epoch"`
}

// member allows the owner and the members of groups.
func member(groups ...string) control.Allow {
	return func(p control.Peer) bool {
		if control.Owner(p) {
			return true
		}
		for _, name := range groups {
			if gid, ok := control.GroupID(name); ok && p.In(gid) {
				return true
			}
		}
		return false
	}
}

// handle registers what commands may ask for.
func (d *daemon) handle(s *control.Server) {
	view, people := member(viewGroup, releaseGroup), member(releaseGroup)
	s.Handle("status", view, false, func(ctx context.Context, _ control.Peer, _ json.RawMessage) (any, error) { return d.status(ctx) })
	cli.HandleUsage(s, view, d.account())
	s.Handle("progress", view, false, func(context.Context, control.Peer, json.RawMessage) (any, error) { return d.Assembler.Progress(), nil })
	s.Handle("show", view, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		id, err := d.bundleOf(ctx, m)
		if err != nil {
			return nil, err
		}
		r, err := d.Ledger.Get(id)
		return r, answerable(err)
	})
	s.Handle("list", view, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var q ledger.Query
		if err := control.Decode(m, &q); err != nil {
			return nil, err
		}
		return cli.Page(cli.Reader{State: d.c.State}, q.Limit, func(db *sql.DB, limit int) ([]ledger.Row, error) {
			q.Limit = limit
			return ledger.List(ctx, db, q)
		})
	})
	s.Handle("audit", view, false, cli.ServeAudit(d.c.State, ledger.Digests(d.Disk, d.c.State)))
	s.Handle("anchor", view, false, func(context.Context, control.Peer, json.RawMessage) (any, error) { return d.Ledger.Anchored(), nil })
	s.Handle("verify", view, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		id, err := d.bundleOf(ctx, m)
		if err != nil {
			return nil, err
		}
		r, err := d.Chamber.Verify(id)
		return r, answerable(err)
	})
	d.handleDecisions(s, view, people)
	d.handleInspect(s)
	s.Handle("deliver", people, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
		id, err := d.bundleOf(ctx, m)
		if err != nil {
			return nil, err
		}
		d.Audit.Tell(audit.Entry{Event: "asked", Bundle: id.String(), Who: p.Name(), Text: "deliver"})
		return deliverNow(ctx, d.State, id)
	})
	s.Handle("waits", view, false, func(_ context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var in waitsRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		return waitsOf(d.Chamber, in)
	})
	s.Handle("ticket", people, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
		var in ticketRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		return issued(ctx, d.State, in, issue.Peer{UID: p.UID, Name: p.Name()})
	})
	s.Handle("pair", control.Owner, true, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var in pairRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		return nil, d.pair(ctx, in)
	})
	cli.HandleRoutes(s, d.Routes, view, people, func(control.Peer, route.Word) error { return nil }, d.Clock.Now, d.said)
	s.Handle("reload", control.Owner, true, func(ctx context.Context, _ control.Peer, _ json.RawMessage) (any, error) { return nil, d.reload(ctx) })
}

// handleDecisions registers what approve and reject ask for. The trust is looked at first: a key that was taken out a second ago releases nothing.
func (d *daemon) handleDecisions(s *control.Server, view, people control.Allow) {
	s.Handle("decide", people, true, func(ctx context.Context, p control.Peer, m json.RawMessage) (any, error) {
		var in decisionRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		d.follow(ctx)
		return decide(ctx, d.State, in, p.UID, p.Name())
	})
	s.Handle("statement", view, false, func(ctx context.Context, _ control.Peer, m json.RawMessage) (any, error) {
		var in statementRequest
		if err := control.Decode(m, &in); err != nil {
			return nil, err
		}
		d.follow(ctx)
		return statementOf(ctx, d.State, in)
	})
}

// bundleOf reads which bundle a request is about.
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
	var no *chamber.RefusedError
	var words *release.Refusal
	var none *issue.Refusal
	var nothing *chamber.NothingError
	reason, rejected := bundle.ReasonOf(err)
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, ledger.ErrNotFound), errors.As(err, &nothing):
		return &control.Error{Code: cli.NotFound, Text: err.Error()}
	case errors.Is(err, catalog.ErrAmbiguous), errors.As(err, &words) && words.Cause == release.CauseText:
		return &control.Error{Code: cli.Usage, Text: err.Error()}
	case errors.As(err, &no), errors.As(err, &none), rejected:
		return &control.Error{Code: cli.Refused, Text: err.Error(), Reason: string(reason)}
	}
	return &control.Error{Code: cli.Failed, Text: err.Error()}
}

// pair makes an epoch the accepted one, and reads the configuration again: the command has just written it.
func (d *daemon) pair(ctx context.Context, in pairRequest) error {
	if err := d.Ledger.Pair(ctx, in.Sender, in.Epoch); err != nil {
		return answerable(err)
	}
	return d.reload(ctx)
}

// reload reads who may sign, which sender may use which tenant, and whose route is open. Everything else of the configuration is taken up by a restart.
func (d *daemon) reload(ctx context.Context) error {
	d.following.Lock() // one after another: else what one had read before an edit could be put in the place of what another has read after it
	defer d.following.Unlock()
	d.stamps = nil // somebody asks: all of it is news
	return d.readAgain(ctx)
}

// readAgain is reload, under following. Each file is read in any case: a key that was taken out of one waits for no other to be mended. While one has a fault all are read at each look, and are news
// where somebody has edited any.
func (d *daemon) readAgain(ctx context.Context) error {
	before, now := d.stamps, d.stampsNow() // before anything is read
	d.stamps = slices.Clone(now)
	signers, senders, err := d.readTrust()
	changed := d.readSigners()
	news := err == nil || !slices.Equal(now, before)
	if news {
		d.auditFacts()
	}
	d.tellTrust(err)
	owed := d.unenrolled
	d.unenrolled = signers == nil
	switch {
	case signers != nil && (news || owed):
		if err := d.Enrol(ctx, signers, senders); err != nil && ctx.Err() == nil { // it stands; before each release the bundle is held against it once more
			d.log.Error("hold the quarantine against the trust that was read again", zap.Error(err))
		}
	case changed:
		d.recheck(ctx)
	}
	return err
}

// recheck holds the quarantine against who may sign content now.
func (d *daemon) recheck(ctx context.Context) {
	if err := d.Chamber.Recheck(ctx); err != nil && ctx.Err() == nil {
		d.log.Error("hold the quarantine against who may sign content", zap.Error(err))
	}
}

// readTrust reads what is taken up of the configuration, who may sign and who may decide. What cannot be read stays as it was, and err says so. The caller enrols the first, which is nil where it
// cannot be read.
func (d *daemon) readTrust() (signers *keys.AllowedSigners, senders map[bundle.Name][]bundle.Name, err error) {
	c, unread := config.Load(d.c.Path, defaults())
	if unread != nil {
		c = d.running()
	} else {
		d.Routes.Set(c.shared().Routes())
	}
	signers, senders, unsigned := loadTrust(c)
	if unsigned != nil {
		unsigned = fmt.Errorf("who may sign is as it was: %w", unsigned)
	}
	people, undecided := loadOfficers(c)
	if undecided != nil {
		undecided = fmt.Errorf("who may decide is as it was: %w", undecided)
	} else {
		d.SetOfficers(people)
	}
	d.mu.Lock()
	if unsigned == nil {
		d.c.Senders, d.c.AllowedSigners = c.Senders, c.AllowedSigners
	}
	if undecided == nil {
		d.c.Officers = c.Officers
	}
	d.mu.Unlock()
	if now := d.stampsNow(); !slices.Equal(now[ofSigners:], d.stamps[ofSigners:]) { // other files than before, or edited meanwhile: the next look reads them once more
		clear(d.stamps[ofSigners:])
	}
	if err := errors.Join(unread, unsigned, undecided); err != nil {
		return signers, senders, &control.Error{Code: cli.Usage, Text: err.Error()}
	}
	d.log.Info("trust was read again", zap.Int("senders", len(c.Senders)))
	return signers, senders, nil
}
