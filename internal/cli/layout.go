package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

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

// UserName is who runs a command, asked before it acts as the state's owner.
func UserName() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid:%d", os.Getuid())
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

// Fingerprint reads --fingerprint as people have it: with "SHA256:" before it or not, and with the "=" behind it that stock tools write. "" is that it was not given; one that was given and is
// empty, for want of a variable perhaps, is an error: it must not pass for any card.
func Fingerprint(c *cobra.Command, text string) (string, error) {
	if !c.Flags().Changed("fingerprint") {
		return "", nil
	}
	text = strings.TrimRight(strings.TrimPrefix(strings.TrimSpace(text), "SHA256:"), "=")
	if text == "" {
		return "", Fail(Usage, "--fingerprint is empty")
	}
	return "SHA256:" + text, nil
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

// OwnState refuses a daemon that root starts on another user's state: it would leave behind what that user's could not open.
func OwnState(state string, s Service) error {
	info, err := os.Stat(state)
	if err != nil {
		return nil // whoever opens it says so
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || st.Uid == 0 {
		return nil
	}
	who := fmt.Sprint("#", st.Uid)
	if u, err := user.LookupId(fmt.Sprint(st.Uid)); err == nil {
		who = u.Username
	}
	return &Error{Code: Failed, Err: fmt.Errorf("state %s belongs to %s: as root the daemon would leave behind what %s could not open", state, who, who), Hint: fmt.Sprintf("setpriv --reuid=%d --regid=%d --init-groups %s", st.Uid, st.Gid, s.Start())}
}

// BecomeOwner gives up root for the user that a state directory belongs to: a command that acts where no daemon runs must not leave behind what the daemon could not
// open. Whoever is not root, or owns the state, stays who they are.
func BecomeOwner(state string) error {
	info, err := os.Stat(state)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the state: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || os.Geteuid() != 0 || st.Uid == 0 {
		return nil
	}
	err = errors.Join(syscall.Setgroups(nil), syscall.Setgid(int(st.Gid)), syscall.Setuid(int(st.Uid)))
	if err != nil {
		return fmt.Errorf("become the state's owner: %w", err)
	}
	return nil
}
