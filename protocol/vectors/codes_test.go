package vectors_test

import (
	"errors"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
)

// A code that is none is refused as packet-code by the packet that names it; the package of the codes itself says ErrCode.
func TestCodesOfSection5(t *testing.T) {
	each(t, "codes", func(t *testing.T, v vector, in struct{ K, M, Shard int }) {
		code := fec.Code{K: in.K, M: in.M, Shard: in.Shard}
		err := code.Validate()
		if errors.Is(err, fec.ErrCode) {
			err = bundle.Reject(bundle.ReasonPacketCode, "F-1", "%v", err)
		}
		if !judged(t, v, err) {
			return
		}
		want := values[struct {
			Padded int
			Wide   bool
		}](t, v)
		if code.Padded() != want.Padded || code.Wide() != want.Wide {
			t.Errorf("padded to %d, wide %v, should be %d, %v", code.Padded(), code.Wide(), want.Padded, want.Wide)
		}
	})
}
