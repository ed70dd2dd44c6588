package alarm

// Minute remembers what a count was in each of the last sixty seconds, for alarms about what happens now and not about what once has. Note is to be called each second.
type Minute struct {
	counts [60]uint64
	next   int
}

// Note takes the count of this second.
func (m *Minute) Note(count uint64) {
	m.counts[m.next] = count
	m.next = (m.next + 1) % len(m.counts)
}

// Since is how much a count has grown within the last minute, or since it began where that is less. What is estimated may shrink: that is no growth.
func (m *Minute) Since(count uint64) uint64 {
	if was := m.counts[m.next]; count > was {
		return count - was
	}
	return 0
}
