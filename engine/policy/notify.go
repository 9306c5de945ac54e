package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	lua "github.com/yuin/gopher-lua"
	tokens "golang.org/x/time/rate"

	"moonlatch/engine/ruleset"
)

// The bounds of a notice: a policy may put what packets bring into it. What is longer is cut.
const (
	maxTitle  = 200 // bytes, and so each field
	maxText   = 4 << 10
	maxFields = 20
)

// How many notices a policy may send. A packet can be behind each.
const (
	noticesPerSecond = 10
	noticesAtOnce    = 50
	maxSaid          = 32 // reasons why notices were not sent that a policy logs
)

var (
	errNobodyTold     = errors.New("nobody can be told here")
	errTooManyNotices = fmt.Errorf("too many notifications: a policy may send %d a second", noticesPerSecond)
)

// Notice is what fw.notify tells a target of notifications.
type Notice struct {
	To     string
	By     string // the place in the policy
	Title  string // one line
	Text   string
	Fields []NoticeField
}

// NoticeField is a named value of a notice.
type NoticeField struct{ Name, Value string }

// Target is a target of notifications that the policy names.
type Target struct {
	Name string
	Pos  ruleset.Pos
}

func (t *Target) String() string { return fmt.Sprintf("target %q", t.Name) }
func (t *Target) usage() string {
	return `give it to fw.notify: fw.notify(target, { title = "…", text = "…" })`
}

// newTarget is fw.target.
func (l *loader) newTarget(L *lua.LState) int {
	const form = `fw.target "name"`
	t := &Target{Name: stringArg(L, 1, form), Pos: l.here()}
	noMore(L, 1, form)
	if reason := ruleset.BadName(t.Name); reason != "" {
		L.RaiseError("target name %q %s", t.Name, reason)
	}
	l.targets = append(l.targets, t)
	L.Push(l.wrap(t))
	return 1
}

// notices bounds what a policy tells, and what it logs about that.
type notices struct {
	limit *tokens.Limiter
	said  map[string]bool // why notices were not sent, as far as it was logged
	held  atomic.Uint64   // because there were too many
}

func newNotices() notices {
	return notices{limit: tokens.NewLimiter(noticesPerSecond, noticesAtOnce), said: map[string]bool{}}
}

const notifyForm = `fw.notify("target", { title = "…", text = "…" })`

// notify is fw.notify.
func (p *Policy) notify(L *lua.LState) int {
	n := Notice{By: p.here().String()}
	if t, ok := unwrap[*Target](L.Get(1)); ok {
		n.To = t.Name
	} else {
		n.To = printable(stringArg(L, 1, notifyForm), maxTitle)
	}
	noMore(L, 2, notifyForm)
	switch v := L.Get(2).(type) {
	case lua.LString:
		n.brief(string(v))
	case *lua.LTable:
		if err := n.read(v); err != nil {
			L.RaiseError("fw.notify: %v", err)
		}
	default:
		L.RaiseError("%s is expected, not %s", notifyForm, got(L, 2))
	}
	return result(L, p.send(n))
}

// send hands a notice on, and logs once for each reason why it could not.
func (p *Policy) send(n Notice) error {
	err := errNobodyTold
	switch {
	case p.env.Notify == nil:
	case !p.notices.limit.AllowN(p.env.Now(), 1):
		err = errTooManyNotices
		p.notices.held.Add(1)
	default:
		err = p.env.Notify(n)
	}
	if said := p.notices.said; err != nil && !said[err.Error()] && len(said) < maxSaid {
		said[err.Error()] = true
		p.env.Log.Warn("a notification is not sent; this is said once", "to", n.To, "at", n.By, "error", err)
	}
	return err
}

// HeldNotices is how many notices were not sent because there were too many. It may be called by any goroutine.
func (p *Policy) HeldNotices() uint64 { return p.notices.held.Load() }

// brief makes a notice of a text alone: its first line is the title.
func (n *Notice) brief(text string) {
	first, _, _ := strings.Cut(text, "\n")
	n.Title = printable(first, maxTitle)
	if text = paragraphs(text, maxText); text != n.Title {
		n.Text = text
	}
}

// read reads a notice's table.
func (n *Notice) read(t *lua.LTable) error {
	var near string
	for k, v := range pairs(t) {
		name, ok := k.(lua.LString)
		if !ok {
			return fmt.Errorf("its fields have names, and %s is none", describe(k))
		}
		text, err := fieldText(v)
		if err != nil {
			return fmt.Errorf("%.80q: %w", string(name), err)
		}
		switch name {
		case "title":
			n.Title = printable(text, maxTitle)
		case "text":
			n.Text = paragraphs(text, maxText)
		default:
			if reason := ruleset.BadName(string(name)); reason != "" {
				return fmt.Errorf("field name %.80q %s", string(name), reason)
			}
			if ruleset.Suggest(string(name), []string{"title"}) != "" {
				near = fmt.Sprintf(": is %q meant?", string(name))
			}
			if len(n.Fields) == maxFields {
				return fmt.Errorf("beside title and text it may have %d fields", maxFields)
			}
			n.Fields = append(n.Fields, NoticeField{string(name), printable(text, maxTitle)})
		}
	}
	if t.RawGetString("title") == lua.LNil {
		return fmt.Errorf("it has no title%s", near)
	}
	slices.SortFunc(n.Fields, func(a, b NoticeField) int { return strings.Compare(a.Name, b.Name) })
	return nil
}

func fieldText(v lua.LValue) (string, error) {
	switch v.(type) {
	case lua.LString, lua.LNumber, lua.LBool:
		return v.String(), nil
	}
	return "", fmt.Errorf("a text, a number, true or false is expected, not %s", describe(v))
}

// paragraphs is printable for a text of several lines.
func paragraphs(s string, most int) string {
	var b strings.Builder
	for line := range strings.Lines(s[:min(len(s), most)]) {
		text, broken := strings.CutSuffix(line, "\n")
		b.WriteString(printable(text, most))
		if broken {
			b.WriteByte('\n')
		}
	}
	return strings.ToValidUTF8(b.String()[:min(b.Len(), most)], "")
}

// Targets returns the targets of notifications that the policy names while it is read: with fw.target, or in its source.
func (p *Policy) Targets() []*Target { return p.targets }

// UnknownTargets is an error for each target of the policy's that is not among those that there are.
func (p *Policy) UnknownTargets(known []string) error {
	var out []error
	for _, t := range p.targets {
		if !slices.Contains(known, t.Name) {
			out = append(out, ruleset.Errorf(t.Pos, "%v", UnknownTarget(t.Name, known)))
		}
	}
	return errors.Join(out...)
}

// UnknownTarget says that none of the known targets has a name.
func UnknownTarget(name string, known []string) error {
	if len(known) == 0 {
		return errors.New("the daemon has no targets of notifications: moonlatch run --notify FILE names some")
	}
	return fmt.Errorf("no target of notifications is called %q%s: there are %s", name, ruleset.Suggest(name, known), strings.Join(known, ", "))
}
