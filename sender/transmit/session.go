package transmit

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// Session is one set of packet keys on this link, and the numbers that must never repeat under them.
type Session struct {
	Number  uint64
	sealer  *packet.Sealer
	packets [][]byte // the announcement, ready to send

	nextBlock  uint32 // the builder's
	nextPacket uint64 // the link's
}

// Exporter gives the secrets of one HPKE context (RFC 9180 section 5.3).
type Exporter interface {
	Export(context string, length int) ([]byte, error)
}

// Secrets does what a session needs of keys and of the system's randomness.
type Secrets interface {
	// Encapsulate makes an HPKE context for the receiver, bound to info.
	Encapsulate(info []byte) (encapsulation []byte, e Exporter, err error)
	// Sign makes a raw SSHSIG blob in the namespace of sessions.
	Sign(message []byte) (blob []byte, err error)
	// Public returns the sender's public key in SSH wire form and the receiver's as its KEM encodes it.
	Public() (sender, receiver []byte)
	// NextNumber returns a session number that was never used before, made durable before it returns (SPEC.md rule S-7).
	NextNumber() (uint64, error)
}

// linksInSession is how many links one session has keys for.
const linksInSession = 1

// NewSession draws keys for a new session and prepares its announcement (SPEC.md section 4).
func NewSession(s Secrets, epoch bundle.Epoch) (*Session, error) {
	number, err := s.NextNumber()
	if err != nil {
		return nil, fmt.Errorf("number a session: %w", err)
	}
	sender, receiver := s.Public()
	info := packet.Info(sender, receiver, number, epoch, linksInSession)
	encapsulation, exporter, err := s.Encapsulate(info)
	if err != nil {
		return nil, fmt.Errorf("encapsulate for the receiver: %w", err)
	}
	signature, err := s.Sign(packet.SignedMessage(info, encapsulation))
	if err != nil {
		return nil, fmt.Errorf("sign the session: %w", err)
	}
	sealer, err := newSealer(exporter, 0)
	if err != nil {
		return nil, err
	}
	a := packet.Announcement{
		Number: number, Epoch: epoch, Sender: packet.KeyID(sender), Receiver: packet.KeyID(receiver),
		Links: linksInSession, Encapsulation: encapsulation, Signature: signature,
	}
	return &Session{Number: number, sealer: sealer, packets: a.AppendPackets()}, nil
}

// newSealer derives one link's key and tag (SPEC.md rule S-9).
func newSealer(e Exporter, link int) (*packet.Sealer, error) {
	key, err := e.Export(packet.KeyContext(link), 32)
	if err != nil {
		return nil, fmt.Errorf("derive the packet key: %w", err)
	}
	tag, err := e.Export(packet.TagContext(link), 3)
	if err != nil {
		return nil, fmt.Errorf("derive the session tag: %w", err)
	}
	return packet.NewSealer([32]byte(key), packet.Tag(tag))
}

// sessions says which session the next block belongs to. The builder asks; the link sets it once a session has been announced.
type sessions struct {
	current atomic.Pointer[Session]
	blocks  atomic.Uint32 // of the current session
}

// block returns the session and number of the next block. Only the builder calls it.
func (s *sessions) block() (*Session, uint32) {
	c := s.current.Load()
	n := c.nextBlock
	c.nextBlock++
	s.blocks.Store(c.nextBlock)
	return c, n
}

// Announcing: at the start of a session it is sent repeats times within spread, so that neither loss nor one burst hides it; later every
// announceEvery, for a receiver that starts late.
const (
	announceEvery = 200 * time.Millisecond
	// announceLeast is the least time of the first series: a receiver verifies beside its drain, and one that has much else to do has lost the first bundle, whole, where data followed within 3 ms.
	announceLeast = 100 * time.Millisecond
)

// repeats is the least r with loss^r <= 1e-9, and at least 3.
func repeats(loss float64) int {
	if loss <= 0 {
		return 3
	}
	return max(3, int(math.Ceil(math.Log(1e-9)/math.Log(loss))))
}

// announcer sends one session's announcement by the clock. The link owns it.
type announcer struct {
	session *Session
	left    int // of the first series
	gap     int64
	next    int64
}

// newAnnouncer starts a series of r announcements over more than two bursts.
func newAnnouncer(s *Session, now int64, loss float64, burst time.Duration) *announcer {
	r := repeats(loss)
	spread := max(int64(burst)*5/2, int64(announceLeast))
	return &announcer{session: s, left: r, gap: spread / int64(r-1), next: now}
}

// due says whether the announcement leaves now, and plans the next.
func (a *announcer) due(now int64) bool {
	if now < a.next {
		return false
	}
	if a.left > 0 {
		a.left--
	}
	if a.left > 0 {
		a.next = now + a.gap
	} else {
		a.next = now + int64(announceEvery)
	}
	return true
}

// done says that the first series is out: data may follow.
func (a *announcer) done() bool { return a.left == 0 }
