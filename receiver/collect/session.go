package collect

import (
	"slices"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// sessionsKept is how many sessions of one sender are open at a time: the newest and the one before it (S-10), since a rekey
// is announced while the old key runs on.
const sessionsKept = 2

// SessionInfo says whose records a block holds. It is what a Sink may believe: the session was opened by a key that
// allowed_signers gives to Sender.
type SessionInfo struct {
	Sender bundle.Name
	Key    ssh.PublicKey
	Epoch  bundle.Epoch
	Number uint64
	Link   string    // the receiver's link that heard the block
	Opened time.Time // by the receiver's wall clock
}

// Session is an announcement that was verified: what a Verifier gives. It never changes.
type Session struct {
	Info  SessionInfo // Link is empty
	KeyID [32]byte    // of the sender's key
	// Rank orders the sessions of one sender by when each was accepted for the first time, across restarts. A session that is
	// announced again keeps its rank, so that an old announcement cannot push out a newer session.
	Rank  uint64
	Links []LinkKey // one for each link that the sender announced

	body []byte // the announcement, for S-8
}

// LinkKey opens the packets of one link of a session (S-9).
type LinkKey struct {
	Key   [32]byte
	Tag   packet.Tag
	Floor Floor
}

// Floor is the highest packet number of a link that was stored before a restart (P-7), if any was.
type Floor struct {
	Number uint64
	Known  bool
}

var errOldRank error = bundle.Reject(bundle.ReasonSessionNumberOld, "S-10", "two newer sessions of this sender are open")

// sessionTable holds the open sessions: of each sender the newest and the one before it, which bounds it by the number of
// enrolled senders. It decides, and changes nothing elsewhere. One goroutine owns it.
type sessionTable struct {
	senders map[bundle.Name][]*Session // in ascending rank, at most sessionsKept
}

// admit takes a verified session in. closed is the one that gives way, or nil. A session that two newer ones keep out is
// refused: an announcement from before, recorded and sent again.
func (t *sessionTable) admit(s *Session) (closed *Session, err error) {
	if t.senders == nil {
		t.senders = make(map[bundle.Name][]*Session)
	}
	open := t.senders[s.Info.Sender]
	if len(open) == sessionsKept && s.Rank < open[0].Rank {
		return nil, errOldRank
	}
	if i := slices.IndexFunc(open, func(o *Session) bool { return o.Rank == s.Rank }); i >= 0 {
		closed = open[i]
		open = slices.Delete(open, i, i+1)
	} else if len(open) == sessionsKept {
		closed = open[0]
		open = slices.Delete(open, 0, 1)
	}
	at, _ := slices.BinarySearchFunc(open, s.Rank, func(o *Session, rank uint64) int {
		if o.Rank < rank {
			return -1
		}
		return 1
	})
	t.senders[s.Info.Sender] = slices.Insert(open, at, s)
	return closed, nil
}

// remove takes a session out.
func (t *sessionTable) remove(s *Session) {
	open := slices.DeleteFunc(t.senders[s.Info.Sender], func(o *Session) bool { return o == s })
	if len(open) == 0 {
		delete(t.senders, s.Info.Sender)
		return
	}
	t.senders[s.Info.Sender] = open
}

// all gives the open sessions by sender, older ones first.
func (t *sessionTable) all() []*Session {
	var all []*Session
	for _, open := range t.senders {
		all = append(all, open...)
	}
	slices.SortFunc(all, func(a, b *Session) int {
		switch {
		case a.Info.Sender != b.Info.Sender && a.Info.Sender < b.Info.Sender:
			return -1
		case a.Info.Sender != b.Info.Sender:
			return 1
		case a.Rank < b.Rank:
			return -1
		}
		return 1
	})
	return all
}

// holds tells whether an announcement is that of an open session, byte for byte (S-8).
func (t *sessionTable) holds(body []byte) bool {
	for _, open := range t.senders {
		for _, s := range open {
			if string(s.body) == string(body) {
				return true
			}
		}
	}
	return false
}
