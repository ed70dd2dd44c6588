package audit

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"ecluse/internal/disk"
)

// listens is a syslog of a test's own: a socket of datagrams, as /dev/log is.
func listens(t *testing.T) (c *net.UnixConn, to Copy) {
	t.Helper()
	dir, err := os.MkdirTemp("", "syslog") // the path of a socket is short
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "log")
	c, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	to, err = ParseCopy("syslog:" + path)
	must(t, err)
	return c, to
}

// hears is the next message.
func hears(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	text := make([]byte, 1<<16)
	must(t, c.SetReadDeadline(time.Now().Add(5*time.Second)))
	n, err := c.Read(text)
	must(t, err)
	return string(text[:n])
}

// fill writes to a socket until it takes no more.
func fill(t *testing.T, path string) (n int) {
	t.Helper()
	c, err := net.Dial("unixgram", path)
	must(t, err)
	defer c.Close()
	for ; ; n++ {
		must(t, c.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
		if _, err := c.Write([]byte("noise")); err != nil {
			return n
		}
	}
}

var message = regexp.MustCompile(`^<29>[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} ecluse-audit\[[0-9]+\]: (audit checkpoint ecluse-test [0-9]+ [A-Za-z0-9+/=]{44} [A-Za-z0-9+/=]+)\n$`)

func TestEachCopyIsOneMessageOfSyslog(t *testing.T) {
	c, to := listens(t)
	l := written(t, t.TempDir(), 10)
	for range 3 {
		cp := l.Checkpoint()
		must(t, to.Put(disk.New(), nil, l.Public(), cp))
		text := hears(t, c)
		m := message.FindStringSubmatch(text)
		if m == nil || len(text) > 1024 { // what syslogs of all ages take whole
			t.Fatalf("%d bytes: %q", len(text), text)
		}
		if got := Unline([]byte(m[1])); string(got) != cp.Text {
			t.Errorf("its last word is no checkpoint: %q", got)
		}
		must(t, l.Append(some(1)))
		must(t, l.Settle())
	}
	must(t, c.SetReadDeadline(time.Now().Add(20*time.Millisecond)))
	if n, err := c.Read(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes more came", n)
	}
}

// A syslog that is not there, or does not read, holds up neither the log, nor the other copies, nor the end of a daemon; and when it is there again it gets the newest.
func TestASyslogThatTakesNothingHoldsUpNothing(t *testing.T) {
	for _, how := range []string{"full", "absent"} {
		t.Run(how, func(t *testing.T) {
			c, to := listens(t)
			noise := 0
			if how == "full" {
				noise = fill(t, to.Path)
			} else {
				must(t, os.Rename(to.Path, to.Path+".away"))
			}
			dir := t.TempDir()
			l := written(t, dir, 10)
			file := Copy{"file", filepath.Join(t.TempDir(), "checkpoint")}
			put := func(to Copy, cp Checkpoint) error { return to.Put(disk.New(), nil, l.Public(), cp) }
			ctx, end := context.WithCancel(t.Context())
			told, ended := make(chan error, 10), make(chan struct{})
			go func() {
				defer close(ended)
				Publish(ctx, time.Hour, l.Checkpoint, []Copy{to, file}, put, func(err error) { told <- err })
			}()
			must(t, l.Append(some(1)))
			must(t, l.Settle())
			select {
			case err := <-told:
				if !strings.Contains(err.Error(), "syslog") {
					t.Error(err)
				}
			case <-time.After(2 * syslogMost):
				t.Fatal("nobody is told")
			}
			end()
			select {
			case <-ended:
			case <-time.After(2 * syslogMost):
				t.Fatal("it holds up the end")
			}
			if text := string(read(t, file.Path)); text != l.Checkpoint().Text {
				t.Errorf("the other copy is %q", text)
			}
			if f := faults(t, dir); len(f) > 0 {
				t.Errorf("%+v", f)
			}
			if how == "absent" {
				must(t, os.Rename(to.Path+".away", to.Path))
			}
			for range noise {
				hears(t, c)
			}
			must(t, put(to, l.Checkpoint()))
			if text := hears(t, c); !message.MatchString(text) {
				t.Errorf("%q", text)
			}
		})
	}
}
