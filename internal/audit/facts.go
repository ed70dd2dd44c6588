package audit

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
)

// factsName is the file in which a log remembers by what its side went when that was last told. It is no evidence, the entries are: without it they are told once more.
const factsName = "facts"

// factsLimit bounds it.
const factsLimit = 64 << 10

// Facts tells by what a side goes from now on (digests of its configuration, its keys, whom it trusts), where that is not what was told last.
func (l *Log) Facts(now map[string]string) error {
	path := filepath.Join(l.o.Dir, factsName)
	before := make(map[string]string)
	if text, err := l.o.Disk.ReadFile(path, factsLimit); err == nil {
		_ = json.Unmarshal(text, &before) // what cannot be read was not told
	}
	maps.DeleteFunc(now, func(_, text string) bool { return text == "" })
	if maps.Equal(before, now) {
		return nil
	}
	data, err := json.Marshal(struct {
		Before map[string]string `json:"before"`
		Now    map[string]string `json:"now"`
	}{before, now})
	if err != nil {
		return err
	}
	var changed string
	for _, key := range sorted(before, now) {
		if before[key] != now[key] {
			changed += ", " + key
		}
	}
	if err := l.Note(Entry{Event: "changed", Text: changed[2:], Data: data}); err != nil {
		return err
	}
	text, err := json.Marshal(now)
	if err == nil {
		err = l.o.Disk.Replace(path, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("remember what the audit log was told: %w", err)
	}
	return nil
}

// sorted are the keys of two maps.
func sorted(a, b map[string]string) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}
