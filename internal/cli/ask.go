package cli

import (
	"context"
	"errors"
	"os"

	"ecluse/internal/control"
	"ecluse/internal/instance"
)

// Ask has the daemon of a state do something, and gives its answer. Where none runs, rest does it: under the state's lock, by whoever runs the command.
func Ask[T any](ctx context.Context, r Reader, name string, in any, rest func() (*T, error)) (*T, error) {
	out := new(T)
	err := control.Call(ctx, r.State, name, in, out)
	if !errors.Is(err, control.ErrNoDaemon) {
		return out, err
	}
	out, err = rest()
	if errors.Is(err, instance.ErrBusy) {
		err = r.Service.Absent("%v", err)
	}
	if errors.Is(err, os.ErrPermission) {
		err = WithHint(err, "no daemon runs that could do it for you: %s", r.Service.Start())
	}
	return out, err
}
