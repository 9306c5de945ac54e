package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/template"
	"time"

	"moonlatch/engine/feed"
	"moonlatch/engine/ruleset"
)

// queueSize is how many messages wait for one target.
const queueSize = 64

// attempts is how often a message is tried, and firstPause after how long for the second time; it doubles. Together
// that is four minutes: a policy that cuts the network off is rolled back by then.
const (
	attempts   = 9
	firstPause = time.Second
)

// target is somebody who is told. All but the counters and the queue belong to its own goroutine.
type target struct {
	name        string
	kinds       []feed.Kind
	most        int // messages in each
	per         time.Duration
	timeout     time.Duration
	title, body *template.Template
	to          sender
	queue       chan message

	sent, failed, retried, suppressed, dropped atomic.Uint64

	window time.Time // when the present one began; the dispatcher's, as are the next two
	count  int
	held   uint64 // suppressed since the last message
}

// said is what templates know.
type said struct {
	Host, Kind, Level, Message, Text string
	Suppressed                       uint64 // held back since the last message
	Item                             feed.Item
}

// Notifier tells the targets of a Config what happens.
type Notifier struct {
	*Config
	hub   *feed.Hub
	log   *slog.Logger
	host  string
	pause time.Duration
}

// New returns a Notifier. Nothing is sent before Run.
func New(c *Config, hub *feed.Hub, log *slog.Logger) *Notifier {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	return &Notifier{Config: c, hub: hub, log: log, host: host, pause: firstPause}
}

func (*Notifier) String() string { return "notifications" }

// Stats are the running totals of all targets.
func (n *Notifier) Stats() (out []feed.OutputStats) {
	for _, t := range n.targets {
		out = append(out, feed.OutputStats{
			Name: "notify " + t.name, Sent: t.sent.Load(), Failed: t.failed.Load(), Retried: t.retried.Load(),
			Suppressed: t.suppressed.Load(), Dropped: t.dropped.Load(),
		})
	}
	return out
}

// Run tells what happens from now on until ctx ends. A target that fails is no error of the daemon's.
func (n *Notifier) Run(ctx context.Context) error {
	s := n.hub.Subscribe(feed.Filter{Kinds: slices.DeleteFunc(feed.Kinds(), func(k feed.Kind) bool { return k == feed.KindEvent })}, feed.Now)
	defer s.Close()
	var running sync.WaitGroup
	defer running.Wait()
	for _, t := range n.targets {
		running.Go(func() { n.deliver(ctx, t) })
	}
	for {
		it, err := s.Next(ctx)
		if err != nil {
			return nil
		}
		for _, t := range n.targets {
			if t.wants(&it) {
				n.offer(t, &it, time.Now())
			}
		}
	}
}

// wants reports whether a target is to be told.
func (t *target) wants(it *feed.Item) bool {
	if it.Kind == feed.KindNotice && it.Notice.To != "" {
		return it.Notice.To == t.name
	}
	switch {
	case it.Fault != nil && !it.Fault.Off:
		return false // it may be all right the next time
	case it.Lease != nil && it.Lease.State != feed.LeaseOpen && it.Lease.State != feed.LeaseFilters:
		return false
	}
	return slices.Contains(t.kinds, it.Kind)
}

// offer queues a message for a target, unless that has had enough, or its queue is full.
func (n *Notifier) offer(t *target, it *feed.Item, now time.Time) {
	if now.Sub(t.window) >= t.per {
		t.window, t.count = now, 0
	}
	if t.count >= t.most {
		t.suppressed.Add(1)
		t.held++
		return
	}
	m, err := n.message(t, it)
	if err != nil {
		t.failed.Add(1)
		n.log.Error("a notification's template fails", "target", t.name, "error", err)
		return
	}
	select {
	case t.queue <- m:
		t.count++
		t.held = 0
	default:
		t.dropped.Add(1)
	}
}

// message is what a target is told of an item.
func (n *Notifier) message(t *target, it *feed.Item) (message, error) {
	level, line, _ := it.Line()
	text := it.Text()
	if it.Notice != nil && it.Notice.To != "" {
		text = told(it.Notice)
	}
	data := said{Host: n.host, Kind: string(it.Kind), Level: strings.ToLower(level.String()), Message: line, Text: text, Suppressed: t.held, Item: *it}
	var title, body strings.Builder
	if err := errors.Join(t.title.Execute(&title, data), t.body.Execute(&body, data)); err != nil {
		return message{}, err
	}
	if t.held > 0 {
		fmt.Fprintf(&body, "\n(%d more suppressed)", t.held)
	}
	return message{title.String(), body.String(), *it}, nil
}

// told is the text of a notice that somebody wrote to a target, and below it its fields.
func told(n *feed.Notice) string {
	var lines []string
	if n.Text != "" {
		lines = append(lines, strings.TrimSuffix(n.Text, "\n"))
	}
	for _, f := range n.Fields {
		lines = append(lines, f.Name+": "+f.Value)
	}
	return strings.Join(append(lines, "by: "+n.By), "\n")
}

// deliver sends what waits for a target, each message a few times.
func (n *Notifier) deliver(ctx context.Context, t *target) {
	for {
		select {
		case <-ctx.Done():
			return
		case m := <-t.queue:
			n.try(ctx, t, m)
		}
	}
}

func (n *Notifier) try(ctx context.Context, t *target, m message) {
	for i, pause := 1, n.pause; ; i, pause = i+1, 2*pause {
		err := t.send(ctx, m)
		switch {
		case err == nil:
			t.sent.Add(1)
			return
		case ctx.Err() != nil:
			return
		}
		t.failed.Add(1)
		if i == attempts || errors.Is(err, errPermanent) {
			t.dropped.Add(1)
			n.log.Error("a notification is given up", "target", t.name, "attempts", i, "error", err)
			return
		}
		t.retried.Add(1)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (t *target) send(ctx context.Context, m message) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	return t.to.send(ctx, m)
}

// Test sends one message to a target, now and once.
func (n *Notifier) Test(ctx context.Context, name string) error {
	i := slices.IndexFunc(n.targets, func(t *target) bool { return t.name == name })
	if i < 0 {
		return fmt.Errorf("no target is called %q%s: there are %s", name, ruleset.Suggest(name, n.Names()), strings.Join(n.Names(), ", "))
	}
	it := feed.Item{ID: uint64(time.Now().UnixMicro()), Time: time.Now(), Kind: feed.KindNotice, Notice: &feed.Notice{To: name, By: "moonlatch notify test", Title: "a test: notifications arrive here"}}
	m, err := n.message(n.targets[i], &it)
	if err != nil {
		return err
	}
	return n.targets[i].send(ctx, m)
}
