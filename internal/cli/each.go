package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Each tries something for each argument: each is told of, and the worst end counts. JSON is one value: of one argument the thing itself, or null where there is none, of several an array.
func Each[T any](c *cobra.Command, args []string, asJSON bool, do func(context.Context, string) (T, error), print func(io.Writer, T)) error {
	return each(c, args, asJSON, len(args) == 1, do, print)
}

// All is Each for arguments that nobody has named one by one: JSON is an array, however many there are.
func All[T any](c *cobra.Command, args []string, asJSON bool, do func(context.Context, string) (T, error), print func(io.Writer, T)) error {
	return each(c, args, asJSON, false, do, print)
}

// Failing is a thing that is shown in JSON although it failed. What Failure returns is told as an error of its argument; nil: it did not fail.
type Failing interface{ Failure() error }

func each[T any](c *cobra.Command, args []string, asJSON, single bool, do func(context.Context, string) (T, error), print func(io.Writer, T)) error {
	var worst Worst
	all := []T{}
	for _, text := range args {
		v, err := do(c.Context(), text)
		there := err == nil
		if f, ok := any(v).(Failing); ok && there {
			err = f.Failure()
		}
		worst.Add(err)
		switch {
		case err != nil:
			for line := range strings.SplitSeq(Clean(err.Error()), "\n") { // several things may have gone wrong with one
				fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", Quote(text), line)
			}
			var e *Error
			if errors.As(err, &e) && e.Hint != "" {
				fmt.Fprintf(c.ErrOrStderr(), "hint: %s\n", Clean(e.Hint))
			}
		case !asJSON:
			print(c.OutOrStdout(), v)
		}
		if asJSON && there {
			all = append(all, v)
		}
	}
	var value any = all
	switch {
	case !asJSON:
		return worst.Err()
	case single && len(all) == 0:
		value = nil
	case single:
		value = all[0]
	}
	if err := PrintJSON(c.OutOrStdout(), value); err != nil {
		return err
	}
	return worst.Err()
}
