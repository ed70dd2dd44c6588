package vectors_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
)

// unitOf gives the 64 bytes that data shard i repeats.
func unitOf(i int) []byte {
	out := make([]byte, 64)
	for j := range out {
		out[j] = byte(3*i*i + 5*i*j + 7*j + i/7 + 1)
	}
	return out
}

func TestParityOfSection5(t *testing.T) {
	coder := fec.NewCoder()
	each(t, "parity", func(t *testing.T, v vector, in struct {
		K, M    int
		Missing []int
	}) {
		code := fec.Code{K: in.K, M: in.M, Shard: bundle.MinShard}
		all := make([][]byte, in.K+in.M)
		for i := range all {
			all[i] = bytes.Repeat(unitOf(i), code.Shard/64)
		}
		if err := coder.Encode(code, all[:in.K], all[in.K:]); err != nil {
			t.Fatal(err)
		}
		here := slices.Clone(all)
		for _, i := range in.Missing {
			here[i] = make([]byte, 0, code.Shard)
		}
		err := coder.Reconstruct(code, here)
		if errors.Is(err, fec.ErrTooFew) {
			err = bundle.Reject(bundle.ReasonBlockLost, "F-2", "%v", err)
		}
		if !judged(t, v, err) {
			return
		}
		for i := range in.K {
			same(t, "repaired shard", here[i], all[i])
		}
		want := values[struct{ Parity []string }](t, v).Parity
		if len(want) != in.M {
			t.Fatalf("%d parity shards, should be %d", in.M, len(want))
		}
		for i := range want {
			same(t, "parity", all[in.K+i], bytes.Repeat(unhex(t, want[i]), code.Shard/64))
		}
	})
}
