package udp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Counters are the system's own counts of UDP datagrams, of IPv4 and IPv6 together, in the network namespace of the process since
// that was made. They are of all sockets.
type Counters struct {
	InErrors     uint64 // came, and were not given to a socket
	RcvbufErrors uint64 // among them: a socket's buffer was full
	MemErrors    uint64 // among them: net.ipv4.udp_mem was exhausted
	InCsumErrors uint64 // among them: a checksum was wrong
	NoPorts      uint64 // came to a port that nobody listens on
	SndbufErrors uint64 // could not be sent: no room in the socket's buffer or in the interface's queue
}

// KernelCounters reads them.
func KernelCounters() (Counters, error) { return readCounters("/proc/net") }

func readCounters(dir string) (Counters, error) {
	var c Counters
	v4, err := os.Open(filepath.Join(dir, "snmp"))
	if err != nil {
		return c, fmt.Errorf("read UDP counters: %w", err)
	}
	defer v4.Close()
	if err := c.add4(v4); err != nil {
		return c, fmt.Errorf("read UDP counters: %w", err)
	}
	v6, err := os.Open(filepath.Join(dir, "snmp6"))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil // a kernel without IPv6
	}
	if err != nil {
		return c, fmt.Errorf("read UDP counters: %w", err)
	}
	defer v6.Close()
	if err := c.add6(v6); err != nil {
		return c, fmt.Errorf("read UDP counters: %w", err)
	}
	return c, nil
}

// add4 adds what /proc/net/snmp says: for each protocol a line of names and one of values.
func (c *Counters) add4(r io.Reader) error {
	var names []string
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 || fields[0] != "Udp:" {
			continue
		}
		if names == nil {
			names = fields
			continue
		}
		if len(fields) != len(names) {
			return fmt.Errorf("%d names of counters, but %d values", len(names)-1, len(fields)-1)
		}
		for i := 1; i < len(names); i++ {
			if err := c.add(names[i], fields[i]); err != nil {
				return err
			}
		}
		return nil
	}
	return errors.Join(lines.Err(), errors.New("no line for UDP"))
}

// add6 adds what /proc/net/snmp6 says: a name and a value on each line.
func (c *Counters) add6(r io.Reader) error {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 {
			continue
		}
		if name, ok := strings.CutPrefix(fields[0], "Udp6"); ok {
			if err := c.add(name, fields[1]); err != nil {
				return err
			}
		}
	}
	return lines.Err()
}

func (c *Counters) add(name, value string) error {
	var to *uint64
	switch name {
	case "InErrors":
		to = &c.InErrors
	case "RcvbufErrors":
		to = &c.RcvbufErrors
	case "MemErrors":
		to = &c.MemErrors
	case "InCsumErrors":
		to = &c.InCsumErrors
	case "NoPorts":
		to = &c.NoPorts
	case "SndbufErrors":
		to = &c.SndbufErrors
	default:
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return fmt.Errorf("counter %s: %w", name, err)
	}
	*to += n
	return nil
}
