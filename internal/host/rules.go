package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
)

// Rules advises on what keeps this host from talking by an interface: a table of nftables, of family netdev, in which the interface has a chain. Only root is shown rules, and nobody
// else is told anything.
func (i *Interface) Rules(ctx context.Context, table string) (list []Advice, err error) {
	if i.Loopback || os.Geteuid() != 0 {
		return nil, nil
	}
	out, err := exec.CommandContext(ctx, "nft", "list", "table", "netdev", table).Output()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound), errors.As(err, &exit) && exit.Exited(): // there is no such table
	case err != nil:
		return nil, fmt.Errorf("list the rules of %s: %w", i.Name, err)
	case onDevice(string(out), i.Name):
		return nil, nil
	}
	return []Advice{{"rules of " + i.Name, "nothing keeps this host from talking by it, as a kernel does unasked: systemctl enable --now ecluse-diode@" + i.Name}}, nil
}

// onDevice says whether a list of rules names an interface, in any of the forms in which nft has written it.
func onDevice(rules, name string) bool {
	return regexp.MustCompile(`\bdevices? (= )?(\{[^}]*[\s"])?"?` + regexp.QuoteMeta(name) + `["\s,;}]`).MatchString(rules)
}
