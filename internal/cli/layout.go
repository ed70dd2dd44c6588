package cli

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"ecluse/protocol/bundle"
)

// HostName is this machine's name as the name of a side, or a word where that cannot be one.
func HostName(otherwise string) string {
	host, err := os.Hostname()
	if err != nil {
		return otherwise
	}
	host, _, _ = strings.Cut(strings.ToLower(host), ".")
	if _, err := bundle.ParseName(host); err != nil {
		return otherwise
	}
	return host
}

// RefuseUsed refuses a directory that holds any of the files that init is about to make.
func RefuseUsed(dir string, files ...string) error {
	for _, f := range files {
		if _, err := os.Lstat(filepath.Join(dir, f)); err == nil {
			return &Error{Usage, fmt.Errorf("%s holds keys already: %s is there", dir, f), "take another directory; nothing was changed"}
		}
	}
	return nil
}

// Confirm settles whether a card is the right one: by --yes, by a fingerprint that was given, or by asking a person.
func Confirm(in io.Reader, out io.Writer, have, want string, yes bool) error {
	switch {
	case want != "" && want != have:
		return Fail(Refused, "the fingerprint is %s, not %s: this is another card", have, want)
	case want != "" || yes:
		return nil
	case !IsTerminal(in):
		return &Error{Usage, fmt.Errorf("nobody is here to compare the fingerprint"), "--fingerprint F, or --yes once it was compared"}
	}
	fmt.Fprint(out, "Compare the fingerprint with what the other side reads to you. Is it the same? Type yes: ")
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "yes" {
		return Fail(Refused, "not confirmed: nothing was changed")
	}
	return nil
}

// StateDir makes a state directory. Others may go through it, to the control socket, which asks who they are; they see and read nothing.
func StateDir(path string) error {
	if err := os.MkdirAll(path, 0o711); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() && info.Mode().Perm() != 0o711 {
		if err := os.Chmod(path, 0o711); err != nil {
			return fmt.Errorf("make the state directory: %w", err)
		}
	}
	return nil
}
