package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"ecluse/protocol/bundle"
	"ecluse/protocol/packet"
)

// AppendSigner enrols a key in a file of trust, which it makes where there is none; what stands in it stays as it is, byte for byte. It is
// durable on return. A key that the file already gives that name for each of these namespaces is left alone, also where its time is limited
// there: an end that somebody set is never lifted by pairing again. A file that would not parse afterwards is not written.
func AppendSigner(path string, name bundle.Name, namespaces []string, key ssh.PublicKey, comment string) (changed bool, err error) {
	line, err := enrolmentLine(name, namespaces, key, comment)
	if err != nil {
		return false, fmt.Errorf("enrol %s: %w", name, err)
	}
	changed, err = appendTo(path, line, func(text []byte) (bool, error) {
		a, err := ParseAllowedSigners(text)
		return err == nil && a.grants(name, namespaces, key), err
	})
	if err != nil {
		return false, fmt.Errorf("enrol %s in %s: %w", name, path, err)
	}
	return changed, nil
}

// appendTo appends a line to a file of trust, unless it is there: look says of a text whether what the line stands for does, and whether the file would parse.
func appendTo(path string, line []byte, look func(text []byte) (there bool, err error)) (changed bool, err error) {
	// The name may be a link to where the file really is: that one is replaced, and the link stays.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	unlock, err := lockDir(filepath.Dir(path))
	if err != nil {
		return false, err
	}
	defer unlock()
	text, info, err := readFile(path, MaxSigners)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return false, err
	}
	there, err := look(text)
	if err != nil || there {
		return false, err
	}
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
		text = append(text, '\n')
	}
	text = append(text, line...)
	if _, err := look(text); err != nil {
		return false, err
	}
	if missing {
		err = create(path, text, 0o644)
	} else {
		err = replace(path, text, info)
	}
	return err == nil, err
}

func enrolmentLine(name bundle.Name, namespaces []string, key ssh.PublicKey, comment string) ([]byte, error) {
	if _, err := bundle.ParseName(string(name)); err != nil {
		return nil, err
	}
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := checkComment(comment); err != nil {
		return nil, err
	}
	if len(namespaces) == 0 {
		return nil, errors.New("it is given no namespace")
	}
	for _, n := range namespaces {
		if strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-.@") != "" || n == "" {
			return nil, fmt.Errorf("%s is no namespace", printable(n))
		}
	}
	return fmt.Appendf(nil, "%s namespaces=%q %s", name, strings.Join(namespaces, ","), publicLine(key, comment)), nil
}

// grants tells whether the key has that name and those namespaces, whatever the time.
func (a *AllowedSigners) grants(name bundle.Name, namespaces []string, key ssh.PublicKey) bool {
	e := a.byKey[packet.KeyID(key.Marshal())]
	if e == nil || e.name != string(name) {
		return false
	}
	for _, n := range namespaces {
		granted := false
		for _, l := range e.lines {
			granted = granted || l.permits(n)
		}
		if !granted {
			return false
		}
	}
	return true
}

// lockDir keeps two pairings from each writing back what it read before the other. The lock is on the directory, so that it leaves no file.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return func() { f.Close() }, nil
}
