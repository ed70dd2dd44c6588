package audit

// introducedAtOnce bounds the entries that are held in memory while a log is told of what is there.
const introducedAtOnce = 512

// Introduce tells a log that has only been begun of all records that are there already and of which its tail does not tell.
func (l *Log) Introduce(tail []Entry, records Records) error {
	told := make(map[string]bool)
	for _, e := range tail {
		told[e.Bundle] = told[e.Bundle] || e.Record != ""
	}
	var list []Entry
	err := records(func(bundle, digest string) error {
		if told[bundle] {
			return nil
		}
		list = append(list, Entry{Event: "known", Bundle: bundle, Record: digest})
		if len(list) < introducedAtOnce {
			return nil
		}
		defer func() { list = list[:0] }()
		return l.Append(list...)
	})
	if err == nil {
		err = l.Append(list...)
	}
	return err
}
