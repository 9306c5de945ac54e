package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/detect"
	"moonlatch/engine/feed"
	"moonlatch/engine/packet"
	"moonlatch/engine/store"
	"moonlatch/nflog"
)

// reader takes packet events from the kernel to detectors, bans and the
// queue of callbacks. Its one goroutine waits for nothing but the kernel.
type reader struct {
	nflog   *nflog.Reader
	running *atomic.Pointer[runtime]
	bans    *ban.Book
	queue   *queue
	links   *links // the names of interfaces; may be nil without a feed
	teller
	witness witness
	tap     atomic.Pointer[tap] // nil while nobody listens

	pulse     *pulse
	packet    packet.Packet // reused for every event
	observed  store.Event   // likewise
	undecoded atomic.Uint64 // events whose IP packet could not be decoded
	unrouted  atomic.Uint64 // events of no rule of the running policy
	unbooked  atomic.Uint64 // bans that found the ban queue full
}

func (r *reader) String() string { return "nflog reader" }

func (r *reader) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { r.nflog.Close() })
	defer stop()
	for {
		r.pulse.beat()
		err := r.nflog.Read(r.event)
		if errors.Is(err, net.ErrClosed) && ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read packet events: %w", err)
		}
	}
}

func (r *reader) event(ev *nflog.Event) {
	if t := r.tap.Load(); t != nil {
		t.put(ev)
	}
	rt := r.running.Load()
	if rt == nil {
		r.unrouted.Add(1)
		return
	}
	to := rt.routes[string(ev.Prefix)] // no allocation: the compiler sees a look-up only
	if to == nil {
		r.unrouted.Add(1)
		return
	}
	p := &r.packet
	metadata(p, ev)
	if err := p.Decode(ev.HWProtocol, ev.Payload); err != nil && !errors.Is(err, packet.ErrNotIP) {
		r.undecoded.Add(1)
	}
	if r.feed != nil {
		r.feed.Event(&to.source, r.links.name(p.Iif), r.links.name(p.Oif), p)
	}
	r.record(to, p)
	if to.Trap > 0 {
		r.trapped(to, p)
	}
	for _, d := range to.detectors {
		if hit := d.state.Observe(p); hit != nil {
			r.hit(rt, d, hit, p.Time)
		}
	}
	for _, h := range to.handlers {
		if h.Match(p) {
			r.queue.put(func(c *callback) { c.event(rt, h, to.Rule.Name, p) })
		}
	}
}

// record has the history count a packet.
func (r *reader) record(to *route, p *packet.Packet) {
	r.observed = store.Event{
		Time: p.Time, Stream: to.source.Stream, Rule: to.Rule.Name, Src: p.Src, Dst: p.Dst, Proto: p.Proto, Sport: p.Sport, Dport: p.Dport,
	}
	r.history.observe(&r.observed)
}

// metadata copies what NFLOG says about a packet.
func metadata(p *packet.Packet, ev *nflog.Event) {
	p.Time, p.Hook, p.Mark = ev.Time, ev.Hook, ev.Mark
	if p.Time.IsZero() {
		p.Time = time.Now() // the kernel takes no timestamps on its way out
	}
	p.Iif, p.Oif = ev.InDev, ev.OutDev
	p.UID, p.GID, p.HasOwner = ev.UID, ev.GID, ev.HasUID
	p.MAC, p.HasMAC = [6]byte{}, len(ev.HWAddr) == len(p.MAC)
	if p.HasMAC {
		p.MAC = [6]byte(ev.HWAddr)
	}
}

// witness hears what the reader decides. Its functions may be nil.
type witness struct {
	found   func(*detector, *detect.Hit)
	refused func(ban.Request) // a ban of somebody who is protected
}

// hit acts on a detector's finding.
func (r *reader) hit(rt *runtime, d *detector, hit *detect.Hit, when time.Time) {
	if r.witness.found != nil {
		r.witness.found(d, hit)
	}
	switch {
	case d.Shadow:
		r.tell(feed.Item{Kind: feed.KindWouldBan, Ban: &feed.Ban{
			Target: feed.Target{Prefix: sourceTarget(r.bans, hit.Src)}, By: d.Name, Why: hit.Why(), Evidence: evidence(hit).String(), Origin: string(ban.Local),
		}})
	case len(d.Ban) > 0:
		r.submit(ban.Request{
			Target: sourceTarget(r.bans, hit.Src), Times: d.Ban, Why: hit.Why(), By: d.Name, Origin: ban.Local, Packet: when, Evidence: evidence(hit),
			SpareConnected: d.SpareConnected, Cut: d.Kill,
		})
	}
	if d.Action != nil {
		r.queue.put(func(c *callback) { c.finding(rt, d.Detector, hit) })
	}
}

// trapped books a ban that the kernel has made already.
func (r *reader) trapped(to *route, p *packet.Packet) {
	if !p.Src.IsValid() {
		return
	}
	req := to.trap
	req.Target, req.Packet = sourceTarget(r.bans, source(p.Src)), p.Time
	r.submit(req)
}

// evidence is what a ban remembers of a detector's finding.
func evidence(h *detect.Hit) *ban.Evidence {
	return &ban.Evidence{Count: h.Count, Of: h.Of.Noun(), First: h.First, Last: h.Last, Ports: h.Ports, Addrs: h.Addrs}
}

func (r *reader) submit(req ban.Request) {
	if r.bans.Submit(req) {
		return
	}
	r.unbooked.Add(1)
	if r.witness.refused != nil && r.bans.Protects(req.Target) {
		r.witness.refused(req)
	}
}
