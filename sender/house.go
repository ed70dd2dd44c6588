package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"ecluse/internal/cli"
	"ecluse/internal/disk"
	"ecluse/internal/keys"
	"ecluse/protocol/bundle"
	"ecluse/sender/house"
)

// openState takes the configured state and opens it.
func openState(ctx context.Context, c Config) (*house.State, error) {
	unix.Umask(0o077) // whatever is to be open to others is opened by name
	if err := cli.StateDir(c.State); err != nil {
		return nil, err
	}
	s, err := house.Open(ctx, disk.New(), c.State)
	if errors.Is(err, house.ErrNoEpoch) {
		return nil, &cli.Error{Code: cli.Usage, Err: err, Hint: "ecluse-sender renew --epoch draws one; its new card has to be paired on the high side"}
	}
	return s, err
}

// atRest opens the state, does something in it, and closes it: what commands do where no daemon runs.
func atRest(ctx context.Context, c Config, do func(*house.State) error) error {
	if err := cli.BecomeOwner(c.State); err != nil {
		return err
	}
	s, err := openState(ctx, c)
	if err != nil {
		return err
	}
	return s.AtRest(ctx, do)
}

// ring is the keys of a sender.
type ring struct {
	name     bundle.Name // its principal
	identity *keys.Identity
	receiver *keys.ReceiverPublic
}

// loadKeys reads the sender's own key and its receiver's.
func loadKeys(c Config) (*ring, error) {
	usage := func(err error, hint string) error { return &cli.Error{Code: cli.Usage, Err: err, Hint: hint} }
	identity, err := keys.LoadIdentity(c.Identity)
	if err != nil {
		return nil, usage(err, "")
	}
	name, err := senderName(c)
	if err != nil {
		return nil, usage(err, "write name: into the configuration")
	}
	pair, err := keys.ReadPair(c.Receiver)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage(fmt.Errorf("no receiver is paired: %w", err), "ecluse-sender pair receiver.pair")
	}
	if err == nil && pair.Kind != keys.PairReceiver {
		err = fmt.Errorf("%s is the card of a %s", c.Receiver, pair.Kind)
	}
	if err != nil {
		return nil, usage(err, "ecluse-sender pair receiver.pair")
	}
	return &ring{name, identity, pair.Receiver}, nil
}

// senderName is the name of the configuration, or what the comment of the public key says: the name under which the high side knows the key.
func senderName(c Config) (bundle.Name, error) {
	if c.Name != "" {
		return bundle.ParseName(c.Name)
	}
	text, err := os.ReadFile(strings.TrimSuffix(c.Identity, ".pub") + ".pub")
	if err != nil {
		return "", fmt.Errorf("this sender has no name: %w", err)
	}
	_, comment, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return "", fmt.Errorf("this sender has no name: %w", err)
	}
	name, err := bundle.ParseName(comment)
	if err != nil {
		return "", fmt.Errorf("this sender has no name, and its key's comment cannot be one: %w", err)
	}
	return name, nil
}
