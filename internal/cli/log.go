package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"ecluse/internal/alarm"
	"ecluse/internal/config"
)

// NewLog makes the daemon's log: JSON, one object a line; on a terminal a form for people. level is debug, info, warn or error.
func NewLog(w io.Writer, level string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	c := zap.NewProductionEncoderConfig()
	c.TimeKey, c.MessageKey = "time", "message"
	c.EncodeDuration = zapcore.StringDurationEncoder
	c.EncodeTime = func(t time.Time, e zapcore.PrimitiveArrayEncoder) {
		e.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
	}
	encoder := zapcore.NewJSONEncoder(c)
	if IsTerminal(w) {
		c.EncodeTime = func(t time.Time, e zapcore.PrimitiveArrayEncoder) { e.AppendString(t.Local().Format("15:04:05.000")) }
		c.EncodeLevel = zapcore.CapitalColorLevelEncoder
		encoder = zapcore.NewConsoleEncoder(c)
	}
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), l)), nil
}

// Foreground prepares the life of a daemon with a configuration of type T: it gives the log, refuses a state that is another user's, and tells of variables that override nothing.
func Foreground[T any](stderr io.Writer, level string, s Service) (*zap.Logger, error) {
	log, err := NewLog(stderr, level)
	if err != nil {
		return nil, err
	}
	if err := OwnState(s.State, s); err != nil {
		return nil, err
	}
	for _, name := range config.UnknownVariables[T](os.Environ()) {
		log.Warn("a variable overrides no key", zap.String("variable", name))
	}
	return log, nil
}

// TellAlarms logs what became of alarms from one look to the next: one line for each that began or is over.
func TellAlarms(log *zap.Logger, before, now alarm.List) {
	began, ended := alarm.Changes(before, now)
	for _, a := range began {
		log.Error("alarm", zap.String("alarm", a.Name), zap.String("text", a.Text))
	}
	for _, a := range ended {
		log.Info("alarm is over", zap.String("alarm", a.Name), zap.String("text", a.Text))
	}
}
