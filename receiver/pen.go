package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"ecluse/internal/cli"
	"ecluse/internal/config"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
)

// pen is what an officer signs with.
type pen struct {
	key       string // file
	agent     bool
	signature string // file, of a signature that was made elsewhere

	brought string         // the signature of that file
	loaded  *keys.Identity // once it was needed
}

// read takes up a signature that was made elsewhere, and of its text what the decision is: the reason, and that what is flagged is known to be.
func (p *pen) read(d *decision, about string) error {
	if p.signature == "" || p.brought != "" {
		return nil
	}
	text, err := readPaper(p.signature, 3*bundle.MaxSignature)
	if err != nil {
		return &cli.Error{Code: cli.Usage, Err: err}
	}
	p.brought = string(text)
	beside, found := strings.CutSuffix(p.signature, ".sig")
	if !found {
		return nil // it is of the text that follows from the command
	}
	text, err = readPaper(beside, bundle.MaxDecision)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	what, err := bundle.ParseDecision(text)
	if err != nil {
		return &cli.Error{Code: cli.Refused, Err: fmt.Errorf("%s: %w", beside, err)}
	}
	if d.reason != "" && d.reason != noReason && d.reason != what.Reason {
		return cli.Fail(cli.Usage, "%s gives another reason than --reason: leave --reason out", beside)
	}
	if err := d.suits(&bundle.Decision{Verb: what.Verb, Bundle: what.Bundle, Sender: what.Sender, Tenant: what.Tenant, Sequence: what.Sequence, Override: what.Override, Reason: d.reason}, about); err != nil {
		return err
	}
	d.reason, d.override = what.Reason, string(what.Override)
	return nil
}

func readPaper(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(text)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return text, err
}

// sign gives an armored signature of a decision's text.
func (p *pen) sign(conf Config, text []byte) (string, error) {
	if p.brought != "" {
		return p.brought, nil
	}
	if p.loaded == nil {
		who, err := p.load(conf)
		if err != nil {
			return "", err
		}
		p.loaded = who
	}
	blob, err := p.loaded.Sign(bundle.NamespaceRelease, text)
	return string(bundle.Armor(blob)), err
}

// load finds the key: the one that was named, or that of the environment or of the configuration, or the one in the agent.
func (p *pen) load(conf Config) (*keys.Identity, error) {
	const hint = "--key FILE names your own key; ecluse-receiver officer add NAME KEY.pub enrols it, officer list shows who is"
	file, agent := p.key, p.agent
	if file == "" && !agent {
		file = os.Getenv(config.KeyVariable)
	}
	if file == "" && !agent {
		file = conf.OfficerKey
	}
	if file != "" {
		who, err := keys.LoadPerson(file, askPassphrase)
		if err != nil {
			return nil, &cli.Error{Code: cli.Usage, Err: err, Hint: hint}
		}
		return who, nil
	}
	if !agent && os.Getenv("SSH_AUTH_SOCK") == "" {
		return nil, &cli.Error{Code: cli.Usage, Err: errors.New("a decision is an officer's signature here, and no key is named"), Hint: hint}
	}
	people, err := loadOfficers(conf)
	if err != nil {
		return nil, err
	}
	if people == nil {
		return nil, cli.Fail(cli.Usage, "%s names no file of officers: decisions are no signatures there", conf.Path)
	}
	who, err := keys.AgentPerson(people.Keys())
	if err != nil {
		return nil, &cli.Error{Code: cli.Usage, Err: err, Hint: hint}
	}
	return who, nil
}

// askPassphrase asks at the terminal, if there is one.
func askPassphrase(path string) ([]byte, error) {
	terminal, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%s is encrypted, and there is no terminal to ask for its passphrase: ssh-add it, and name %s.pub", path, path)
	}
	defer terminal.Close()
	fmt.Fprintf(terminal, "Passphrase of %s: ", path)
	phrase, err := term.ReadPassword(int(terminal.Fd()))
	fmt.Fprintln(terminal)
	return phrase, err
}

// named says whether a decision is about what the command calls its bundle: an id, or the beginning of one, or [SENDER/]TENANT/SEQUENCE.
func named(what *bundle.Decision, text string) bool {
	if !strings.Contains(text, "/") {
		return what.Bundle != nil && strings.HasPrefix(what.Bundle.String(), strings.ToLower(text))
	}
	if what.Sequence == nil {
		return false
	}
	words := strings.Split(text, "/")
	sequence, err := strconv.ParseUint(words[len(words)-1], 10, 64)
	short := strings.Join(words[:len(words)-1], "/")
	return err == nil && sequence == *what.Sequence && (short == string(what.Tenant) || short == string(what.Sender)+"/"+string(what.Tenant))
}
