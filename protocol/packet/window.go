package packet

import "ecluse/protocol/bundle"

const (
	wordBits = 64
	// One word more than the window has: the word that the highest number enters is cleared whole, and must hold no number
	// that is still within the window.
	windowWords = bundle.ReplayWindow/wordBits + 1
)

// Window remembers which packet numbers of one session and link were accepted (P-6, P-7). The zero Window is that of a new
// session. It has a fixed size of about 8 KiB. One goroutine owns it.
//
//	  too old       |  the last 65,536: one bit each  |   new: move the window
//	----------------+---------------------------------+------------------------> number
//	                                          highest ^
type Window struct {
	next  uint64 // highest accepted number + 1; 0 while there is none
	floor uint64 // numbers below it are refused: one above the number stored before a restart
	words [windowWords]uint64
}

// NewWindow gives the window of a session that was open before a restart, when number was stored as its highest. Numbers at
// or below it are packet-floor.
func NewWindow(number uint64) *Window {
	return &Window{floor: number + 1}
}

// Check tells whether a number could be accepted, and changes nothing: the cheap refusal before a packet is opened.
func (w *Window) Check(number uint64) error {
	switch {
	case number < w.floor:
		return errFloor
	case number >= w.next:
		return nil
	case w.next-1-number >= bundle.ReplayWindow:
		return errReplay
	case w.words[number/wordBits%windowWords]&(1<<(number%wordBits)) != 0:
		return errReplay
	}
	return nil
}

// Accept checks a number again and remembers it. Call it only for a packet that has opened: otherwise a forged number
// would move the window past every honest one.
func (w *Window) Accept(number uint64) error {
	if err := w.Check(number); err != nil {
		return err
	}
	if number >= w.next {
		w.clear(number)
		w.next = number + 1
	}
	w.words[number/wordBits%windowWords] |= 1 << (number % wordBits)
	return nil
}

// clear empties the words that the window enters when number becomes the highest.
func (w *Window) clear(number uint64) {
	if w.next == 0 {
		return // nothing was ever set
	}
	last, word := (w.next-1)/wordBits, number/wordBits
	if word-last >= windowWords {
		w.words = [windowWords]uint64{}
		return
	}
	for last++; last <= word; last++ {
		w.words[last%windowWords] = 0
	}
}

// Highest gives the highest number accepted since the window was made; ok is false while there is none. It is what a receiver
// stores (P-7).
func (w *Window) Highest() (number uint64, ok bool) {
	return w.next - 1, w.next != 0
}
