package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/landlock-lsm/go-landlock/landlock"
	"go.uber.org/zap"
)

// confine fences the process in by landlock: with CAP_DAC_OVERRIDE it could read and write everything, and all it needs is its state, its outboxes and its keys. On a
// kernel without landlock the unit's ReadWritePaths stand alone.
func confine(c Config, log *zap.Logger) error {
	write := []string{c.State}
	for _, t := range c.Tenants {
		write = append(write, t.Outbox)
	}
	var elsewhere []string // a mount may be missing: then a copy fails, and nothing else
	for _, copy := range c.Audit.Copies() {
		if copy.Kind == "file" {
			elsewhere = append(elsewhere, filepath.Dir(copy.Path))
		}
	}
	read := []string{filepath.Dir(c.Identity), filepath.Dir(c.Receiver), filepath.Dir(c.Path), "/etc", "/usr/share/zoneinfo"}
	self, err := os.Executable() // what looks into content is a child of the same program
	if err != nil {
		return fmt.Errorf("confine the process: %w", err)
	}
	err = landlock.V5.BestEffort().RestrictPaths(
		landlock.RWDirs(write...).WithRefer(),
		landlock.RWDirs(elsewhere...).IgnoreIfMissing(),
		landlock.RODirs(read...).IgnoreIfMissing(),
		landlock.RODirs("/proc").IgnoreIfMissing(),
		landlock.ROFiles(self).IgnoreIfMissing(),
		landlock.RWFiles("/dev/null").IgnoreIfMissing(),
	)
	if err != nil {
		return fmt.Errorf("confine the process: %w", err)
	}
	log.Debug("confined", zap.Strings("write", write))
	return nil
}
