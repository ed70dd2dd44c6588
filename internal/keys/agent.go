package keys

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentPatience is how long an agent may take for one answer: a person may have to touch a token.
const agentPatience = 30 * time.Second

// withAgent connects for one question.
func withAgent(ask func(agent.ExtendedAgent) error) error {
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return errors.New("its private half is sought in an ssh-agent, and SSH_AUTH_SOCK is not set")
	}
	c, err := net.DialTimeout("unix", socket, agentPatience)
	if err != nil {
		return fmt.Errorf("reach the ssh-agent: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(agentPatience)); err != nil {
		return fmt.Errorf("reach the ssh-agent at %s: %w", socket, err)
	}
	if err := ask(agent.NewClient(c)); err != nil {
		return fmt.Errorf("ask the ssh-agent at %s: %w", socket, err)
	}
	return nil
}

// agentHolds tells whether the agent has the private half of a key.
func agentHolds(key ssh.PublicKey) error {
	return withAgent(func(a agent.ExtendedAgent) error {
		held, err := a.List()
		if err != nil {
			return err
		}
		for _, k := range held {
			if bytes.Equal(k.Blob, key.Marshal()) {
				return nil
			}
		}
		return fmt.Errorf("it holds %d keys, and %s is not among them: ssh-add it", len(held), Fingerprint(key))
	})
}

func agentSign(key ssh.PublicKey, data []byte) (signature *ssh.Signature, err error) {
	err = withAgent(func(a agent.ExtendedAgent) (err error) {
		flags := agent.SignatureFlags(0)
		if key.Type() == ssh.KeyAlgoRSA {
			flags = agent.SignatureFlagRsaSha512
		}
		signature, err = a.SignWithFlags(key, data, flags)
		return err
	})
	return signature, err
}
