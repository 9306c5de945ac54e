package spool

import (
	"context"
	"log/slog"
)

// handler puts lines into a spool.
type handler struct {
	spool *Spool
	to    slog.Handler
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(ctx context.Context, l slog.Level) bool { return h.to.Enabled(ctx, l) }

// Handle implements slog.Handler. It never waits, and never fails.
func (h *handler) Handle(_ context.Context, r slog.Record) error {
	settled := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		settled.AddAttrs(settle(a))
		return true
	})
	h.spool.put(line{to: h.to, record: settled})
	return nil
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.spool, h.to.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.spool, h.to.WithGroup(name)}
}

// settle makes of an attribute what it is now: an error may look at things that
// change until the line is written.
func settle(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindGroup:
		group := make([]slog.Attr, len(v.Group()))
		for i, inner := range v.Group() {
			group[i] = settle(inner)
		}
		v = slog.GroupValue(group...)
	case slog.KindAny:
		if err, ok := v.Any().(error); ok {
			v = slog.StringValue(err.Error())
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}
