package cli

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"ecluse/internal/config"
	"ecluse/internal/control"
)

// Exit codes of both programs.
const (
	Done     = 0
	Failed   = 1
	Usage    = 2 // also a configuration that does not hold
	NotFound = 3
	Refused  = 4 // a check did not hold
)

// ExitHelp stands below every command's help.
const ExitHelp = "Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 no such thing, 4 refused (a check did not hold)."

// Error is how a command ends: a code, what is wrong, and what to do next.
type Error struct {
	Code int
	Err  error  // nil: everything was told already
	Hint string // the next step, or ""
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("exit %d", e.Code)
	}
	return e.Err.Error()
}

func (e *Error) Unwrap() error { return e.Err }

// Fail makes an Error.
func Fail(code int, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint adds the next step to an error, whatever its code.
func WithHint(err error, format string, args ...any) error {
	return &Error{Code: Code(err), Err: err, Hint: fmt.Sprintf(format, args...)}
}

// Code is the exit code of an error.
func Code(err error) int {
	var own *Error
	var faults *config.Error
	var answer *control.Error
	switch {
	case err == nil:
		return Done
	case errors.As(err, &own):
		return own.Code
	case errors.As(err, &answer):
		return answer.Code
	case errors.As(err, &faults):
		return Usage
	}
	return Failed
}

// Worst is the code that counts where several things were tried: the highest.
type Worst struct{ code int }

// Add notes how one thing ended.
func (w *Worst) Add(err error) { w.code = max(w.code, Code(err)) }

// Err is nil when all went well; otherwise everything was told already.
func (w *Worst) Err() error {
	if w.code == Done {
		return nil
	}
	return &Error{Code: w.code}
}

// Streams are what a command reads and writes.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Run runs a command line to its end, and returns its exit code. It tells the error.
func Run(root *cobra.Command, args []string, s Streams) int {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		if _, rest, _ := root.Find(args); c.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") { // a verb that is mistyped knows no flag
			return unknown(c, rest[0])
		}
		return &Error{Usage, err, fmt.Sprintf("%s --help", c.CommandPath())}
	})
	prepare(root)
	err := root.Execute()
	tell(s.Err, root.Name(), err)
	return Code(err)
}

// prepare makes of every command one that ends with usage errors where cobra has plain ones, and says its exit codes.
func prepare(c *cobra.Command) {
	c.DisableFlagsInUseLine, c.SuggestionsMinimumDistance = true, 2
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				err = c.ValidateRequiredFlags()
			}
			if err == nil {
				err = oneOf(c.ValidateFlagGroups())
			}
			if err != nil {
				return &Error{Usage, err, fmt.Sprintf("%s --help", c.CommandPath())}
			}
			return nil
		}
	}
	if c.HasSubCommands() && c.RunE == nil {
		c.Args = cobra.ArbitraryArgs
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return unknown(c, args[0])
			}
			c.SetOut(c.ErrOrStderr())
			_ = c.Help()
			return &Error{Code: Usage}
		}
	}
	if c.Long == "" {
		c.Long = c.Short + "."
	}
	if c.Runnable() && c.Name() != "help" && c.Name() != "completion" {
		c.Long += "\n\n" + ExitHelp
	}
	for _, sub := range c.Commands() {
		prepare(sub)
	}
}

// oneOf says in our words that flags were given together of which each is instead of the other.
func oneOf(err error) error {
	if err == nil {
		return nil
	}
	_, given, ok := strings.Cut(err.Error(), "none of the others can be; [")
	if given, ok = strings.CutSuffix(given, "] were all set"); !ok {
		return err
	}
	return fmt.Errorf("--%s want different things: take one of them", strings.ReplaceAll(given, " ", " and --"))
}

func unknown(c *cobra.Command, typed string) error {
	return &Error{Usage, fmt.Errorf("unknown command %q", typed), suggestion(c, typed)}
}

func suggestion(c *cobra.Command, typed string) string {
	if near := c.SuggestionsFor(typed); len(near) > 0 {
		return fmt.Sprintf("did you mean %s?", near[0])
	}
	return c.CommandPath() + " --help"
}

// tell prints an error: the program's name on every line, then what to do next.
func tell(w io.Writer, name string, err error) {
	if err == nil {
		return
	}
	var e *Error
	told := errors.As(err, &e) && e.Err == nil && err == error(e)
	if !told {
		fmt.Fprintf(w, "%s: %s\n", name, Clean(err.Error()))
	}
	if e != nil && e.Hint != "" {
		fmt.Fprintf(w, "%s: hint: %s\n", name, Clean(e.Hint))
	}
}

// OneOrNone checks the arguments of a command that takes one, or a flag instead of it.
func OneOrNone(c *cobra.Command, args []string, instead bool) error {
	if instead {
		return cobra.NoArgs(c, args)
	}
	return cobra.ExactArgs(1)(c, args)
}
