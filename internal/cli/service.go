package cli

import "fmt"

// Service is a daemon as people start and stop it: by systemd where it runs on the configuration that is installed, and in the foreground where it has another, as in a trial.
type Service struct {
	Program   string
	Config    string // the file that it runs on
	Installed string // the one that its unit names
}

func (s Service) unit(verb string) string { return fmt.Sprintf("systemctl %s %s", verb, s.Program) }

func (s Service) byHand() string { return fmt.Sprintf("%s run --config %s", s.Program, s.Config) }

// Start is what starts it.
func (s Service) Start() string {
	if s.Config == s.Installed {
		return s.unit("start")
	}
	return s.byHand()
}

// Stop is what ends it.
func (s Service) Stop() string {
	if s.Config == s.Installed {
		return s.unit("stop")
	}
	return "end " + s.byHand()
}

// Restart is what has it read its keys and cards anew.
func (s Service) Restart() string {
	if s.Config == s.Installed {
		return s.unit("restart")
	}
	return "end it, and " + s.byHand()
}
