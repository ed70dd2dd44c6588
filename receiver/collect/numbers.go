package collect

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"ecluse/internal/journal"
	"ecluse/protocol/bundle"
)

// epochsKept bounds the epochs that are remembered of one sender, and with them its file. A sender gets a new one each time it is
// installed or restored; of the one that has been forgotten an old announcement would be new again, but its records would still be
// judged by their own sequence.
const epochsKept = 32

// Number is how far one sender has counted its sessions in one epoch (S-7), and its packets in the newest of them (P-7).
type Number struct {
	Key          bundle.Digest // key id of the sender
	Epoch        bundle.Epoch
	Number       uint64        // the highest accepted
	Announcement bundle.Digest // of that session's announcement
	Rank         uint64        // of that session: see Session
	Floors       []Floor       // of its links
}

// Numbers remembers the numbers of each sender, durably. One goroutine uses it.
type Numbers interface {
	// Of gives what is known of a sender, in ascending rank. The slice is the store's own.
	Of(sender bundle.Name) []Number
	// Store replaces it. It is durable when Store returns.
	Store(sender bundle.Name, numbers []Number) error
}

// numbersFormat names the form of the file.
const numbersFormat = "ecluse-sessions-1"

// numbersFile is `<state>/sessions/<sender>.json`.
type numbersFile struct {
	Format   string       `json:"format"`
	Sender   bundle.Name  `json:"sender"`
	Sessions []numberLine `json:"sessions"`
}

// numberLine is one Number. A floor is null where no packet has come.
type numberLine struct {
	Key          bundle.Digest `json:"key"`
	Epoch        bundle.Epoch  `json:"epoch"`
	Number       uint64        `json:"number"`
	Announcement bundle.Digest `json:"announcement"`
	Rank         uint64        `json:"rank"`
	Floors       []*uint64     `json:"floors"`
}

// marshalNumbers writes the file of one sender.
func marshalNumbers(sender bundle.Name, numbers []Number) ([]byte, error) {
	f := numbersFile{Format: numbersFormat, Sender: sender, Sessions: []numberLine{}}
	for _, n := range numbers {
		l := numberLine{n.Key, n.Epoch, n.Number, n.Announcement, n.Rank, make([]*uint64, len(n.Floors))}
		for i := range n.Floors {
			if n.Floors[i].Known {
				l.Floors[i] = &n.Floors[i].Number
			}
		}
		f.Sessions = append(f.Sessions, l)
	}
	text, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return nil, fmt.Errorf("write the sessions of %s: %w", sender, err)
	}
	return journal.Seal(text), nil
}

// parseNumbers reads it back. The file is this side's own, so whatever is wrong with it is damage: a receiver that went on without it
// would take old sessions for new ones.
func parseNumbers(file []byte, sender bundle.Name) ([]Number, error) {
	var f numbersFile
	text, _, err := journal.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read the sessions of %s: %w", sender, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return nil, fmt.Errorf("read the sessions of %s: %w", sender, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the sessions of %s: something follows the end", sender)
	}
	if f.Format != numbersFormat || f.Sender != sender {
		return nil, fmt.Errorf("read the sessions of %s: this is %q of %q", sender, f.Format, f.Sender)
	}
	var numbers []Number
	for _, l := range f.Sessions {
		if l.Epoch.IsZero() || l.Rank == 0 {
			return nil, fmt.Errorf("read the sessions of %s: one has no epoch or no rank", sender)
		}
		n := Number{l.Key, l.Epoch, l.Number, l.Announcement, l.Rank, make([]Floor, len(l.Floors))}
		for i, floor := range l.Floors {
			if floor != nil {
				n.Floors[i] = Floor{*floor, true}
			}
		}
		numbers = append(numbers, n)
	}
	if !slices.IsSortedFunc(numbers, byRank) {
		return nil, fmt.Errorf("read the sessions of %s: they are not in order", sender)
	}
	return numbers, nil
}

func byRank(a, b Number) int { return cmp.Compare(a.Rank, b.Rank) }

// find gives the place of a key's epoch among a sender's numbers, or -1.
func find(numbers []Number, key [32]byte, epoch bundle.Epoch) int {
	return slices.IndexFunc(numbers, func(n Number) bool { return n.Key == key && n.Epoch == epoch })
}

// judgeNumber is S-7: may a session with this number and this announcement be opened? again tells that it is the one that was accepted
// last, and n what is remembered of it.
func judgeNumber(numbers []Number, key [32]byte, epoch bundle.Epoch, number uint64, announcement bundle.Digest) (n Number, again bool, err error) {
	i := find(numbers, key, epoch)
	switch {
	case i < 0 || number > numbers[i].Number:
		return Number{}, false, nil
	case number < numbers[i].Number:
		return Number{}, false, errNumberOld
	case announcement != numbers[i].Announcement:
		return Number{}, false, errSessionConflict
	}
	return numbers[i], true, nil
}

var (
	errNumberOld       error = bundle.Reject(bundle.ReasonSessionNumberOld, "S-7", "below the highest session number of this sender and epoch")
	errSessionConflict error = bundle.Reject(bundle.ReasonSessionConflict, "S-7", "another announcement has this session number")
)

// withNumber gives a sender's numbers with a new one, which gets the highest rank. The oldest epoch gives way where there are too many.
func withNumber(numbers []Number, n Number) []Number {
	if len(numbers) > 0 {
		n.Rank = numbers[len(numbers)-1].Rank + 1
	} else {
		n.Rank = 1
	}
	kept := slices.DeleteFunc(slices.Clone(numbers), func(o Number) bool { return o.Key == n.Key && o.Epoch == n.Epoch })
	if len(kept) == epochsKept {
		kept = kept[1:]
	}
	return append(kept, n)
}

// withFloors gives a sender's numbers with the floors of one session raised. changed is false where nothing is new, or where the session
// is not the newest of its epoch: that one cannot be opened again.
func withFloors(numbers []Number, s *Session, floors []Floor) (next []Number, changed bool) {
	i := find(numbers, s.KeyID, s.Info.Epoch)
	if i < 0 || numbers[i].Number != s.Info.Number || slices.Equal(numbers[i].Floors, floors) {
		return numbers, false
	}
	next = slices.Clone(numbers)
	next[i].Floors = slices.Clone(floors)
	return next, true
}

// Files are the files of one directory, `<state>/sessions`.
type Files interface {
	// Names lists them, without what a crash left half written.
	Names() ([]string, error)
	Read(name string) ([]byte, error)
	// Replace is durable when it returns: the name then has the new content, and before that the old one.
	Replace(name string, content []byte) error
}

// numbersSuffix follows the sender's name in the name of its file.
const numbersSuffix = ".json"

// FileNumbers is a Numbers on disk: a file for each sender.
type FileNumbers struct {
	files   Files
	numbers map[bundle.Name][]Number
}

// OpenNumbers reads the numbers of all senders. A file that cannot be read is an error: without it old sessions would be let in.
func OpenNumbers(files Files) (*FileNumbers, error) {
	names, err := files.Names()
	if err != nil {
		return nil, fmt.Errorf("list the sessions: %w", err)
	}
	f := &FileNumbers{files: files, numbers: make(map[bundle.Name][]Number)}
	for _, name := range names {
		base, ok := strings.CutSuffix(name, numbersSuffix)
		if !ok {
			continue
		}
		sender, err := bundle.ParseName(base)
		if err != nil {
			continue // no sender has this name
		}
		text, err := files.Read(name)
		if err != nil {
			return nil, fmt.Errorf("read the sessions of %s: %w", sender, err)
		}
		if f.numbers[sender], err = parseNumbers(text, sender); err != nil {
			return nil, fmt.Errorf("%w: sessions/%s is damaged: restore it from a backup, or have it set aside with `ecluse-receiver anchor --accept --reason TEXT`", err, name)
		}
	}
	return f, nil
}

// Of gives what is known of a sender.
func (f *FileNumbers) Of(sender bundle.Name) []Number { return f.numbers[sender] }

// Store replaces the file of a sender. When that fails the numbers stay as they were.
func (f *FileNumbers) Store(sender bundle.Name, numbers []Number) error {
	text, err := marshalNumbers(sender, numbers)
	if err != nil {
		return err
	}
	if err := f.files.Replace(string(sender)+numbersSuffix, text); err != nil {
		return fmt.Errorf("store the sessions of %s: %w", sender, err)
	}
	f.numbers[sender] = numbers
	return nil
}

// Senders are those of whom there is a file.
func (f *FileNumbers) Senders() []bundle.Name { return slices.Sorted(maps.Keys(f.numbers)) }

// Behind says whether the file of a sender knows less than a number that is remembered elsewhere: it was put back from an older copy, or is gone.
func (f *FileNumbers) Behind(sender bundle.Name, n Number) bool {
	i := find(f.numbers[sender], n.Key, n.Epoch)
	return i < 0 || f.numbers[sender][i].Number < n.Number
}

// Restore raises a sender's number to the one that is remembered. Where its links' packets stood is not known any more, so what was accepted in that session may be accepted once
// more (P-7).
func (f *FileNumbers) Restore(sender bundle.Name, n Number) error {
	return f.Store(sender, withNumber(f.numbers[sender], n))
}
