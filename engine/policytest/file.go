package policytest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	lua "github.com/yuin/gopher-lua"
	"golang.org/x/sync/errgroup"

	"moonlatch/engine"
	"moonlatch/engine/lab"
	"moonlatch/engine/policy"
	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// A Result is how one test went.
type Result struct {
	File     string        `json:"file"`
	Line     int           `json:"line"`
	Name     string        `json:"name"`
	Failures []Failure     `json:"failures,omitempty"` // none if it passed
	Took     time.Duration `json:"nanoseconds"`
}

// A Failure is something that is not as a test expects.
type Failure struct {
	Place string   `json:"place"`           // file:line
	Text  string   `json:"text"`            // what was expected, and what is
	Trace []string `json:"trace,omitempty"` // the rules that the packet met
}

// File is a test file.
type File struct {
	Config
	name   string
	state  *sandbox.State
	tests  []*test
	policy string           // the entry file that t.load named
	rules  ruleNames        // of it
	places []*ruleset.Error // mistakes

	ctx     context.Context
	stage   *engine.Rehearsal // nil while no test runs
	current *Result           // likewise
	empty   map[string]bool   // feeds that are so in the tests, and whether no test fills them
}

// Config says where tests are, and what they work with.
type Config struct {
	Folder fs.FS
	Path   string // of the folder on this host; "" for none
	State  string // the state directory, where the copies of feeds are; "" for none
	Log    *slog.Logger
}

// test is a test that a file declares.
type test struct {
	name string
	pos  ruleset.Pos
	fn   *lua.LFunction
}

// A test may take as long as its packets need: these bounds are for those that never end.
const (
	testBudget   = 1_000_000_000
	testDeadline = 10 * time.Minute
)

// Load reads a test file, and the policy that it loads. The error joins
// every mistake found, each with its place. The caller closes the File.
func Load(cfg Config, name string) (*File, error) {
	f := &File{Config: cfg, name: name, empty: map[string]bool{}}
	f.state = sandbox.New(sandbox.Config{
		Files: cfg.Folder, LoadBudget: testBudget, CallBudget: testBudget, LoadDeadline: testDeadline, CallDeadline: testDeadline,
	})
	f.state.Provide("moonlatch.test", f.module())
	err := f.state.Run(name)
	if err == nil && f.policy == "" {
		err = fmt.Errorf(`%s tests no policy: it begins with local t = require "moonlatch.test"; t.load "POLICY.lua"`, name)
	}
	if err == nil && len(f.tests) == 0 {
		err = fmt.Errorf(`%s declares no test: t.test("what holds", function() … end)`, name)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Close frees the file's Lua.
func (f *File) Close() { f.state.Close() }

// stages is how many hosts are made ready at once: that takes the kernel longer
// than most tests.
const stages = 4

// Run runs the file's tests that match only (nil for all), one after the other, and tells
// each result. The error is a mistake in the test file, or what kept it from being run.
func (f *File) Run(ctx context.Context, only *regexp.Regexp, tell func(Result)) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(stages)
	turn := make(chan struct{})
	close(turn)
	for _, t := range f.tests {
		if only != nil && !only.MatchString(t.name) {
			continue
		}
		before, after := turn, make(chan struct{})
		turn = after
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return f.run(ctx, t, before, after, tell) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, feed := range slices.Sorted(maps.Keys(f.empty)) {
		if f.empty[feed] {
			f.Log.Warn("a feed is empty in the tests: t.feed(\""+feed+"\", { \"192.0.2.0/24\" }) fills it", "file", f.name, "policy", f.policy)
		}
	}
	return nil
}

// run runs one test when the one before it is through, on a host that has seen no other one.
func (f *File) run(ctx context.Context, t *test, before, after chan struct{}, tell func(Result)) error {
	return lab.Run(ctx, func(l *lab.Lab) error {
		stage, err := engine.Rehearse(ctx, l, f.origin(), f.Log)
		if err != nil {
			return err
		}
		defer stage.Close()
		select {
		case <-before:
		case <-ctx.Done():
			return ctx.Err()
		}
		r, err := f.play(ctx, t, stage)
		if err != nil {
			return err
		}
		tell(r)
		close(after)
		return nil
	})
}

// origin is where the policy is.
func (f *File) origin() engine.Origin {
	o := engine.Origin{Folder: f.Folder, Entry: f.policy, State: f.State}
	if f.Path != "" {
		o.Path = filepath.Join(f.Path, f.policy)
	}
	return o
}

// play runs a test's function.
func (f *File) play(ctx context.Context, t *test, stage *engine.Rehearsal) (Result, error) {
	start := time.Now()
	r := Result{File: f.name, Line: t.pos.Line, Name: t.name}
	f.ctx, f.stage, f.current = ctx, stage, &r
	for _, feed := range stage.EmptyFeeds() {
		if _, known := f.empty[feed]; !known {
			f.empty[feed] = true
		}
	}
	_, err := f.state.Call(t.fn, 0)
	f.stage, f.current = nil, nil
	r.Took = time.Since(start)
	if len(f.places) > 0 {
		return r, f.places[0]
	}
	var failed *sandbox.Error
	if errors.As(err, &failed) {
		r.Failures = append(r.Failures, Failure{Place: place(failed), Text: failed.Msg})
	}
	return r, nil
}

func place(e *sandbox.Error) string {
	return ruleset.Pos{File: e.File, Line: e.Line}.String()
}

// ruleNames are the names by which a policy's rules can be expected to decide.
type ruleNames []string

func namesOf(p *policy.Policy) ruleNames {
	out := ruleNames{lab.ByBan, lab.ByTrap, lab.ByPolicy}
	for _, c := range p.Ruleset().Chains {
		for _, r := range c.Rules {
			out = append(out, r.Name)
		}
	}
	return out
}
