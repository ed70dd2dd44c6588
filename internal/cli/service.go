package cli

import (
	"fmt"
	"strings"

	"ecluse/internal/instance"
)

// Service is a daemon as people start and stop it: by systemd where it runs on the configuration that is installed, and in the foreground where it has another, as in a trial.
type Service struct {
	Program   string
	Config    string // the file that the command read
	Installed string // the one that the unit names
	State     string
}

func (s Service) unit(verb string) string { return fmt.Sprintf("systemctl %s %s", verb, s.Program) }

func (s Service) byHand() string {
	return fmt.Sprintf("%s run --config %s", s.Program, ShellQuote(s.Config))
}

// Start is the command that starts it.
func (s Service) Start() string {
	if s.Config == s.Installed {
		return s.unit("start")
	}
	return s.byHand()
}

// Stop says how it is ended.
func (s Service) Stop() string {
	if s.Config == s.Installed {
		return s.unit("stop")
	}
	return fmt.Sprintf("stop the process %q", s.byHand())
}

// Restart says how it comes to read its keys and cards anew.
func (s Service) Restart() string {
	if s.Config == s.Installed {
		return s.unit("restart")
	}
	return "stop it, then: " + s.byHand()
}

// Held says whether some process holds the state, though nobody may answer.
func (s Service) Held() bool { return instance.Held(s.State) }

// Next is what to do about a daemon that does not answer.
func (s Service) Next() string {
	if s.Held() {
		return s.Restart()
	}
	return s.Start()
}

// Absent is the error of a command for which the daemon would be needed, and does not answer.
func (s Service) Absent(format string, args ...any) error {
	what := "the daemon is not running"
	if s.Held() {
		what = "the daemon does not answer: it starts just now, or its socket was removed"
	}
	return &Error{Code: Failed, Err: fmt.Errorf("%s: %s", what, fmt.Sprintf(format, args...)), Hint: s.Next()}
}

// ShellQuote writes a text so that a shell reads it as one word.
func ShellQuote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+=:@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
