package transmit

// light knows which tenants have had nothing in the window for as long as a block stays there. They are those that have a small thing now and then, beside others that keep the link full: what
// they send leaves before the window, in blocks of their own, as far as their share goes. One goroutine owns it.
type light struct {
	window int         // blocks
	blocks int         // that have gone into the window
	last   map[int]int // of a tenant, the last of them with something of its own
}

func newLight(window int) light { return light{window: window, last: make(map[int]int)} }

// is says whether a tenant is light.
func (l *light) is(tenant int) bool {
	last, known := l.last[tenant]
	return !known || l.blocks-last >= l.window
}

// bulk notes a block that goes into the window.
func (l *light) bulk(tenants []int) {
	l.blocks++
	for _, t := range tenants {
		l.heavy(t)
	}
}

// heavy notes that a tenant is not light, for as long as a block that went into the window now would be there.
func (l *light) heavy(tenant int) { l.last[tenant] = l.blocks }
