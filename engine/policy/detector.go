package policy

import (
	"errors"
	"fmt"
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
		l.addDetector(t.pos, d)
	}
	L.SetTop(1)
	return 1
}

func (l *loader) addDetector(pos ruleset.Pos, d *detectorObject) {
	if d.Spec.Track > 0 { // what fits into its memory only the detector itself knows
		if _, err := detect.New(d.Spec); err != nil {
			l.report(pos, "%v", err)
			return
		}
	}
	l.detectors = append(l.detectors, d.Detector)
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
		{Entry{Name: "count", Takes: `"events" or "distinct dport"`, Doc: `what is counted; default "events"`, Example: `fw.detect "d" { on = closed, count = "distinct dport", over = 10, within = "60s" }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Count, err = countWord(v)
				return err
			}},
		{Entry{Name: "per", Takes: `"src"`, Doc: "whose events are counted together: each source's, IPv6 sources by /64", Example: `fw.detect "d" { on = closed, per = "src", over = 10, within = "60s" }`},
			func(_ *loader, d *Detector, v value) error {
				if v.LValue != lua.LString("src") {
					return fmt.Errorf("%s is not available yet: events are counted per \"src\"", describe(v.LValue))
				}
				return nil
			}},
		{Entry{Name: "over", Takes: fmt.Sprintf("whole number from 0 to %d", detect.MaxOver), Doc: "the most that is allowed", Example: `fw.detect "d" { on = closed, over = 10, within = "60s" }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Over, err = whole(v, 0, detect.MaxOver)
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
		{Entry{Name: "track", Takes: "whole number", Doc: fmt.Sprintf("the number of sources that are remembered at once; default %d", detect.DefaultTrack), Example: `fw.detect "d" { on = closed, over = 10, within = "60s", track = 10000 }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Spec.Track, err = whole(v, 1, detect.MaxMemory)
				return err
			}},
	}
	return append(list, answerOptions()...)
}

// answerOptions say what follows when a source exceeds the threshold.
func answerOptions() []option[*Detector] {
	return []option[*Detector]{
		{Entry{Name: "ban", Takes: "time or list of times", Doc: "bans who exceeds it, for longer with each repeat", Example: `fw.detect "d" { on = closed, over = 10, within = "60s", ban = { "1h", "24h", "7d" } }`},
			func(_ *loader, d *Detector, v value) (err error) {
				d.Ban, err = durations(v)
				return err
			}},
		{Entry{Name: "action", Takes: "function(hit)", Doc: "is called with the evidence", Example: `fw.detect "d" { on = closed, over = 10, within = "60s", action = function(hit) fw.log.warn(hit.src) end }`},
			func(l *loader, d *Detector, v value) error {
				fn, ok := v.LValue.(*lua.LFunction)
				if !ok {
					return fmt.Errorf("function(hit) … end is expected, not %s", describe(v.LValue))
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
	known := []string{detect.Events.String(), detect.DistinctDport.String()}
	return 0, fmt.Errorf("%s is not available%s: it is \"%s\" or \"%s\"", describe(v.LValue), ruleset.Suggest(string(s), known), known[0], known[1])
}
