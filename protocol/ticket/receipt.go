package ticket

import (
	"crypto/sha256"

	"ecluse/protocol/bundle"
)

// Run is sequences that are safe, each of them, from one to another, and the digest that the last one's manifest has: it stands for all before it, by the chain.
type Run struct {
	From, To uint64
	Digest   bundle.Digest // known to whoever makes or checks a receipt; a code holds the Chain instead
}

// Receipt says which sequences of one tenant and epoch are safe on the high side: the first run from 1 on where there is no gap before it, and some later ones.
type Receipt struct {
	Runs  []Run // ascending, with at least one sequence between two
	Chain Chain
}

// Chain is what binds a receipt to manifests (T-9).
type Chain [5]byte

const chainSymbols = 8

// ChainOf gives the chain of runs, whose digests have to be known.
func ChainOf(runs []Run) Chain {
	sum := sha256.New()
	sum.Write([]byte("ecluse receipt chain 1\n"))
	for _, r := range runs {
		sum.Write(r.Digest[:])
	}
	return Chain(sum.Sum(nil))
}

// Hold holds the receipt against a chain: runs are its own, with the digests that the sender knows. Refused: ticket-chain.
func (r *Receipt) Hold(runs []Run) error {
	if ChainOf(runs) == r.Chain {
		return nil
	}
	return bundle.Reject(bundle.ReasonTicketChain, "T-9",
		"another manifest than this sender's stands on the high side under one of these sequences: a clone, or a copy from before a restore, has sent")
}

// Fit leaves out the last runs until the receipt fits, and sets its chain.
func (r *Receipt) Fit() {
	for len(r.Runs) > 1 && r.length() > maxBody {
		r.Runs = r.Runs[:len(r.Runs)-1]
	}
	r.Chain = ChainOf(r.Runs)
}

func (r *Receipt) length() int {
	n, last := chainSymbols+numberLength(uint64(len(r.Runs))), uint64(0)
	for _, run := range r.Runs {
		n += numberLength(run.From-last-1) + numberLength(run.To-run.From+1)
		last = run.To
	}
	return n
}

// append writes the body (T-9).
func (r *Receipt) append(to []byte) []byte {
	to = appendNumber(appendBits(to, r.Chain[:], chainSymbols), uint64(len(r.Runs)))
	last := uint64(0)
	for _, run := range r.Runs {
		to = appendNumber(appendNumber(to, run.From-last-1), run.To-run.From+1)
		last = run.To
	}
	return to
}

// parseReceipt reads a body of kind receipt.
func parseReceipt(body []byte) (*Receipt, error) {
	rd := reader{rest: body}
	chain, _ := bits(rd.take(chainSymbols))
	r := &Receipt{Chain: Chain(chain)}
	count, last := rd.number(), uint64(0)
	if count == 0 {
		rd.fail("T-9", "a receipt of nothing")
	}
	for ; count > 0 && rd.fault == nil; count-- {
		skip, length := rd.number(), rd.number()
		if skip == 0 && last > 0 || length == 0 || skip > bundle.MaxSequence-last || length > bundle.MaxSequence-last-skip {
			rd.fail("T-9", "a run of nothing, one that belongs to the run before, or one above the limit")
			break
		}
		run := Run{From: last + skip + 1, To: last + skip + length}
		last = run.To
		r.Runs = append(r.Runs, run)
	}
	return r, rd.end()
}
