package fence

import (
	"bytes"
	"strings"
)

// Output keeps the beginning of what a child says: its first Most bytes. It takes all the rest as well, so that a child that talks is not held up, and drops it.
type Output struct {
	Most int

	b    bytes.Buffer
	over bool
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	n := min(len(p), o.Most-o.b.Len())
	o.over = o.over || n < len(p)
	o.b.Write(p[:n])
	return len(p), nil
}

// Bytes are what was kept.
func (o *Output) Bytes() []byte { return o.b.Bytes() }

// Over says that something was dropped.
func (o *Output) Over() bool { return o.over }

// Said is the last line of what was kept, after a colon, for the end of an error; empty where there is none. Of a program of Go that fell it is the line that says why: what follows is for its makers.
func (o *Output) Said() string {
	text := strings.TrimSpace(o.b.String())
	if text == "" {
		return ""
	}
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "panic: ") {
			return ": " + strings.TrimSpace(line)
		}
	}
	return ": " + text[strings.LastIndexByte(text, '\n')+1:]
}
