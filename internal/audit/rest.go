package audit

import "errors"

// AtRest opens the log of a state that nobody has open, does something with it, and closes it. The caller has the state's lock.
func AtRest(o Options, do func(*Log) error) error {
	l, err := Open(o)
	if err != nil {
		return err
	}
	return errors.Join(do(l), l.Close())
}

// Book is what keeps records, and writes to a log what becomes of them.
type Book interface{ SetAudit(*Log) error }

// OpenFor opens the log of a book, and has the book write to it. A log that is not what was signed is set aside, of which tell hears, and an alarm stands for it: what is on record does not
// depend on the log, and whoever can change one byte of it must not be able to stop what goes through.
func OpenFor(book Book, o Options, tell func(finding string)) (*Log, error) {
	l, err := Open(o)
	if err != nil {
		return nil, err
	}
	err = book.SetAudit(l)
	for _, text := range l.Findings() {
		tell(text)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}
