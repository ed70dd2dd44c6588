package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
)

// ErrNoDaemon says that nobody answers on the socket.
var ErrNoDaemon = errors.New("no daemon runs on this state")

// Call asks the daemon of a state for name, and reads its answer into out, which may be nil. An answer that is a failure is an *Error.
func Call(ctx context.Context, state, name string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	const closedAtOnce = "server closed idle connection" // what net/http says, and gives no name, where that comes before the question is out
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", Path(state))
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://daemon/v1/"+name, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ask the daemon: %w", err)
	}
	answer, err := client.Do(request)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return ErrNoDaemon
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), err != nil && strings.HasSuffix(err.Error(), closedAtOnce):
		return fmt.Errorf("ask the daemon: it does not talk to %s (root, its own user and the members of its groups may ask, each %d times at once)", Peer{UID: uint32(os.Getuid())}.Name(), maxOpen)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("ask the daemon: %w (are you in its groups?)", err)
	case err != nil:
		return fmt.Errorf("ask the daemon: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return fmt.Errorf("the daemon does not know %q: is it of another version?", name)
	}
	var r reply
	if err := json.NewDecoder(answer.Body).Decode(&r); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	switch {
	case r.Error != nil:
		return r.Error
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(r.Result, out); err != nil {
		return fmt.Errorf("read the daemon's answer: %w", err)
	}
	return nil
}
