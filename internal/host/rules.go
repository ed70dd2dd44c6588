package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// Rules advises on what keeps this host from talking by an interface: a table of nftables, of family netdev, in which the interface has a chain. Only root is shown rules, and nobody
// else is told anything.
func (i *Interface) Rules(ctx context.Context, table string) (list []Advice, err error) {
	if i.Loopback || os.Geteuid() != 0 {
		return nil, nil
	}
	program, err := exec.LookPath("nft")
	if err != nil {
		program = "/usr/sbin/nft" // su leaves it out of PATH
	}
	out, err := exec.CommandContext(ctx, program, "list", "table", "netdev", table).Output()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && strings.Contains(string(exit.Stderr), "No such file or directory"): // or table
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("nft is not here: nobody knows what keeps this host from talking by it")
	case err != nil:
		return nil, fmt.Errorf("list rules: %w", err)
	case onDevice(string(out), i.Name):
		return nil, nil
	}
	return []Advice{{"rules of " + i.Name, "nothing keeps this host from talking by it, as a kernel does unasked: systemctl enable ecluse-diode@" + i.Name + " and systemctl restart ecluse-diode@" + i.Name}}, nil
}

// onDevice says whether a list of rules names an interface, in any of the forms in which nft has written it.
func onDevice(rules, name string) bool {
	return regexp.MustCompile(`\bdevices? (= )?(\{[^}]*[\s"])?"?` + regexp.QuoteMeta(name) + `["\s,;}]`).MatchString(rules)
}
