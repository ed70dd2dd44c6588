package ledger

import (
	"context"
	"testing"
	"time"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
)

func TestASenderOfManyEpochsFillsNothing(t *testing.T) {
	l, err := Open(context.Background(), t.TempDir(), disk.New(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close(true)
	for n := range 200 {
		l.Beat("evil", "t", bundle.Epoch{1, byte(n)}, Head{Sequence: 1 << 50, Digest: bundle.Digest{1}})
	}
	l.Beat("low", "t", bundle.Epoch{2}, Head{Sequence: 7, Digest: bundle.Digest{1}})
	if n := len(l.heads); n > strangeEpochs+2 {
		t.Errorf("%d heads are kept", n)
	}
	if l.heads[Chain{"low", "t", bundle.Epoch{2}}].Sequence != 7 {
		t.Error("another sender has lost its head by it")
	}
}
