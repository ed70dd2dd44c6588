package cli

import (
	"context"
	"errors"
)

// Ending is how a daemon ended: asked to (its first context is over), that is well, whatever was interrupted by it; else by the cause of the second, and by err.
func Ending(asked, own context.Context, err error) error {
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	cause := context.Cause(own)
	if asked.Err() != nil && errors.Is(cause, context.Cause(asked)) || errors.Is(cause, context.Canceled) {
		cause = nil
	}
	if cause != nil && errors.Is(err, cause) {
		cause = nil
	}
	return errors.Join(cause, err)
}
