package collect

import (
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha512"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// testEnrolment is a table of keys with their validity.
type testEnrolment map[[32]byte]testSigner

type testSigner struct {
	name          bundle.Name
	key           ssh.PublicKey
	refuse        bundle.Reason // of S-6, whatever the time
	notBefore     time.Time
	notAfterEqual time.Time
}

func (e testEnrolment) Sender(id [32]byte) (bundle.Name, ssh.PublicKey, bool) {
	s, ok := e[id]
	return s.name, s.key, ok
}

func (e testEnrolment) MayOpen(id [32]byte, at time.Time) error {
	s := e[id]
	switch {
	case s.refuse != "":
		return bundle.Reject(s.refuse, "S-6", "the test says so")
	case at.Before(s.notBefore):
		return bundle.Reject(bundle.ReasonSessionKeyNotYetValid, "S-6", "too early")
	case !s.notAfterEqual.IsZero() && at.After(s.notAfterEqual):
		return bundle.Reject(bundle.ReasonSessionKeyExpired, "S-6", "too late")
	}
	return nil
}

// lowSide opens sessions as a sender does.
type lowSide struct {
	signer   ssh.Signer
	receiver hpke.PublicKey
}

func newLowSide(t *testing.T, seed byte, receiver hpke.PublicKey) lowSide {
	t.Helper()
	private := ed25519.NewKeyFromSeed(append(make([]byte, 31), seed))
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return lowSide{signer, receiver}
}

// testFiles is a directory in memory.
type testFiles struct {
	content map[string][]byte
	fail    error
}

func (f *testFiles) Names() ([]string, error) { return slices.Sorted(maps.Keys(f.content)), f.fail }

func (f *testFiles) Read(name string) ([]byte, error) { return f.content[name], f.fail }

func (f *testFiles) Replace(name string, content []byte) error {
	if f.fail == nil {
		f.content[name] = slices.Clone(content)
	}
	return f.fail
}

// newTestNumbers gives numbers in files that nobody else has.
func newTestNumbers(t *testing.T) *FileNumbers {
	t.Helper()
	return openTestNumbers(t, &testFiles{content: map[string][]byte{}})
}

func openTestNumbers(t *testing.T, files Files) *FileNumbers {
	t.Helper()
	n, err := OpenNumbers(files)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (l lowSide) keyID() [32]byte { return packet.KeyID(l.signer.PublicKey().Marshal()) }

// announce makes an announcement, and the context that its keys come from. namespace is NamespaceSession for an honest one.
func (l lowSide) announce(t *testing.T, number uint64, epoch bundle.Epoch, links uint8, namespace string) (*packet.Announcement, *hpke.Sender) {
	t.Helper()
	public := l.receiver.Bytes()
	info := packet.Info(l.signer.PublicKey().Marshal(), public, number, epoch, links)
	encapsulation, sender, err := hpke.NewSender(l.receiver, hpke.HKDFSHA256(), hpke.ExportOnly(), info)
	if err != nil {
		t.Fatal(err)
	}
	data := bundle.SignedData(namespace, sha512.Sum512(packet.SignedMessage(info, encapsulation)))
	signature, err := l.signer.Sign(nil, data)
	if err != nil {
		t.Fatal(err)
	}
	return &packet.Announcement{
		Number: number, Epoch: epoch, Sender: l.keyID(), Receiver: packet.KeyID(public), Links: links,
		Encapsulation: encapsulation, Signature: bundle.MarshalSignature(l.signer.PublicKey(), namespace, signature),
	}, sender
}

func newReceiverKey(t *testing.T) hpke.PrivateKey {
	t.Helper()
	key, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// verify looks at an announcement as the gate does: parsed from its bytes.
func verify(t *testing.T, v Verifier, now time.Time, a *packet.Announcement) (*Session, error) {
	t.Helper()
	body := a.AppendBody(nil)
	parsed, err := packet.ParseAnnouncement(body)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Recognise(parsed); err != nil {
		return nil, err
	}
	return v.Verify(now, parsed, body)
}

var (
	testNow   = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	testEpoch = bundle.Epoch{7}
)

func TestAnHonestAnnouncementGivesTheSendersKeys(t *testing.T) {
	key := newReceiverKey(t)
	low := newLowSide(t, 1, key.PublicKey())
	v := NewKeyVerifier(key, testEnrolment{low.keyID(): {name: "low", key: low.signer.PublicKey()}}, newTestNumbers(t))
	a, sender := low.announce(t, 1000, testEpoch, 3, bundle.NamespaceSession)
	s, err := verify(t, v, testNow, a)
	if err != nil {
		t.Fatal(err)
	}
	if s.Info.Sender != "low" || s.Info.Number != 1000 || s.Info.Epoch != testEpoch || !s.Info.Opened.Equal(testNow) || len(s.Links) != 3 {
		t.Errorf("session %+v", s.Info)
	}
	for i, l := range s.Links {
		k, err := sender.Export(packet.KeyContext(i), packet.KeyExport)
		if err != nil || [32]byte(k) != l.Key {
			t.Errorf("link %d: another key than the sender's (%v)", i, err)
		}
		tag, err := sender.Export(packet.TagContext(i), packet.TagExport)
		if err != nil || packet.Tag(tag) != l.Tag {
			t.Errorf("link %d: another tag than the sender's (%v)", i, err)
		}
	}
}

func TestSessionsAreRefusedByReason(t *testing.T) {
	key, other := newReceiverKey(t), newReceiverKey(t)
	low, stranger := newLowSide(t, 1, key.PublicKey()), newLowSide(t, 2, key.PublicKey())
	signer := testSigner{name: "low", key: low.signer.PublicKey(), notBefore: testNow.Add(-time.Hour), notAfterEqual: testNow.Add(time.Hour)}
	enrolment := testEnrolment{low.keyID(): signer}
	honest := func(number uint64) *packet.Announcement {
		a, _ := low.announce(t, number, testEpoch, 1, bundle.NamespaceSession)
		return a
	}
	numbers := newTestNumbers(t)
	v := NewKeyVerifier(key, enrolment, numbers)
	first := honest(500)
	if _, err := verify(t, v, testNow, first); err != nil {
		t.Fatal(err)
	}
	forged := func(change func(*packet.Announcement)) *packet.Announcement {
		a := honest(600)
		change(a)
		return a
	}
	foreign, _ := low.announce(t, 600, testEpoch, 1, bundle.NamespaceBundle)
	unknown, _ := stranger.announce(t, 600, testEpoch, 1, bundle.NamespaceSession)
	elsewhere, _ := newLowSide(t, 1, other.PublicKey()).announce(t, 600, testEpoch, 1, bundle.NamespaceSession)
	cases := map[string]struct {
		a      *packet.Announcement
		now    time.Time
		reason bundle.Reason
	}{
		"honest":                {honest(501), testNow, ""},
		"honest, repeated":      {first, testNow, bundle.ReasonSessionNumberOld}, // 501 came in between
		"number below":          {honest(499), testNow, bundle.ReasonSessionNumberOld},
		"same number, not same": {honest(501), testNow, bundle.ReasonSessionConflict},
		"unknown key":           {unknown, testNow, bundle.ReasonSessionSenderUnknown},
		"another receiver":      {elsewhere, testNow, bundle.ReasonSessionReceiverOther},
		"not yet valid":         {honest(600), testNow.Add(-2 * time.Hour), bundle.ReasonSessionKeyNotYetValid},
		"expired":               {honest(600), testNow.Add(2 * time.Hour), bundle.ReasonSessionKeyExpired},
		"another namespace":     {foreign, testNow, bundle.ReasonSessionSignature},
		"number changed":        {forged(func(a *packet.Announcement) { a.Number++ }), testNow, bundle.ReasonSessionSignature},
		"epoch changed":         {forged(func(a *packet.Announcement) { a.Epoch[3]++ }), testNow, bundle.ReasonSessionSignature},
		"links changed":         {forged(func(a *packet.Announcement) { a.Links = 16 }), testNow, bundle.ReasonSessionSignature},
		"encapsulation changed": {forged(func(a *packet.Announcement) { a.Encapsulation[9] ^= 1 }), testNow, bundle.ReasonSessionSignature},
		"signature changed":     {forged(func(a *packet.Announcement) { a.Signature[len(a.Signature)-1] ^= 1 }), testNow, bundle.ReasonSessionSignature},
		"another's signature":   {forged(func(a *packet.Announcement) { a.Signature = unknown.Signature }), testNow, bundle.ReasonSessionSignature},
		"no signature":          {forged(func(a *packet.Announcement) { a.Signature = make([]byte, 184) }), testNow, bundle.ReasonSessionSignature},
	}
	order := []string{"honest"}
	for name := range cases {
		if name != "honest" {
			order = append(order, name)
		}
	}
	for _, name := range order {
		c := cases[name]
		t.Run(name, func(t *testing.T) {
			before := len(numbers.Of("low"))
			s, err := verify(t, v, c.now, c.a)
			reason, _ := bundle.ReasonOf(err)
			if reason != c.reason || (err == nil) != (c.reason == "") || (c.reason == "" && s == nil) {
				t.Errorf("got %v, want reason %q", err, c.reason)
			}
			if got := numbers.Of("low"); len(got) != before || got[0].Number > 501 {
				t.Errorf("a refused announcement left its mark: %+v", got)
			}
		})
	}
	v.Enrol(testEnrolment{})
	if reason, _ := bundle.ReasonOf(mustFail(verify(t, v, testNow, honest(700)))); reason != bundle.ReasonSessionSenderUnknown {
		t.Errorf("after the sender was removed: %q", reason)
	}
	signer.refuse = bundle.ReasonSessionKeyNamespace
	v.Enrol(testEnrolment{low.keyID(): signer})
	if reason, _ := bundle.ReasonOf(mustFail(verify(t, v, testNow, honest(700)))); reason != bundle.ReasonSessionKeyNamespace {
		t.Errorf("key without the namespace: %q", reason)
	}
}

func mustFail(_ *Session, err error) error { return err }

func TestARestartedReceiverTakesTheSameSessionWithItsFloors(t *testing.T) {
	key := newReceiverKey(t)
	low := newLowSide(t, 1, key.PublicKey())
	enrolment := testEnrolment{low.keyID(): {name: "low", key: low.signer.PublicKey()}}
	files := &testFiles{content: map[string][]byte{}}
	a, _ := low.announce(t, 1000, testEpoch, 2, bundle.NamespaceSession)
	v := NewKeyVerifier(key, enrolment, openTestNumbers(t, files))
	s, err := verify(t, v, testNow, a)
	if err != nil {
		t.Fatal(err)
	}
	floors := []Floor{{}, {Number: 12345, Known: true}}
	if err := v.Store(s, floors); err != nil {
		t.Fatal(err)
	}
	again, err := verify(t, NewKeyVerifier(key, enrolment, openTestNumbers(t, files)), testNow, a)
	if err != nil {
		t.Fatal(err)
	}
	if again.Links[0].Floor != floors[0] || again.Links[1].Floor != floors[1] || again.Rank != s.Rank {
		t.Errorf("session %+v, rank %d", again.Links, again.Rank)
	}
}

// A number that could not be stored opens no session: after a restart it would be forgotten.
func TestASessionDoesNotOpenWhereItsNumberCannotBeStored(t *testing.T) {
	key := newReceiverKey(t)
	low := newLowSide(t, 1, key.PublicKey())
	files := &testFiles{content: map[string][]byte{}}
	v := NewKeyVerifier(key, testEnrolment{low.keyID(): {name: "low", key: low.signer.PublicKey()}}, openTestNumbers(t, files))
	a, _ := low.announce(t, 1000, testEpoch, 2, bundle.NamespaceSession)
	files.fail = errors.New("no space")
	_, err := verify(t, v, testNow, a)
	if _, rejected := bundle.ReasonOf(err); !errors.Is(err, files.fail) || rejected {
		t.Errorf("got %v", err)
	}
	files.fail = nil
	s, err := verify(t, v, testNow, a)
	if err != nil {
		t.Fatal(err)
	}
	writes := string(files.content["low.json"])
	files.fail = errors.New("no space")
	if err := v.Store(s, make([]Floor, 2)); err != nil {
		t.Errorf("floors that have not changed were written: %v", err)
	}
	if err := v.Store(s, []Floor{{5, true}, {}}); !errors.Is(err, files.fail) || string(files.content["low.json"]) != writes {
		t.Errorf("got %v", err)
	}
	files.fail = nil
	if err := v.Store(s, []Floor{{5, true}, {}}); err != nil || string(files.content["low.json"]) == writes {
		t.Errorf("floors were not written at the second try: %v", err)
	}
}

func TestDamagedNumbersAreAnError(t *testing.T) {
	for name, files := range map[string]*testFiles{
		"no directory": {fail: errors.New("gone")},
		"empty file":   {content: map[string][]byte{"low.json": nil}},
		"other sender": {content: map[string][]byte{"low.json": []byte(`{"format":"ecluse-sessions-1","sender":"high","sessions":[]}`)}},
	} {
		if _, err := OpenNumbers(files); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := OpenNumbers(&testFiles{content: map[string][]byte{"low.json.tmp1": nil, "README": nil, ".x.json": nil}}); err != nil {
		t.Errorf("foreign files: %v", err)
	}
}

// An announcement of an epoch from before keeps its rank, so that it cannot push out newer sessions.
func TestRanksFollowTheFirstAcceptance(t *testing.T) {
	key := newReceiverKey(t)
	low := newLowSide(t, 1, key.PublicKey())
	v := NewKeyVerifier(key, testEnrolment{low.keyID(): {name: "low", key: low.signer.PublicKey()}}, newTestNumbers(t))
	var announcements []*packet.Announcement
	for i := range 3 {
		a, _ := low.announce(t, uint64(1000-i), bundle.Epoch{byte(i + 1)}, 1, bundle.NamespaceSession)
		announcements = append(announcements, a)
	}
	for range 2 {
		for i, a := range announcements {
			s, err := verify(t, v, testNow, a)
			if err != nil || s.Rank != uint64(i+1) {
				t.Errorf("announcement %d: %v, rank %d", i, err, s.Rank)
			}
		}
	}
}

func TestEpochsAreRememberedUpToTheirLimit(t *testing.T) {
	var numbers []Number
	for i := range byte(epochsKept + 5) {
		numbers = withNumber(numbers, Number{Epoch: bundle.Epoch{i + 1}, Number: uint64(i)})
	}
	if len(numbers) != epochsKept || numbers[0].Epoch != (bundle.Epoch{6}) || numbers[epochsKept-1].Rank != epochsKept+5 {
		t.Errorf("%d epochs, from %v", len(numbers), numbers[0].Epoch)
	}
	numbers = withNumber(numbers, Number{Epoch: bundle.Epoch{10}, Number: 99})
	if len(numbers) != epochsKept || numbers[epochsKept-1].Number != 99 {
		t.Error("a new number of a known epoch pushed another epoch out")
	}
}

func TestNumbersComeBackFromTheirFile(t *testing.T) {
	want := []Number{
		{Key: bundle.Digest{1}, Epoch: bundle.Epoch{2}, Number: 1 << 60, Announcement: bundle.Digest{3}, Rank: 4, Floors: []Floor{{}, {77, true}, {0, true}}},
		{Key: bundle.Digest{1}, Epoch: bundle.Epoch{9}, Number: 5, Announcement: bundle.Digest{3}, Rank: 1 << 40, Floors: []Floor{{}}},
	}
	text, err := marshalNumbers("low", want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parseNumbers(text, "low")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%v, %+v", err, got)
	}
	for i := range text {
		b := append([]byte(nil), text...)
		b[i] ^= 1 << (i % 8)
		if got, err := parseNumbers(b, "low"); err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("with byte %d changed: %+v", i, got)
		}
	}
	if _, err := parseNumbers(text, "other"); err == nil {
		t.Error("the file of another sender was taken")
	}
	for n := range len(text) - 1 {
		if got, err := parseNumbers(text[:n], "low"); err == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("a file cut to %d of %d bytes was taken", n, len(text))
		}
	}
	for name, bad := range map[string]string{"another format": `{"format":"x","sender":"low","sessions":[]}`, "unknown key": `{"format":"` + numbersFormat + `","sender":"low","sessions":[],"x":1}`,
		"something behind": string(text) + "{}", "not in order": fmt.Sprintf(`{"format":%q,"sender":"low","sessions":[{"key":"%064d","epoch":%q,"announcement":"%064d","rank":2},{"key":"%064d","epoch":%q,"announcement":"%064d","rank":1}]}`,
			numbersFormat, 1, testEpoch, 1, 1, testEpoch, 1)} {
		if _, err := parseNumbers([]byte(bad), "low"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
