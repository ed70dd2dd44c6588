package audit

import (
	"time"

	"ecluse/internal/config"
)

// Config is `audit:` of both configurations: where checkpoints go beside the state.
type Config struct {
	Checkpoints []string        `yaml:"checkpoints"` // file:/PATH, syslog, syslog:/SOCKET, stdout
	Every       config.Duration `yaml:"every"`
}

// Defaults are what a key says that is not there.
func Defaults() Config { return Config{Checkpoints: []string{}, Every: config.Duration(time.Hour)} }

// everyLeast is how often a checkpoint may be copied: one is made every ten seconds at the most.
const everyLeast = config.Duration(10 * time.Second)

// Validate names every fault at once.
func (c Config) Validate(f *config.Faults) {
	for i, text := range c.Checkpoints {
		if _, err := ParseCopy(text); err != nil {
			f.In("checkpoints[%d]", i).Add("", "%v", err)
		}
	}
	if c.Every < everyLeast {
		f.Add("every", "%v is below %v", c.Every, everyLeast)
	}
}

// Copies are those of a configuration that was validated.
func (c Config) Copies() (all []Copy) {
	for _, text := range c.Checkpoints {
		if copy, err := ParseCopy(text); err == nil {
			all = append(all, copy)
		}
	}
	return all
}
