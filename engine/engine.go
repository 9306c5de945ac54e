// Package engine runs Moonlatch: it wires policies, generations, bans and packet
// events together. A Firewall does what a command needs and is gone; a Daemon
// also runs the policy's detectors, handlers and timers, and owns every
// goroutine that this takes.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing/fstest"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/blocklist"
	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/generation"
	"moonlatch/engine/geo"
	"moonlatch/engine/nft"
	"moonlatch/engine/policy"
	"moonlatch/engine/ruleset"
	"moonlatch/engine/spool"
)

// DefaultConfirm is how long a trial lasts when neither the policy nor the user says.
const DefaultConfirm = time.Minute

// kernelTimeout bounds one transaction: 100,000 rules take nft some five seconds.
const kernelTimeout = time.Minute

// Config says where a Firewall works.
type Config struct {
	State   string // the state directory
	Log     *slog.Logger
	Level   *slog.LevelVar // of Log, for LogLevel; may be nil
	Spool   *spool.Spool   // of Log, where its lines wait; may be nil
	Observe Observer       // may be nil
}

// Observer is told how long things took. Its methods must not block.
type Observer interface {
	ApplyTook(d time.Duration, err error)
	// BanTook is told the time from the packet's timestamp to the kernel's acknowledgement, and the ID of the ban in the feed.
	BanTook(d time.Duration, id uint64)
	CallbackTook(policy string, d time.Duration)
}

// Firewall implements control.Service on the kernel and the store, with no
// daemon. It is safe for concurrent use.
type Firewall struct {
	nft         *nft.Client
	generations *generation.Manager
	bans        *ban.Book
	protected   protectedFile
	namesKept   namesFile
	observe     Observer
	evidence    evidences     // of bans
	lastBan     atomic.Uint64 // its ID in the feed
	level       *slog.LevelVar
	feeds       *blocklist.Store
	cutter      *cutter                    // of what policies ban, where a daemon runs it
	place       func(netip.Addr) geo.Place // nil where no policy runs
	teller
}

var _ control.Service = (*Firewall)(nil)

// Open returns the Firewall of the current network namespace and makes the
// core table where it is missing.
func Open(ctx context.Context, cfg Config) (*Firewall, error) {
	client, err := nft.Open(nft.Config{})
	if err != nil {
		return nil, explain(err)
	}
	g, err := generation.Open(generation.Config{NFT: client, Dir: cfg.State})
	if err != nil {
		return nil, explain(err)
	}
	f := &Firewall{
		nft: client, generations: g, observe: cfg.Observe, level: cfg.Level, teller: teller{feed.NewHub(), cfg.Log, newHistory(cfg, false)},
		feeds: blocklist.NewStore(filepath.Join(cfg.State, feedDir)), protected: userList(cfg.State), namesKept: keptNames(cfg.State), cutter: newCutter(cfg.Log),
	}
	if f.observe == nil {
		f.observe = unobserved{}
	}
	f.bans, err = ban.Open(ctx, ban.Config{
		NFT: client, Observe: f.banTook, Booked: f.made, Changed: f.history.changed, Mended: f.history.mend, Lifted: f.lifted, Failed: f.unbooked,
		Storm: f.storm, Connected: connected, Cut: f.cutter.cut,
	})
	if err != nil {
		return nil, explain(err)
	}
	if err := f.protectUsers(ctx); err != nil {
		f.log.Error("what moonlatch protect lists is not protected", "error", err)
	}
	return f, nil
}

// Close frees what the Firewall holds. Rules and bans stay in force.
func (f *Firewall) Close() error {
	return errors.Join(f.bans.Close(), f.nft.Close(), f.history.close())
}

// Feed tells what happens.
func (f *Firewall) Feed() *feed.Hub { return f.feed }

type unobserved struct{}

func (unobserved) ApplyTook(time.Duration, error)     {}
func (unobserved) BanTook(time.Duration, uint64)      {}
func (unobserved) CallbackTook(string, time.Duration) {}

// Load reads and runs a policy file and returns the request that applies it.
// The caller closes the policy.
func Load(path string, log *slog.Logger) (*policy.Policy, control.ApplyRequest, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, control.ApplyRequest{}, explain(err)
	}
	if err := readable(path); err != nil {
		return nil, control.ApplyRequest{}, badPolicy(fmt.Errorf("the policy cannot be read: %w", err))
	}
	folder, err := openFolder(filepath.Dir(path))
	if err != nil {
		return nil, control.ApplyRequest{}, badPolicy(fmt.Errorf("the policy's folder cannot be read: %w", err))
	}
	p, err := policy.Load(folder, filepath.Base(path), inFolder(environment(log, nil, nil), path))
	if err != nil {
		return nil, control.ApplyRequest{}, badPolicy(err)
	}
	return p, control.ApplyRequest{Entry: filepath.Base(path), Path: path, Files: p.Files()}, nil
}

func badPolicy(err error) error {
	return &control.Error{Code: control.BadPolicy, Message: err.Error()}
}

// loadBundle runs a policy from the files of a request.
func loadBundle(req control.ApplyRequest, env policy.Env) (*policy.Policy, error) {
	p, err := policy.Load(bundle(req.Files), req.Entry, inFolder(env, req.Path))
	if err != nil {
		return nil, badPolicy(err)
	}
	return p, nil
}

// bundle makes a folder of a request's files, in memory.
func bundle(files map[string][]byte) fs.FS {
	folder := fstest.MapFS{}
	for name, content := range files {
		folder[name] = &fstest.MapFile{Data: content, Mode: 0o444}
	}
	return folder
}

// Apply implements control.Service.
func (f *Firewall) Apply(ctx context.Context, req control.ApplyRequest) (control.Applied, error) {
	p, err := loadBundle(req, environment(f.log, nil, nil))
	if err != nil {
		return control.Applied{}, err
	}
	defer p.Close()
	return f.ApplyLoaded(ctx, p, req)
}

// ApplyLoaded is Apply for a policy that Load returned together with the request.
// It refuses one with a liveness lease, which only a daemon renews.
func (f *Firewall) ApplyLoaded(ctx context.Context, p *policy.Policy, req control.ApplyRequest) (control.Applied, error) {
	if lease := p.Watchdog().Lease; lease > 0 {
		return control.Applied{}, &control.Error{Code: control.Unreachable, Message: fmt.Sprintf(
			"the policy has a liveness lease of %s, which only the daemon renews, and none is running: start moonlatch run first; nothing was changed", lease)}
	}
	also, err := alsoProtected(p, f.protected, f.namesKept)
	if err != nil {
		return control.Applied{}, explain(err)
	}
	applied, err := f.apply(ctx, p, req, also)
	if err == nil {
		f.publish(onTrial(applied, req))
	}
	return applied, explain(err)
}

// apply puts a loaded policy's ruleset in force on trial.
func (f *Firewall) apply(ctx context.Context, p *policy.Policy, req control.ApplyRequest, also besides) (applied control.Applied, err error) {
	start := time.Now()
	defer func() { f.observe.ApplyTook(time.Since(start), err) }()
	rules, err := forThisHost(p, req, also)
	if err != nil {
		return applied, err
	}
	f.fillFeeds(p, rules.Protected)
	ctx, cancel := context.WithTimeout(ctx, kernelTimeout)
	defer cancel()
	g, err := f.generations.Apply(ctx, generation.Request{
		Ruleset: rules, Path: req.Path, Files: req.Files, By: req.By,
		Confirm: trialTime(p, req), Fallback: fallback(p), Lease: p.Watchdog().Lease, Drift: generation.OnDrift(p.Watchdog().Drift),
	})
	if err != nil {
		return applied, err
	}
	for _, w := range p.Warnings() {
		applied.Warnings = append(applied.Warnings, w.Error())
	}
	applied.Warnings = append(applied.Warnings, g.Notes...)
	applied.Warnings = append(applied.Warnings, also.warnings()...)
	applied.APIVersion, applied.Generation, applied.Left = control.Version, f.describeTrial(g), g.Confirm.Seconds()
	return applied, nil
}

// forThisHost is a policy's ruleset with all that is protected here.
func forThisHost(p *policy.Policy, req control.ApplyRequest, also besides) (*ruleset.Ruleset, error) {
	spare, err := parseAddresses(req.Spare)
	if err != nil {
		return nil, &control.Error{Code: control.BadRequest, Message: err.Error()}
	}
	rules := *p.Ruleset()
	rules.Protected = slices.Concat(p.Protected(), hostAddresses(), spare, also.prefixes())
	return &rules, nil
}

// describeTrial describes a generation on trial with what really follows it.
func (f *Firewall) describeTrial(g generation.Generation) control.Generation {
	out := *describe(&g)
	if s, err := f.generations.State(); err == nil && s.Confirmed == nil {
		out.Fallback = string(generation.FallbackOpen) // there is nothing else to fall back to
	}
	return out
}

func trialTime(p *policy.Policy, req control.ApplyRequest) time.Duration {
	switch {
	case req.Confirm != 0:
		return req.Confirm
	case p.Watchdog().Confirm != 0:
		return p.Watchdog().Confirm
	}
	return DefaultConfirm
}

func fallback(p *policy.Policy) generation.Fallback {
	if p.Watchdog().Fallback == string(generation.FallbackOpen) {
		return generation.FallbackOpen
	}
	return generation.FallbackPrevious
}

func parseAddresses(texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range texts {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no IP address", s)
		}
		out = append(out, host(a))
	}
	return out, nil
}

// host is the prefix that holds one address.
func host(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	return netip.PrefixFrom(a, a.BitLen())
}

func describe(g *generation.Generation) *control.Generation {
	if g == nil {
		return nil
	}
	return &control.Generation{
		Number: g.Number, Policy: g.Policy, Path: g.Path, Digest: g.Digest,
		Applied: g.Applied, By: g.By, Fallback: string(g.Fallback),
	}
}

// Status implements control.Service.
func (f *Firewall) Status(context.Context) (control.Status, error) {
	s, err := f.generations.State()
	if err != nil {
		return control.Status{}, explain(err)
	}
	out := control.Status{
		APIVersion: control.Version, State: control.Opened,
		Confirmed: describe(s.Confirmed), Trial: describe(s.Trial), Left: s.Left.Seconds(),
		Length: trialLength(s).Seconds(),
	}
	switch {
	case s.Trial != nil && s.Expired:
		out.Note = fmt.Sprintf("generation %d was not confirmed in time; the kernel ended its trial", s.Trial.Number)
		out.Trial = nil
	case s.Trial != nil:
		out.State = control.Trying
	case s.Aside:
		out.Note = fmt.Sprintf("generation %d stands aside because a trial with fallback \"open\" ended unconfirmed; moonlatch rollback brings it back", s.Confirmed.Number)
	case s.Trial == nil && s.Confirmed == nil:
		out.Note = f.onDisk()
	}
	switch {
	case s.Alive().Over():
		out.State, out.LeaseOver = control.Opened, true
		out.Note = fmt.Sprintf("generation %d lets everything through, because the daemon has not renewed its liveness lease of %s; it filters again as soon as a healthy moonlatch run renews it", s.Current().Number, s.Alive().Lease)
	case out.State != control.Trying && s.InForce() != nil:
		out.State = control.Filtering
	}
	out.Note = notes(out.Note, f.generations.Problems())
	return out, nil
}

// onDisk tells of a confirmed generation that the kernel does not hold: after a boot without a restore, say, or a reset.
func (f *Firewall) onDisk() string {
	stored, err := f.generations.Stored()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("generation %d (%s) is confirmed, but not in the kernel: moonlatch restore, or a reboot, puts it in force", stored.Number, stored.Policy)
}

// Reset implements control.Service: it takes everything of ours out of the
// kernel and then asks the kernel whether it is gone.
func (f *Firewall) Reset(ctx context.Context) (control.ResetResult, error) {
	r, err := f.reset(ctx)
	if err == nil && len(r.Generations) > 0 {
		f.publish(feed.Item{Kind: feed.KindReset, Generation: &feed.Generation{Number: slices.Max(r.Generations), Bans: r.Bans}})
	}
	return r, err
}

func (f *Firewall) reset(ctx context.Context) (control.ResetResult, error) {
	out := control.ResetResult{APIVersion: control.Version}
	numbers, err := f.generations.Reset(ctx)
	if err != nil {
		return out, explain(err)
	}
	out.Generations = numbers
	// First the bans: what fails after that, a daemon must not bring them back.
	if out.Bans, err = f.bans.UnbanAll(ctx); err != nil {
		return out, explain(err)
	}
	for owner := range f.bans.Protection() {
		if err := f.bans.Protect(ctx, owner, nil); err != nil {
			return out, explain(err)
		}
	}
	s, err := f.generations.State()
	if err != nil {
		return out, explain(err)
	}
	left, err := f.listBans(ctx)
	if err != nil {
		return out, explain(err)
	}
	out.Open = s.Confirmed == nil && s.Trial == nil && len(left) == 0
	if stored, err := f.generations.Stored(); err == nil {
		out.Boot = stored.Number
	}
	return out, nil
}

// Rules is the nft text that a policy stands for, for people to read.
func Rules(p *policy.Policy) string {
	return p.Ruleset().Render(ruleset.Options{}).String()
}
