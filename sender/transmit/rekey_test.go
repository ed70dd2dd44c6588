package transmit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"ecluse/protocol/bundle"
)

// reluctant are secrets of which the first so many sessions cannot be made.
type reluctant struct {
	secrets
	failures int
}

func (r *reluctant) Sign(message []byte) ([]byte, error) {
	if r.failures--; r.failures >= 0 {
		return nil, errors.New("no agent")
	}
	return r.secrets.Sign(message)
}

// Neither an agent that is not there nor a full disk, at the moment when a session is old, ends what runs.
func TestASessionThatCannotBeRenewedGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := 0
		e := &Engine{options: Options{Secrets: &reluctant{failures: 3}, Epoch: bundle.Epoch{1}, Unrenewed: func(error) { told++ }}}
		ctx, cancel := context.WithCancel(t.Context())
		renewed, ended := make(chan *Session), make(chan error, 1)
		began := time.Now()
		go func() { ended <- e.rekey(ctx, renewed) }()
		select {
		case <-renewed:
		case err := <-ended:
			t.Fatalf("it ended: %v", err)
		}
		if took := time.Since(began); told != 3 || took < rekeyAfter || took > rekeyAfter+5*time.Minute {
			t.Errorf("told %d times, and renewed after %v", told, took)
		}
		cancel()
		<-ended
	})
}
