package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// Copy is where checkpoints go beside the state: what stands elsewhere shows that a log was put back to an older one.
type Copy struct {
	Kind string // file, syslog or stdout
	Path string // of a file, or of the socket of a syslog that is not the machine's own
}

// ParseCopy takes file:/absolute/path, syslog, syslog:/absolute/path or stdout.
func ParseCopy(text string) (Copy, error) {
	if kind, path, ok := strings.Cut(text, ":"); ok && (kind == "file" || kind == "syslog") {
		if !filepath.IsAbs(path) {
			return Copy{}, fmt.Errorf("%q is not an absolute path", path)
		}
		return Copy{kind, filepath.Clean(path)}, nil
	}
	if text == "syslog" || text == "stdout" {
		return Copy{Kind: text}, nil
	}
	return Copy{}, fmt.Errorf("%q is none of file:/PATH, syslog, syslog:/SOCKET, stdout", text)
}

// String is what ParseCopy takes.
func (c Copy) String() string {
	if c.Path != "" {
		return c.Kind + ":" + c.Path
	}
	return c.Kind
}

// ErrOlder is returned for a copy that knows more than the log: the log was put back to an older one, or another one stands in its place.
var ErrOlder = errors.New("the copy of the checkpoint knows of more than the audit log has")

// Put brings a checkpoint there. A file is never replaced by what knows less.
func (c Copy) Put(d Disk, stdout io.Writer, public string, cp Checkpoint) error {
	switch c.Kind {
	case "file":
		return c.putFile(d, public, cp)
	case "syslog":
		if err := toSyslog(c.Path, OneLine(cp)); err != nil {
			return fmt.Errorf("copy the checkpoint to syslog: %w", err)
		}
		return nil
	}
	_, err := fmt.Fprintln(stdout, OneLine(cp))
	return err
}

func (c Copy) putFile(d Disk, public string, cp Checkpoint) error {
	key, err := ParseKey(public)
	if err != nil {
		return err
	}
	have, err := d.ReadFile(c.Path, checkpointMost)
	if err == nil {
		if old, err := ParseCheckpoint(have, key); err == nil && (old.Size > cp.Size || old.Size == cp.Size && old.Root != cp.Root) {
			return fmt.Errorf("%w: %s has %d entries, the log %d; `audit verify --checkpoint %s` says more", ErrOlder, c.Path, old.Size, cp.Size, c.Path)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy the checkpoint: %w", err)
	}
	if err := d.Replace(c.Path, []byte(cp.Text)); err != nil {
		return fmt.Errorf("copy the checkpoint: %w", err)
	}
	return nil
}

// OneLine is a checkpoint for logs that have lines; its last word is the note, in base64.
func OneLine(c Checkpoint) string {
	return fmt.Sprintf("audit checkpoint %s %d %s %s", c.Origin, c.Size, c.Root, base64.StdEncoding.EncodeToString([]byte(c.Text)))
}

// Unline takes a checkpoint as it is, or out of such a line.
func Unline(text []byte) []byte {
	words := strings.Fields(string(text))
	if strings.Count(strings.TrimSpace(string(text)), "\n") > 0 || len(words) == 0 {
		return text
	}
	if note, err := base64.StdEncoding.DecodeString(words[len(words)-1]); err == nil {
		return note
	}
	return text
}

// Publish brings the newest checkpoint to all copies: when it begins, once in so long where there is a newer one, and at its end. What fails is told, and tried again.
func Publish(ctx context.Context, every time.Duration, newest func() Checkpoint, copies []Copy, put func(Copy, Checkpoint) error, told func(error)) {
	done := make(map[Copy]uint64)
	all := func() {
		cp := newest()
		for _, c := range copies {
			if done[c] == cp.Size {
				continue
			}
			if err := put(c, cp); err != nil {
				told(fmt.Errorf("%s: %w", c, err))
				continue
			}
			done[c] = cp.Size
		}
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		all()
		select {
		case <-tick.C:
		case <-ctx.Done():
			all()
			return
		}
	}
}
