package collect

import (
	"errors"

	"ecluse/protocol/bundle"
	"ecluse/protocol/fec"
	"ecluse/protocol/record"
)

// spareKept bounds the memory for missing shards that a worker keeps from block to block; what a larger block needed is given
// back. The codes of plans need less than 2 MiB.
const spareKept = 4 << 20

// Sink takes the records of complete blocks. Block is called from several workers at once. The reader and all that it gives are
// valid until Block returns. Block may wait: the blocks behind it then fill the memory for blocks, and what no longer fits is
// given up as block-budget; packets go on being read. It must return once the context of Run has ended.
type Sink interface {
	Block(s SessionInfo, r *record.Reader)
}

// worker turns complete blocks into records. One goroutine owns it.
type worker struct {
	coder  *fec.Coder
	reader record.Reader
	shards [][]byte // of one block
	sums   []uint32 // of its data shards
	spare  []byte   // memory for the shards that are missing
}

func newWorker() *worker {
	return &worker{coder: fec.NewCoder(), shards: make([][]byte, maxShards), sums: make([]uint32, bundle.MaxDataShards)}
}

// open puts a block together: it recovers what is missing, and checks the sum and the header (B-1, B-2). It gives the reader of
// the block's records, and how many data shards it had to recover. The reader is valid until the next call.
func (w *worker) open(t *table, b *block) (r *record.Reader, recovered int, err error) {
	shards := w.shards[:b.code.K+b.code.M]
	sums := w.sums[:b.code.K]
	t.shards(b, shards, sums)
	if recovered = b.code.K - b.data; recovered > 0 {
		w.lend(b.code, shards, recovered)
		if err := w.coder.Reconstruct(b.code, shards); shortBy > 0 && errors.Is(err, fec.ErrTooFew) {
			for i, s := range shards[:b.code.K] {
				shards[i] = s[:b.code.Shard]
			}
		} else if err != nil {
			// The code is valid and k shards of its size are here.
			panic("collect: internal error: " + err.Error())
		}
	}
	for i := 0; i < b.code.K && recovered > 0; i++ {
		if !b.has(i) {
			sums[i] = record.ShardSum(i, shards[i])
		}
	}
	if err := w.reader.ResetSummed(shards[:b.code.K], sums, b.number); err != nil {
		return nil, recovered, err
	}
	return &w.reader, recovered, nil
}

// lend gives each missing data shard memory to be recovered into, on a 64-byte boundary where the first one is.
func (w *worker) lend(code fec.Code, shards [][]byte, missing int) {
	need := missing * code.Shard
	if len(w.spare) < need {
		w.spare = make([]byte, need)
	}
	free := w.spare
	for i := range shards[:code.K] {
		if shards[i] == nil {
			shards[i], free = free[:0:code.Shard], free[code.Shard:]
		}
	}
}

// done ends the use of the block that open gave last.
func (w *worker) done() {
	if len(w.spare) > spareKept {
		w.spare = nil
	}
}

// finish counts what became of a block in a worker's hands, and takes its memory back. err is what open gave.
func (t *table) finish(now int64, b *block, recovered int, err error) {
	defer t.release(now, b)
	if err == nil {
		t.outcome.Delivered++
		if recovered > 0 {
			t.outcome.Repaired++
			t.outcome.RepairedShards += uint64(recovered)
		}
		return
	}
	switch reason, _ := bundle.ReasonOf(err); reason {
	case bundle.ReasonBlockCRC:
		t.outcome.CRC++
	case bundle.ReasonBlockHeader:
		t.outcome.Header++
	default:
		panic("collect: internal error: a block was refused as " + err.Error())
	}
}
