package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Entry is one thing that has happened. Only N, At and Event are always there.
type Entry struct {
	N        uint64    `json:"n"`  // its number, from 0
	At       time.Time `json:"at"` // by the owner's clock, in UTC, whole milliseconds
	Event    string    `json:"event"`
	Bundle   string    `json:"bundle,omitempty"`
	Tenant   string    `json:"tenant,omitempty"`
	Sender   string    `json:"sender,omitempty"`
	Sequence uint64    `json:"sequence,omitempty"`
	Name     string    `json:"name,omitempty"`
	State    string    `json:"state,omitempty"` // in which the bundle is then
	Verdict  string    `json:"verdict,omitempty"`
	Reason   string    `json:"reason,omitempty"` // a code
	Who      string    `json:"who,omitempty"`    // the person
	Text     string    `json:"text,omitempty"`   // for people
	// Record is the SHA-256, in hex, of the bundle's record as it then was, or Gone: of this the last entry of a bundle that has one can be held against what stands on the disk.
	Record string          `json:"record,omitempty"`
	Data   json.RawMessage `json:"data,omitempty"` // what the record says of it, as it says it
}

// Gone is an Entry's Record when there is none any more.
const Gone = "gone"

// lineMost bounds one line: a record file has at most 1 MiB, and an entry holds a part of one.
const lineMost = 2 << 20

// errForm is why a line is refused that is no entry.
var errForm = errors.New("it is not the one form in which an entry is written")

// Line is the entry's one form, without a newline.
func (e *Entry) Line() ([]byte, error) {
	c := *e
	c.At = c.At.UTC().Truncate(time.Millisecond)
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("audit entry %s: %w", e.Event, err)
	}
	line, err := c.appendTo(make([]byte, 0, 512))
	if err == nil && len(line) > lineMost {
		err = fmt.Errorf("it has %d bytes", len(line))
	}
	if err != nil {
		return nil, fmt.Errorf("audit entry %s: %w", e.Event, err)
	}
	return line, nil
}

func (e *Entry) check() error {
	if !isEvent(e.Event) {
		return fmt.Errorf("%q is no name of an event", e.Event)
	}
	if e.Record != "" && e.Record != Gone && !isDigest(e.Record) {
		return fmt.Errorf("%q is no digest of a record", e.Record)
	}
	return nil
}

// isEvent says whether a text is a name of an event: words of lower-case letters with dashes between them.
func isEvent(s string) bool {
	for i := range len(s) {
		letter := s[i] >= 'a' && s[i] <= 'z'
		if !letter && (s[i] != '-' || i == 0 || i == len(s)-1 || s[i-1] == '-') {
			return false
		}
	}
	return s != ""
}

func isDigest(s string) bool {
	for i := range len(s) {
		if !(s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f') {
			return false
		}
	}
	return len(s) == 2*tlog.HashSize
}

// appendTo writes what json.Marshal writes, in a tenth of the time: there are several entries for each bundle.
func (e *Entry) appendTo(b []byte) ([]byte, error) {
	at, err := e.At.MarshalJSON()
	if err != nil {
		return nil, err
	}
	b = strconv.AppendUint(append(b, `{"n":`...), e.N, 10)
	b = append(append(b, `,"at":`...), at...)
	b = appendText(append(b, `,"event":`...), e.Event)
	text := func(key, s string) {
		if s != "" {
			b = append(append(append(b, `,"`...), key...), `":`...)
			b = appendText(b, s)
		}
	}
	text("bundle", e.Bundle)
	text("tenant", e.Tenant)
	text("sender", e.Sender)
	if e.Sequence != 0 {
		b = strconv.AppendUint(append(b, `,"sequence":`...), e.Sequence, 10)
	}
	text("name", e.Name)
	text("state", e.State)
	text("verdict", e.Verdict)
	text("reason", e.Reason)
	text("who", e.Who)
	text("text", e.Text)
	text("record", e.Record)
	if len(e.Data) > 0 {
		data, err := json.Marshal(e.Data) // in its shortest form
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"data":`...), data...)
	}
	return append(b, '}'), nil
}

// appendText writes a string as json.Marshal does.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(s) // a string always can be
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Parse takes a line, and nothing but the very bytes that Line gives: no other order, no unknown or repeated key, no space.
func Parse(line []byte) (*Entry, error) {
	if len(line) > lineMost {
		return nil, fmt.Errorf("a line of %d bytes", len(line))
	}
	var e Entry
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	again, err := e.Line()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, line) {
		return nil, errForm
	}
	return &e, nil
}
