package engine

import (
	"context"
	"fmt"
	"log/slog"

	"moonlatch/engine/control"
)

// Events implements control.Service.
func (f *Firewall) Events(context.Context, control.EventsRequest, func(...control.Told) error) error {
	return &control.Error{Code: control.Unreachable, Message: "only the daemon knows what happens, and none is running: start moonlatch run"}
}

// Events implements control.Service.
func (d *Daemon) Events(ctx context.Context, req control.EventsRequest, tell func(...control.Told) error) error {
	return control.Events(ctx, d.feed, req, tell)
}

// LogLevel implements control.Service.
func (f *Firewall) LogLevel(context.Context, control.LogLevel) (control.LogLevel, error) {
	return control.LogLevel{}, &control.Error{Code: control.Unreachable, Message: "no daemon is running whose log could be changed"}
}

// LogLevel implements control.Service.
func (d *Daemon) LogLevel(_ context.Context, req control.LogLevel) (control.LogLevel, error) {
	if d.level == nil {
		return control.LogLevel{}, &control.Error{Code: control.Refused, Message: "this daemon's log has no level that could be changed"}
	}
	if req.Level != "" {
		if err := d.SetLogLevel(req.Level); err != nil {
			return control.LogLevel{}, &control.Error{Code: control.BadRequest, Message: err.Error()}
		}
	}
	return control.LogLevel{APIVersion: control.Version, Level: levelName(d.level.Level())}, nil
}

// SetLogLevel changes the level of the log that Config has, and says so in the log.
func (d *Daemon) SetLogLevel(word string) error {
	level, err := ParseLevel(word)
	if err != nil {
		return err
	}
	old := d.level.Level()
	d.level.Set(level)
	d.log.Log(context.Background(), max(old, level), "log level changed", "from", levelName(old), "to", levelName(level))
	return nil
}

// ParseLevel is the level of the log that a word names.
func ParseLevel(word string) (slog.Level, error) {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if word == levelName(l) {
			return l, nil
		}
	}
	return 0, fmt.Errorf("%q is no level of the log: it is debug, info, warn or error", word)
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "error"
	case l >= slog.LevelWarn:
		return "warn"
	case l >= slog.LevelInfo:
		return "info"
	}
	return "debug"
}
