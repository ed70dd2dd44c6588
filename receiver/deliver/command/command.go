package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"

	"ecluse/internal/disk"
	"ecluse/protocol/bundle"
	"ecluse/receiver/deliver/remote"
	"ecluse/receiver/quarantine"
)

// Options of a Command.
type Options struct {
	Name    string // "": made of the rest
	Argv    []string
	Timeout time.Duration
	Disk    *disk.Disk
}

const (
	// DirArgument is the argument for which the item's directory is put.
	DirArgument = "{dir}"

	grace    = 3 * time.Second // between being asked to end and being killed
	talkMost = 4 << 10         // bytes of standard error that are kept, the last ones
	lineMost = 300             // characters of what is told of it
	path     = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Command is a program.
type Command struct{ o Options }

// New makes a Command of options that were validated. Nothing is started yet.
func New(o Options) *Command {
	if o.Name == "" {
		o.Name = "command:" + o.Argv[0]
	}
	return &Command{o}
}

// CheckArguments says what is wrong with a command line.
func CheckArguments(argv []string) error {
	if len(argv) == 0 || !filepath.IsAbs(argv[0]) {
		return errors.New("a command begins with the absolute path of a program; it is a list, and no shell reads it")
	}
	for _, a := range argv[1:] {
		if strings.HasPrefix(a, "{") && strings.HasSuffix(a, "}") && a != DirArgument {
			return fmt.Errorf("%q stands for nothing: there is %s, and all else is in the environment", a, DirArgument)
		}
	}
	return nil
}

// Name implements remote.Destination.
func (c *Command) Name() string { return c.o.Name }

// Check implements remote.Destination: the program is there, and we may execute it.
func (c *Command) Check(context.Context) error {
	info, err := c.o.Disk.Stat(c.o.Argv[0])
	if err != nil {
		return remote.Away(err, "look at the command")
	}
	if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return remote.Away(fs.ErrPermission, "%s cannot be executed", c.o.Argv[0])
	}
	return nil
}

// Facts are what a program is told, as JSON.
type Facts struct {
	Bundle      bundle.ID     `json:"bundle"`
	Tenant      bundle.Name   `json:"tenant"`
	Sender      bundle.Name   `json:"sender"`
	Epoch       bundle.Epoch  `json:"epoch"`
	Sequence    uint64        `json:"sequence"`
	Name        string        `json:"name"` // of the item, in Dir
	Digest      bundle.Digest `json:"digest"`
	Files       int           `json:"files"`
	Bytes       int64         `json:"bytes"`
	Dir         string        `json:"dir"`
	Manifest    string        `json:"manifest"`
	Signature   string        `json:"signature"`
	Sums        string        `json:"sums"`
	Destination string        `json:"destination"`
	Again       bool          `json:"again"` // it may have been started for this bundle before
}

func (c *Command) facts(job remote.Job) Facts {
	m := job.Signed.Manifest
	at := func(name string) string { return filepath.Join(job.Dir, name) }
	return Facts{
		Bundle: m.Bundle, Tenant: m.Tenant, Sender: m.Sender, Epoch: m.Epoch, Sequence: m.Sequence, Name: m.Name, Digest: job.Signed.Digest, Files: m.Table.Files(), Bytes: m.Table.Total(),
		Dir: at(quarantine.FilesName), Manifest: at(quarantine.ManifestName), Signature: at(quarantine.SignatureName), Sums: at(quarantine.SumsName), Destination: c.o.Name, Again: job.Again,
	}
}

// environment says the same in variables.
func (f Facts) environment() []string {
	return []string{
		"PATH=" + path, "LANG=C.UTF-8",
		"ECLUSE_BUNDLE=" + f.Bundle.String(), "ECLUSE_TENANT=" + string(f.Tenant), "ECLUSE_SENDER=" + string(f.Sender), "ECLUSE_SEQUENCE=" + strconv.FormatUint(f.Sequence, 10),
		"ECLUSE_NAME=" + f.Name, "ECLUSE_DIGEST=" + f.Digest.String(), "ECLUSE_FILES=" + strconv.Itoa(f.Files), "ECLUSE_BYTES=" + strconv.FormatInt(f.Bytes, 10),
		"ECLUSE_DIR=" + f.Dir, "ECLUSE_MANIFEST=" + f.Manifest, "ECLUSE_SIGNATURE=" + f.Signature, "ECLUSE_SUMS=" + f.Sums, "ECLUSE_DESTINATION=" + f.Destination,
		"ECLUSE_AGAIN=" + strconv.FormatBool(f.Again),
	}
}

// Deliver implements remote.Destination.
func (c *Command) Deliver(ctx context.Context, job remote.Job) (string, error) {
	content, err := job.Open()
	if err != nil {
		return "", err
	}
	err = content.Verify(ctx)
	content.Close()
	if err != nil {
		return "", err
	}
	facts := c.facts(job)
	in, err := json.Marshal(facts)
	if err != nil {
		return "", fmt.Errorf("describe the bundle: %w", err)
	}
	talk := new(tail)
	err = c.run(ctx, facts, in, talk)
	switch {
	case err == nil:
		return facts.Name, nil
	case ctx.Err() != nil:
		return "", remote.Cut(ctx.Err())
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return "", remote.Away(err, "start the command")
	}
	return "", remote.Failed(nil, "%s: %v%s", c.o.Argv[0], err, talk.said())
}

// run starts the program and waits for its end, and that of its process group.
func (c *Command) run(parent context.Context, facts Facts, in []byte, talk *tail) error {
	ctx, cancel := context.WithTimeoutCause(parent, c.o.Timeout, fmt.Errorf("it took longer than %v, and was ended", c.o.Timeout))
	defer cancel()
	argv := make([]string, len(c.o.Argv))
	for i, a := range c.o.Argv {
		if argv[i] = a; a == DirArgument {
			argv[i] = facts.Dir
		}
	}
	p := exec.CommandContext(ctx, argv[0], argv[1:]...)
	p.Env, p.Dir = facts.environment(), "/"
	p.Stdin, p.Stderr = bytes.NewReader(in), talk
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.Cancel = func() error { return syscall.Kill(-p.Process.Pid, syscall.SIGTERM) }
	p.WaitDelay = grace
	runtime.LockOSThread() // it ends with the thread that started it
	defer runtime.UnlockOSThread()
	err := p.Run()
	if p.Process != nil {
		_ = syscall.Kill(-p.Process.Pid, syscall.SIGKILL) // what it left behind, if anything
	}
	if parent.Err() == nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well, and something of it kept the end of its standard error
		return nil
	}
	return err
}

// tail keeps the last of what is written. The program's end comes before it is read.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p[max(0, len(p)-talkMost):]...)
	t.b = t.b[max(0, len(t.b)-talkMost):]
	return len(p), nil
}

// said is the last line, printable and bounded.
func (t *tail) said() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.b), "?"))
	text = text[strings.LastIndexAny(text, "\r\n")+1:]
	text = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, text)
	if text == "" {
		return ""
	}
	if r := []rune(text); len(r) > lineMost {
		text = string(r[:lineMost]) + "..."
	}
	return ": " + text
}
