package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ecluse/protocol/bundle"
	"ecluse/receiver/inspect"
	"ecluse/receiver/ledger"
)

// parse reads what a program says. encoding/json takes a key twice, and in either case of its letters: what says two things says none.
func parse(text []byte) (*inspect.Answer, error) {
	var verdict, version *string
	answer := new(inspect.Answer)
	d := json.NewDecoder(bytes.NewReader(text))
	err := object(d, map[string]func() error{
		"verdict": func() error { return d.Decode(&verdict) },
		"version": func() error { return d.Decode(&version) },
		"findings": func() error {
			return array(d, func() error {
				f := ledger.Finding{Reason: bundle.ReasonInspectorFinding}
				err := object(d, map[string]func() error{"path": func() error { return d.Decode(&f.Path) }, "text": func() error { return d.Decode(&f.Text) }})
				if len(answer.Findings) < inspect.FindingsMost {
					answer.Findings = append(answer.Findings, f)
				} else {
					answer.More++
				}
				return err
			})
		},
	})
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something stands behind its answer")
	}
	switch {
	case verdict == nil || version == nil:
		return nil, errors.New("verdict or version is missing")
	case *verdict == "clean" && len(answer.Findings) > 0:
		return nil, errors.New("it says clean, and has findings")
	case *verdict == "flagged" && len(answer.Findings) == 0:
		return nil, errors.New("it says flagged, and has no finding")
	case *verdict != "clean" && *verdict != "flagged":
		return nil, fmt.Errorf("its verdict is %.40q", *verdict)
	}
	answer.Version.Text = *version
	return answer, nil
}

// object reads an object, each key of which stands once and is known.
func object(d *json.Decoder, keys map[string]func() error) error {
	if err := delimiter(d, '{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		read := keys[key]
		if read == nil || seen[key] {
			return fmt.Errorf("the key %.40q is not known, or stands twice", key)
		}
		seen[key] = true
		if err := read(); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return delimiter(d, '}')
}

func array(d *json.Decoder, each func() error) error {
	if err := delimiter(d, '['); err != nil {
		return err
	}
	for d.More() {
		if err := each(); err != nil {
			return err
		}
	}
	return delimiter(d, ']')
}

func delimiter(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("%v stands where %v should", t, want)
	}
	return nil
}
