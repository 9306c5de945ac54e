package feed

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Line is an item as the log tells it: its level, its message, and attributes
// whose keys docs/observing.md lists. There is no line for packet events, which are
// too many; their message is empty.
func (it *Item) Line() (level slog.Level, message string, attrs []slog.Attr) {
	if it.Kind == KindEvent {
		return slog.LevelDebug, "", nil
	}
	attrs = append(attrs, slog.String("kind", string(it.Kind)))
	switch {
	case it.Ban != nil:
		level, message = it.Ban.said(it.Kind)
		return level, message, append(attrs, it.Ban.attrs(it.Kind)...)
	case it.Generation != nil:
		level, message = it.Generation.said(it.Kind)
		return level, message, append(attrs, it.Generation.attrs(it.Kind)...)
	case it.Drift != nil:
		return slog.LevelError, it.Drift.said(), append(attrs, it.Drift.attrs()...)
	case it.Lease != nil:
		level, message = it.Lease.said()
		return level, message, append(attrs, it.Lease.attrs()...)
	case it.Fault != nil:
		level, message = it.Fault.said()
		return level, message, append(attrs, it.Fault.attrs()...)
	case it.Notice != nil:
		return slog.LevelWarn, it.Notice.Title, append(attrs, it.Notice.attrs()...)
	}
	return slog.LevelInfo, string(it.Kind), attrs
}

// Text is an item in one line, for people.
func (it *Item) Text() string {
	if it.Kind == KindEvent {
		return it.Event.Text()
	}
	_, message, attrs := it.Line()
	var b strings.Builder
	b.WriteString(message)
	for _, a := range attrs[1:] { // without the kind
		if text := a.Value.String(); text != "" && a.Key != "traceback" {
			fmt.Fprintf(&b, " %s=%s", a.Key, Quoted(text))
		}
	}
	return b.String()
}

// Quoted is a value of a line, quoted so that is told apart from what follows it.
func Quoted(s string) string {
	if strings.ContainsAny(s, " =\"\n\t") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// never is when a ban without an end ends.
const never = "never"

func clock(t time.Time, zero string) string {
	if t.IsZero() {
		return zero
	}
	return t.UTC().Format(time.RFC3339)
}

func (b *Ban) said(k Kind) (slog.Level, string) {
	switch k {
	case KindBan:
		return slog.LevelInfo, "banned"
	case KindWouldBan:
		return slog.LevelInfo, "would ban"
	case KindRefused:
		return slog.LevelError, "not banned"
	}
	return slog.LevelInfo, "unbanned"
}

func (b *Ban) attrs(k Kind) []slog.Attr {
	target := slog.String("target", b.Target.String())
	by, why := slog.String("by", b.By), slog.String("why", b.Why)
	switch k {
	case KindBan:
		return []slog.Attr{target, slog.String("until", clock(b.Until, never)), by, why, slog.String("origin", b.Origin)}
	case KindWouldBan:
		return []slog.Attr{target, by, why}
	case KindRefused:
		return []slog.Attr{target, by, why, slog.String("error", b.Reason)}
	}
	return []slog.Attr{target, slog.Int("count", max(1, b.Count)), slog.String("reason", b.Reason)}

}

func (g *Generation) said(k Kind) (slog.Level, string) {
	switch k {
	case KindApply:
		return slog.LevelInfo, "generation on trial: confirm it with moonlatch confirm"
	case KindExtend:
		return slog.LevelInfo, "trial extended"
	case KindConfirm:
		return slog.LevelInfo, "generation confirmed"
	case KindRollback:
		return slog.LevelWarn, "trial rolled back by hand"
	case KindReset:
		return slog.LevelWarn, "firewall reset: everything passes"
	}
	return slog.LevelWarn, "trial ended: it was not confirmed in time, and the kernel has put the fallback in force"
}

func (g *Generation) attrs(k Kind) []slog.Attr {
	number, policy := slog.Uint64("generation", g.Number), slog.String("policy", g.Policy)
	until, by := slog.String("until", clock(g.Until, "")), slog.String("by", g.By)
	switch k {
	case KindApply:
		return []slog.Attr{number, policy, by, until}
	case KindExtend:
		return []slog.Attr{number, policy, until}
	case KindConfirm:
		return []slog.Attr{number, policy, by, slog.String("session", g.Session), slog.String("why", g.Why)}
	case KindRollback:
		return []slog.Attr{number, policy, by}
	case KindReset:
		return []slog.Attr{number, slog.Int("bans", g.Bans)}
	}
	return []slog.Attr{number, policy, slog.String("fallback", g.Fallback)}
}

// rid says how to be rid of what somebody else changed.
const rid = "; moonlatch apply or restore brings them back, moonlatch reset removes them for good"

func (d *Drift) said() string {
	switch d.Done {
	case DriftHealed:
		return "somebody changed the rules: they are put back; to be rid of them for good, run moonlatch reset"
	case DriftReported:
		return "somebody changed the rules, and the policy wants it left so" + rid
	case DriftGaveUp:
		return "somebody keeps changing the rules: they are not put back any more" + rid
	}
	return "somebody took the bans out of the kernel: they are back"
}

func (d *Drift) attrs() []slog.Attr {
	return []slog.Attr{slog.String("done", d.Done), slog.String("drift", d.What), slog.String("process", d.Process), slog.Int("pid", d.PID)}
}

func (l *Lease) said() (slog.Level, string) {
	switch l.State {
	case LeaseFailing:
		return slog.LevelWarn, "the liveness lease is not renewed: everything passes when it runs out"
	case LeaseOpen:
		return slog.LevelError, "the liveness lease ran out: everything passes"
	case LeaseFilters:
		return slog.LevelWarn, "all is well again: the liveness lease is renewed, and the generation filters"
	}
	return slog.LevelInfo, "all is well again: the liveness lease is renewed"
}

func (l *Lease) attrs() []slog.Attr {
	out := []slog.Attr{slog.String("state", l.State), slog.Uint64("generation", l.Generation), slog.Float64("seconds", l.Seconds), slog.String("why", l.Why)}
	return withTraceback(out, l.Traceback)
}

func (f *Fault) said() (slog.Level, string) {
	if f.Off {
		return slog.LevelError, "callback switched off: it failed too often in a row"
	}
	return slog.LevelDebug, "callback failed"
}

func (f *Fault) attrs() []slog.Attr {
	out := []slog.Attr{
		slog.String("callback", f.Callback), slog.String("callback_kind", f.Kind), slog.String("at", f.Place),
		slog.String("reason", f.Reason), slog.String("error", f.Message),
	}
	return withTraceback(out, f.Traceback)
}

func withTraceback(attrs []slog.Attr, traceback string) []slog.Attr {
	if traceback == "" {
		return attrs
	}
	return append(attrs, slog.String("traceback", traceback))
}

func (n *Notice) attrs() []slog.Attr {
	out := []slog.Attr{slog.String("by", n.By), slog.String("to", n.To), slog.String("text", n.Text)}
	for _, f := range n.Fields {
		out = append(out, slog.String("field_"+f.Name, f.Value))
	}
	return out
}
