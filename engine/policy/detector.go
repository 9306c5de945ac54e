package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/detect"
	"moonlatch/engine/ruleset"
)

// Detector is a detector that the policy configures.
type Detector struct {
	Name    string
	Pos     ruleset.Pos
	Streams []*ruleset.Stream
	Spec    detect.Spec
	Ban     []time.Duration // empty: bans nobody
	Shadow  bool            // reports whom it would have banned, and bans nobody
	Action  *Callback       // nil without an action
	Answer
}

// detectorObject is a detector in a policy, which a call with a table configures.
type detectorObject struct {
	*Detector
	configured bool
}

func (d *detectorObject) String() string { return fmt.Sprintf("detector %q", d.Name) }
func (d *detectorObject) usage() string {
	return fmt.Sprintf(`write fw.detect %q { on = closed, over = 10, within = "60s" }`, d.Name)
}
func (d *detectorObject) ready() bool        { return d.configured }
func (d *detectorObject) where() ruleset.Pos { return d.Pos }

// newDetector is fw.detect.
func (l *loader) newDetector(L *lua.LState) int {
	form := `fw.detect "name" { on = closed, over = 10, within = "60s" }`
	name := stringArg(L, 1, form)
	noMore(L, 1, form)
	d := &Detector{Name: name, Pos: l.here(), Spec: detect.Spec{Name: name, Count: detect.Events}}
	l.unique(d.Pos, "detector", name)
	o := &detectorObject{Detector: d}
	l.unready = append(l.unready, o)
	L.Push(l.wrap(o))
	return 1
}

func (d *detectorObject) call(p *Policy, L *lua.LState) int {
	l := p.load
	switch {
	case l == nil:
		L.RaiseError("%s is configured while the policy is read: a handler cannot change it", d)
	case d.configured:
		L.RaiseError("%s is configured already", d)
	}
	t := l.table(L, 2, d.usage()[len("write "):])
	d.configured = true
	before := l.count
	l.noItems(d.String(), t)
	fill(l, d.String(), t, detectOptions(), d.Detector)
	for _, name := range []string{"on", "over", "within"} {
		if t.RawGetString(name) == lua.LNil && l.count == before {
			l.report(t.pos, "%s: %s is missing: %s", d, name, d.usage())
		}
	}
	if l.count == before {
		l.addDetector(t, d)
	}
	L.SetTop(1)
	return 1
}

// addDetector checks what its options are together.
func (l *loader) addDetector(t table, d *detectorObject) {
	if err := d.Spec.Validate(); err != nil {
		l.report(t.pos, "%v", err)
		return
	}
	for _, name := range []string{"kill", "spare"} {
		if lua.LVAsBool(t.RawGetString(name)) && len(d.Ban) == 0 {
			l.report(t.field(name).pos, "%s: %s belongs to a ban: add ban = \"1h\"", d, name)
		}
	}
	for _, name := range []string{"ban", "shadow"} {
		if lua.LVAsBool(t.RawGetString(name)) && !d.Spec.Blames() {
			v := t.field(name)
			l.report(v.pos, "%s: %s is not possible, since %s names no source to ban: use action = function(hit) … end", d, name, d.crowd())
			return
		}
	}
	l.detectors = append(l.detectors, d.Detector)
}

// crowd is the option because of which a hit has no source.
func (d *detectorObject) crowd() string {
	if d.Spec.Count == detect.DistinctSrc {
		return fmt.Sprintf("count = %q", d.Spec.Count)
	}
	return "per = " + d.Spec.Per.String()
}

func detectOptions() []option[*Detector] {
	list := []option[*Detector]{
		{Entry{Name: "on", Takes: "stream or list of streams", Doc: "the events to count", Example: `fw.detect "d" { on = closed, over = 10, within = "60s" }`},
			func(_ *loader, d *Detector, v value) (err error) {
				if d.Streams, err = streams(v); err == nil && len(d.Streams) == 0 {
					err = errors.New("the list is empty: a detector counts the events of a stream")
				}
				return err
			}},
		{Entry{Name: "count", Takes: `"events", "bytes", "distinct dport", "distinct dst" or "distinct src"`, Doc: `what is counted; default "events"`, Example: `fw.detect "d" { on = closed, count = "distinct dport", over = 10, within = "60s" }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Count, err = countWord(v)
				return err
			}},
		{Entry{Name: "per", Takes: `"src", "dst", { "src", "dport" } or { "src", "dst" }, with a prefix such as "src/24" if need be`, Doc: `whose events are counted together; default "src", of IPv6 the /64. A length up to 32 is for IPv4 sources, a longer one for IPv6 sources`, Example: `fw.detect "d" { on = closed, per = "src/24", over = 10, within = "60s", ban = "1h" }`},
			func(_ *loader, d *Detector, v value) error { return d.setKey(v) }},
		{Entry{Name: "over", Takes: fmt.Sprintf("whole number, up to %d of distinct things", detect.MaxExact), Doc: `the most that is allowed; of "bytes" in bytes`, Example: `fw.detect "d" { on = closed, count = "bytes", over = 100e6, within = "60s" }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Over, err = amount(v)
				return err
			}},
		{Entry{Name: "within", Takes: "time", Doc: "the sliding window in which it is counted", Example: `fw.detect "d" { on = closed, over = 10, within = "10m" }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Within, err = duration(v.LValue)
				if err == nil && d.Spec.Within > detect.MaxWithin {
					err = fmt.Errorf("%s is too long: at most %s", describe(v.LValue), detect.MaxWithin)
				}
				return err
			}},
		{Entry{Name: "except", Takes: "address, prefix, range, set, or a list of these", Doc: "sources that are never counted", Example: `fw.detect "d" { on = closed, over = 10, within = "60s", except = { admins, "198.51.100.7" } }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Except, err = addressSet(v)
				return err
			}},
		{Entry{Name: "track", Takes: "whole number", Doc: fmt.Sprintf("the number of sources, or of what else events are counted per, that are remembered at once; default %d", detect.DefaultTrack), Example: `fw.detect "d" { on = closed, over = 10, within = "60s", track = 10000 }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Track, err = whole(v, 1, detect.MaxMemory)
				return err
			}},
	}
	list = append(list, answerOptions()...)
	for _, f := range answerFields() {
		list = append(list, option[*Detector]{f.Entry, func(l *loader, d *Detector, v value) error { return f.set(l, &d.Answer, v) }})
	}
	return list
}

// answerOptions say what follows when a source exceeds the threshold.
func answerOptions() []option[*Detector] {
	return []option[*Detector]{
		{Entry{Name: "ban", Takes: "time or list of times", Doc: `bans who exceeds it, for longer with each repeat; with per = "src/24" all of that prefix`, Example: `fw.detect "d" { on = closed, over = 10, within = "60s", ban = { "1h", "24h", "7d" } }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Ban, err = banTimes(v)
				return err
			}},
		{Entry{Name: "action", Takes: "function(hit)", Doc: "is called with the evidence", Example: `fw.detect "d" { on = closed, over = 10, within = "60s", action = function(hit) fw.log.warn(hit.src) end }`},
			func(l *loader, d *Detector, v value) error {
				fn, ok := v.LValue.(*lua.LFunction)
				if !ok {
					return fmt.Errorf("function(hit) … end is expected, not %s", describe(v.LValue))
				}
				if err := notOurs(fn, "function(hit) … end"); err != nil {
					return err
				}
				d.Action = &Callback{Name: d.Name, Kind: "action", Pos: d.Pos, fn: fn}
				return nil
			}},
		{Entry{Name: "shadow", Takes: "true or false", Doc: "reports whom it would have banned, and bans nobody", Example: `fw.detect "d" { on = closed, over = 10, within = "60s", ban = "1h", shadow = true }`},
			func(_ *loader, d *Detector, v value) error {
				b, ok := v.LValue.(lua.LBool)
				if !ok {
					return fmt.Errorf("true or false is expected, not %s", describe(v.LValue))
				}
				d.Shadow = bool(b)
				return nil
			}},
	}
}

// countWord reads what a detector counts.
func countWord(v value) (detect.Count, error) {
	s, ok := v.LValue.(lua.LString)
	if c, err := detect.ParseCount(string(s)); ok && err == nil {
		return c, nil
	}
	known := detect.Counts()
	return 0, fmt.Errorf("%s is not available%s: it is one of \"%s\"", describe(v.LValue), ruleset.Suggest(string(s), known), strings.Join(known, "\", \""))
}

// setKey reads what a detector counts per: a word or a list of words.
func (d *Detector) setKey(v value) error {
	var words []string
	err := each(v, func(v value) error {
		word, err := text(v)
		words = append(words, word)
		return err
	})
	if err == nil {
		d.Spec.Per, d.Spec.Bits4, d.Spec.Bits6, err = detect.ParseKey(words...)
	}
	return err
}

// amount reads a number of packets, bytes or things.
func amount(v value) (int64, error) {
	n, ok := v.LValue.(lua.LNumber)
	if !ok || n != lua.LNumber(int64(n)) || n < 0 || n > detect.MaxOver {
		return 0, fmt.Errorf("a whole number from 0 to %d is expected, not %s", int64(detect.MaxOver), describe(v.LValue))
	}
	return int64(n), nil
}
