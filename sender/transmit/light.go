package transmit

// light knows which tenants have had nothing in the window for as long as a block stays there. They are those that have a small thing now and then, beside others that keep the link full: what
// they send leaves before the window, in blocks of their own, as far as their share goes. One goroutine owns it.
type light struct {
	window int                  // blocks
	blocks int                  // that have gone into the window
	last   map[int]int          // of a tenant, the last of them with something of its own
	spent  map[int]int          // bytes that a tenant has sent beside the last block, and more than its share beside those before
	share  func(tenant int) int // bytes that a tenant may send beside one
}

func newLight(window int, share func(tenant int) int) light {
	return light{window: window, last: make(map[int]int), spent: make(map[int]int), share: share}
}

// is says whether a tenant is light.
func (l *light) is(tenant int) bool {
	last, known := l.last[tenant]
	return !known || l.blocks-last >= l.window
}

// may says whether a tenant is light, and has not had its share beside the last block.
func (l *light) may(tenant int) bool {
	return l.is(tenant) && l.spent[tenant] < l.share(tenant)
}

// spend notes what a light tenant has sent beside the window.
func (l *light) spend(tenant, bytes int) { l.spent[tenant] += bytes }

// bulk notes a block that goes into the window, and that all may send their share beside it.
func (l *light) bulk(tenants []int) {
	l.blocks++
	for _, t := range tenants {
		l.heavy(t)
	}
	for t, spent := range l.spent {
		if spent -= l.share(t); spent > 0 {
			l.spent[t] = spent
		} else {
			delete(l.spent, t)
		}
	}
}

// heavy notes that a tenant is not light, for as long as a block that went into the window now would be there.
func (l *light) heavy(tenant int) { l.last[tenant] = l.blocks }
