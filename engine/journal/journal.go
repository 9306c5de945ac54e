// Package journal writes the log to systemd's journal, each attribute as a field of its own.
package journal

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"

	"moonlatch/engine/feed"
)

// Handler is a slog.Handler for the journal. An attribute "target" is the field
// MOONLATCH_TARGET, and also part of the message, since that is all that journalctl shows.
// It is safe for concurrent use.
type Handler struct {
	level  slog.Leveler
	fields []slog.Attr // of WithAttrs
	group  string      // prefix of the keys that follow, of WithGroup
	send   func(message string, p journal.Priority, fields map[string]string) error
}

// New returns a Handler for what is at least of a level.
func New(level slog.Leveler) *Handler { return &Handler{level: level, send: journal.Send} }

// Wanted reports whether systemd has connected standard error to the journal,
// as JOURNAL_STREAM tells, and the journal takes fields.
func Wanted() bool {
	connected, err := journal.StderrIsJournalStream()
	return err == nil && connected && journal.Enabled()
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// Handle implements slog.Handler.
func (h *Handler) Handle(_ context.Context, r slog.Record) error {
	fields := map[string]string{"SYSLOG_IDENTIFIER": "moonlatch"}
	var b strings.Builder
	b.WriteString(r.Message)
	add := func(key string, v slog.Value) {
		text := v.String()
		fields[fieldName(key)] = text
		if text != "" && !strings.Contains(text, "\n") { // a traceback stays a field
			b.WriteString(" " + key + "=" + feed.Quoted(text))
		}
	}
	for _, a := range h.fields {
		each(a, "", add)
	}
	r.Attrs(func(a slog.Attr) bool {
		each(a, h.group, add)
		return true
	})
	return h.send(b.String(), priority(r.Level), fields)
}

// each calls add for an attribute, or for those of a group.
func each(a slog.Attr, prefix string, add func(string, slog.Value)) {
	v := a.Value.Resolve()
	if v.Kind() != slog.KindGroup {
		add(prefix+a.Key, v)
		return
	}
	for _, inner := range v.Group() {
		each(inner, prefix+a.Key+".", add)
	}
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := *h
	out.fields = slices.Clone(h.fields)
	for _, a := range attrs {
		each(a, h.group, func(key string, v slog.Value) { out.fields = append(out.fields, slog.Attr{Key: key, Value: v}) })
	}
	return &out
}

// WithGroup implements slog.Handler.
func (h *Handler) WithGroup(name string) slog.Handler {
	out := *h
	out.group += name + "."
	return &out
}

// fieldName is the journal's name of a key: capitals, digits and underscores.
func fieldName(key string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
	return ("MOONLATCH_" + name)[:min(64, len("MOONLATCH_")+len(name))] // the journal drops longer names
}

func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	case l >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}
