package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"
)

// Ready tells systemd that the daemon works. Without systemd it does nothing.
func Ready(log *zap.Logger, status string) {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+status); err != nil {
		log.Warn("tell systemd", zap.Error(err))
	}
}

// Stopping tells systemd that the daemon ends.
func Stopping() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping) }

// Watchdog feeds systemd's watchdog as long as stalled finds nothing, until ctx ends. stalled returns what stands still, or ""; it must not wait for anything.
func Watchdog(ctx context.Context, log *zap.Logger, stalled func(limit time.Duration) string) error {
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if limit == 0 {
		return nil
	}
	tick := time.NewTicker(limit / 4)
	defer tick.Stop()
	for {
		if who := stalled(limit / 2); who != "" {
			log.Error("the watchdog is not fed: something stands still", zap.String("who", who))
		} else if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
			log.Warn("tell systemd", zap.Error(err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}
