package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"ecluse/internal/audit"
	"ecluse/internal/disk"
)

// AuditWatch looks after the audit log of a running daemon: it brings checkpoints to where they are kept beside the state, looks through the log once a day, and knows what is wrong with it.
// The zero AuditWatch has seen nothing yet.
type AuditWatch struct {
	mu    sync.Mutex
	older map[string]bool // copies of checkpoints that know more than the log
	wrong []string        // what the last look through the log has found

	growth *audit.Growth // when it was looked at last
	looked time.Time
}

// Publish brings checkpoints to their copies until ctx ends, and once more then. What cannot be brought is logged, and tried again.
func (w *AuditWatch) Publish(ctx context.Context, a *audit.Log, d audit.Disk, c audit.Config, stdout io.Writer, log *zap.Logger) {
	put := func(copy audit.Copy, cp audit.Checkpoint) error {
		err := copy.Put(d, stdout, a.Public(), cp)
		if copy.Kind == "file" {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.older == nil {
				w.older = make(map[string]bool)
			}
			w.older[copy.Path] = errors.Is(err, audit.ErrOlder)
		}
		return err
	}
	audit.Publish(ctx, c.Every.Std(), a.Checkpoint, c.Copies(), put, func(err error) { log.Error("copy a checkpoint of the audit log", zap.Error(err)) })
}

// Check looks through the whole log some minutes after the start, and then once a day.
func (w *AuditWatch) Check(ctx context.Context, a *audit.Log, state string) {
	lookThrough(ctx, state, a.Public(), func(faults []string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.wrong = faults
	})
}

// Faults are what is wrong with the log.
func (w *AuditWatch) Faults(d audit.Disk, state string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(auditFaults(d, state, w.older), w.wrong...)
}

// AuditEnded tells the log why the life of a daemon ends.
func AuditEnded(a *audit.Log, err error) {
	e := audit.Entry{Event: "stopped"}
	if err != nil {
		e.Text = err.Error()
	}
	a.Tell(e)
}

// FileDigest is the SHA-256 of a file in hex, or why there is none; "" where none is named.
func FileDigest(path string) string {
	if path == "" {
		return ""
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// auditFaults are what an alarm stands for: what was set aside of a log, and copies of checkpoints that know of more than it has.
func auditFaults(d audit.Disk, state string, older map[string]bool) (texts []string) {
	aside, err := audit.Damaged(d, audit.Dir(state))
	if err != nil {
		texts = append(texts, err.Error())
	}
	for _, path := range aside {
		texts = append(texts, path+": the audit log was not what this side had signed, or was put back to an older one; it was set aside, and another was begun (audit show 0 says why; look at it, and move it away)")
	}
	for _, path := range slices.Sorted(maps.Keys(older)) {
		if older[path] {
			texts = append(texts, path+": this copy of a checkpoint knows of more than the audit log has: the log was put back to an older one (audit verify --checkpoint "+path+" says more; then move it away)")
		}
	}
	return texts
}

const (
	firstCheck = 10 * time.Minute
	nextChecks = 24 * time.Hour
)

// lookThrough looks through a whole log some minutes after the start of a daemon and then once a day, and tells what does not hold. Each look takes some microseconds an entry. Records are
// left to audit verify: there may be a million files of them.
func lookThrough(ctx context.Context, state, key string, tell func(faults []string)) {
	timer := time.NewTimer(firstCheck)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			tell(checkAudit(state, key))
			timer.Reset(nextChecks)
		case <-ctx.Done():
			return
		}
	}
}

// checkAudit gives faults as an alarm tells them.
func checkAudit(state, key string) (texts []string) {
	r, err := audit.Verify(audit.Reader{Disk: disk.New(), Dir: audit.Dir(state)}, nil, key, nil)
	if err != nil {
		return []string{fmt.Sprintf("the audit log cannot be looked through: %v", err)}
	}
	for _, f := range r.Faults[:min(len(r.Faults), 3)] {
		texts = append(texts, f.Text+" (audit verify says more; the next start sets the log aside, or makes its hashes again)")
	}
	return texts
}
