package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
)

// Mode is a file's permission bits, always written in octal: "0640", "640", "3770".
type Mode uint32

// ParseMode reads three or four octal digits, or five with a zero before them.
func ParseMode(s string) (Mode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || len(s) < 3 || len(s) > 5 || n > 0o7777 {
		return 0, fmt.Errorf("%q is no mode: write octal digits, as 0640", s)
	}
	return Mode(n), nil
}

// String gives a zero and octal digits.
func (m Mode) String() string { return fmt.Sprintf("%#04o", uint32(m)) }

// Perm gives the bits as the standard library has them; those above 0777 are left out.
func (m Mode) Perm() fs.FileMode { return fs.FileMode(m) & fs.ModePerm }

// UnmarshalText reads what ParseMode takes.
func (m *Mode) UnmarshalText(text []byte) (err error) {
	*m, err = ParseMode(string(text))
	return err
}

// AddrPort is an IP address and a port: "10.77.0.2:4600", "[fd00::2]:4600". Names are refused: nothing is looked up, and nothing waits for a resolver.
type AddrPort struct{ netip.AddrPort }

// ParseAddrPort reads an IP literal and a port.
func ParseAddrPort(s string) (AddrPort, error) {
	a, err := netip.ParseAddrPort(s)
	if err == nil {
		return AddrPort{a}, nil
	}
	return AddrPort{}, fmt.Errorf("%q is no address: %w", s, addrFault(s))
}

// addrFault says what is most likely wrong with an address.
func addrFault(s string) error {
	host, port, err := net.SplitHostPort(s)
	if _, alone := netip.ParseAddr(s); alone == nil || err != nil {
		return errors.New("write an IP address and a port, as 10.77.0.2:4600 or [fd00::2]:4600")
	}
	if _, err := netip.ParseAddr(host); err != nil {
		return fmt.Errorf("%q is no IP address, and names are not looked up", host)
	}
	return fmt.Errorf("%q is no port", port)
}

// UnmarshalText reads what ParseAddrPort takes.
func (a *AddrPort) UnmarshalText(text []byte) (err error) {
	*a, err = ParseAddrPort(string(text))
	return err
}

// Set and Type make a flag of it.
func (a *AddrPort) Set(s string) error { return a.UnmarshalText([]byte(s)) }

// Type names the value in a command's help.
func (a *AddrPort) Type() string { return "address" }

// String gives the address, or nothing where there is none.
func (a AddrPort) String() string {
	if !a.IsValid() {
		return ""
	}
	return a.AddrPort.String()
}
