package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"ecluse/internal/cli"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/protocol/record"
	"ecluse/receiver/assemble"
	"ecluse/receiver/house"
	"ecluse/receiver/ledger"
	"ecluse/receiver/release"
)

// Who edits the configuration after it was read and before the daemon follows it is heard at the first look.
func TestAnEditBeforeTheDaemonFollowsIsFollowed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "receiver.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(documented)
	c, err := load(path)
	if err != nil {
		t.Fatal(err)
	}
	if read := stampsRead(c); !slices.Equal(read, stampsOf(c)) || read[0] == (cli.Stamp{}) {
		t.Fatalf("nobody has edited it, and %v were read of %v", read, stampsOf(c))
	}
	write(documented + "\n")
	if slices.Equal(stampsRead(c), stampsOf(c)) {
		t.Error("an edit is not seen")
	}
}

// hand is a key, and what stands of it in files of trust.
type hand struct {
	ssh.Signer
	line string
}

func newHand(t *testing.T, name, options string) hand {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	signer, err := ssh.NewSignerFromKey(private)
	must(t, err)
	return hand{signer, name + " " + options + string(ssh.MarshalAuthorizedKey(signer.PublicKey()))}
}

func (h hand) sign(t *testing.T, namespace string, text []byte) []byte {
	t.Helper()
	signature, err := h.Sign(rand.Reader, bundle.SignedData(namespace, sha512.Sum512(text)))
	must(t, err)
	return bundle.MarshalSignature(h.PublicKey(), namespace, signature)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trusting is a daemon that follows its files of trust and does nothing else, with one sender and one officer.
type trusting struct {
	*daemon
	t      *testing.T
	logs   *observer.ObservedLogs
	sender hand
	person hand
	asked  byte
}

func newTrusting(t *testing.T) *trusting {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	d := &trusting{t: t, sender: newHand(t, "ctie-low", `namespaces="abandon@ecluse" `), person: newHand(t, "ada", "")}
	must(t, os.Mkdir(at("state"), 0o700))
	_, err := keys.GenerateReceiverKey(at("receiver.key"))
	must(t, err)
	text := strings.NewReplacer("/var/lib/ecluse-receiver", at("state"), "/etc/ecluse/", dir+"/").Replace(documented) + "officers: " + at("officers") + "\n"
	for name, text := range map[string]string{"receiver.yaml": text, "allowed_signers": d.sender.line, "officers": d.person.line} {
		must(t, os.WriteFile(at(name), []byte(text), 0o600))
	}
	c, err := load(at("receiver.yaml"))
	must(t, err)
	core, logs := observer.New(zapcore.InfoLevel)
	d.daemon, d.logs = newDaemon(c, zap.New(core)), logs
	o, err := stateOptions(c, d.log)
	must(t, err)
	o.Fatal = func(err error) { t.Error(err) }
	s, err := house.Open(t.Context(), o)
	must(t, err)
	d.House, err = house.Join(s, house.Flow{})
	must(t, err)
	book, endBook := context.WithCancel(context.Background())
	work, endWork := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Ledger.Run(book) }()
	must(t, s.Chamber.Rest(work))
	t.Cleanup(func() {
		endWork()
		s.Chamber.Wait()
		endBook()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		must(t, s.Close(true))
	})
	return d
}

// believes says whether what the sender, and the officer, have signed holds now.
func (d *trusting) believes() (sender, officer bool) {
	d.t.Helper()
	d.asked++
	id, epoch := bundle.ID{d.asked}, bundle.Epoch{1}
	must(d.t, d.Ledger.Change(d.t.Context(), id, func(r *ledger.Record) error {
		r.Sender, r.Tenant, r.Epoch, r.State = "ctie-low", "cssf", epoch, ledger.Receiving
		return nil
	}))
	_, before := d.Chamber.Refusals()
	a := record.Abandon{Bundle: id, Epoch: epoch, Tenant: "cssf", Reason: "why"}
	a.Signature = d.sender.sign(d.t, bundle.NamespaceAbandon, bundle.AbandonMessage(id, epoch, a.Tenant, a.Reason))
	d.Chamber.Abandoned(assemble.Source{Sender: "ctie-low", Epoch: epoch}, &a)
	_, after := d.Chamber.Refusals()

	chain, sequence := ledger.Chain{Sender: "ctie-low", Tenant: "cssf", Epoch: epoch}, uint64(d.asked)
	by := ledger.Decision{Who: "ada", Reason: "lost", At: d.Clock.Now().UTC()}
	text := release.Statement(&ledger.Record{Sender: chain.Sender, Tenant: chain.Tenant, Epoch: epoch, Sequence: &sequence}, by)
	by.Signature = string(bundle.Armor(d.person.sign(d.t, bundle.NamespaceRelease, text)))
	_, err := d.Chamber.GiveUp(chain, sequence, by)
	if reason, _ := bundle.ReasonOf(err); err != nil && reason != bundle.ReasonDecisionOfficer {
		d.t.Fatal(err)
	}
	return before[bundle.ReasonAbandonSignature] == after[bundle.ReasonAbandonSignature], err == nil
}

// is requires who is believed now, and whether the alarm stands.
func (d *trusting) is(when string, sender, officer, alarm bool) {
	d.t.Helper()
	if s, o := d.believes(); s != sender || o != officer {
		d.t.Errorf("%s: the sender is believed: %v, the officer: %v", when, s, o)
	}
	if why := d.trustFault(); (why != "") != alarm {
		d.t.Errorf("%s: the alarm says %q", when, why)
	}
}

// edit puts a text in the place of another one of a file.
func (d *trusting) edit(path, old, new string) {
	d.t.Helper()
	text, err := os.ReadFile(path)
	must(d.t, err)
	if !strings.Contains(string(text), old) {
		d.t.Fatalf("there is no %q in %s", old, path)
	}
	must(d.t, os.WriteFile(path, []byte(strings.Replace(string(text), old, new, 1)), 0o600))
}

// follows looks several times; nothing is told twice.
func (d *trusting) follows() {
	d.t.Helper()
	faults := func() int { return d.logs.FilterLevelExact(zapcore.ErrorLevel).Len() }
	d.follow(d.t.Context())
	told := faults()
	for range 3 {
		d.follow(d.t.Context())
	}
	if more := faults() - told; more > 0 {
		d.t.Errorf("%d lines more are told of what is as it was: %v", more, d.logs.All())
	}
}

// withoutFiles does something while this process can open no file: as in a moment in which too many are open.
func withoutFiles(t *testing.T, do func()) {
	t.Helper()
	var limit unix.Rlimit
	must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 0, Max: limit.Max}))
	defer func() { must(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) }()
	do()
}

// A line that is taken out is in force within seconds, also where the file could not be read at the first look: nobody edits it once more.
func TestARevocationThatCouldNotBeReadIsReadAgain(t *testing.T) {
	for _, asked := range []bool{false, true} {
		d := newTrusting(t)
		d.is("at first", true, true, false)
		d.edit(d.c.AllowedSigners, d.sender.line, "# nobody\n")
		d.edit(d.c.Officers, d.person.line, "# nobody\n")
		withoutFiles(t, func() {
			if asked && d.reload(t.Context()) == nil {
				t.Error("who asked for it was not told")
			}
			d.follows()
		})
		d.is("while it cannot be read", true, true, true)
		d.follows()
		d.is("when it can", false, false, false)
	}
}

// A fault in one file keeps no line in force that is taken out of another, and what has the fault stays as it was.
func TestARevocationWaitsForNoOtherFile(t *testing.T) {
	d := newTrusting(t)
	const nobody, fault = "# nobody\n", "this is no line of it\n"
	signers, officers := d.c.AllowedSigners, d.c.Officers

	d.edit(d.c.Path, "officers: ", "colour: blue\nofficers: ")
	d.follows()
	d.is("the configuration has a fault", true, true, true)
	d.edit(signers, d.sender.line, nobody)
	d.follows()
	d.is("and the sender is taken out", false, true, true)
	d.edit(officers, d.person.line, nobody)
	d.follows()
	d.is("and the officer", false, false, true)
	d.edit(signers, nobody, d.sender.line)
	d.edit(officers, nobody, d.person.line)
	d.follows()
	d.is("and both are put back", true, true, true)
	d.edit(d.c.Path, "colour: blue\n", "")
	d.follows()
	d.is("and it is mended", true, true, false)

	d.edit(officers, d.person.line, fault)
	d.edit(signers, d.sender.line, nobody)
	d.follows()
	d.is("the officers have a fault, and the sender is taken out", false, true, true)
	d.edit(officers, fault, d.person.line)
	d.edit(signers, nobody, fault)
	d.follows()
	d.is("the signers have a fault", false, true, true)
	d.edit(officers, d.person.line, nobody)
	d.follows()
	d.is("and the officer is taken out", false, false, true)
	d.edit(signers, fault, d.sender.line)
	must(t, d.reload(t.Context()))
	d.is("and somebody mends it, and asks", true, false, false)
}
