package main

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"time"

	"moonlatch/engine/packet"
	"moonlatch/nflog"
)

func nflogRows() []row {
	return []row{
		{ID: "nflog.read", What: "NFLOG in batches: receive, decode; CPU per event", Unit: nanoseconds, Anchor: "a raw recv loop on the same packets", MaxRatio: 2},
		{ID: "nflog.packet", What: "  … and the packet's headers", Unit: nanoseconds, Anchor: "the same loop"},
	}
}

// The groups of the three readers, and how the kernel batches for each.
const (
	groupRaw, groupReader, groupPacket = 81, 82, 83

	batchThreshold = 1000
	receiveBuffer  = 64 << 20
)

// logThrice logs each packet to every group, so that all readers get the same.
const logThrice = `table inet bench {
	chain input {
		type filter hook input priority 0; policy accept;
		udp dport 9 jump thrice
	}
	chain thrice {
		log prefix "stream:rule" group 81
		log prefix "stream:rule" group 82
		log prefix "stream:rule" group 83
		drop
	}
}
`

// measureNFLOG fills the receive buffers and empties them, again and again: what
// the kernel needs for logging stays outside. The readers take turns.
func measureNFLOG(ctx context.Context, b *bench) error {
	d := drained{bytes: make([]byte, 60)}
	if err := d.open(ctx); err != nil {
		return err
	}
	defer d.close()
	fill := min(20_000, b.size.events)
	for left := b.size.events; left > 0 && ctx.Err() == nil; left -= fill {
		if err := d.round(fill); err != nil {
			return err
		}
	}
	f := d.read.at(0.5)
	f.Note = fmt.Sprintf("%d events", d.events)
	b.find("nflog.read", f)
	b.find("nflog.packet", d.packet.at(0.5))
	return nil
}

// drained is the readers and what each needed.
type drained struct {
	raw          *rawNFLOG
	plain        *nflog.Reader
	decoding     *nflog.Reader
	conn         net.Conn
	bytes        []byte
	read, packet pair
	events       int
}

func (d *drained) open(ctx context.Context) (err error) {
	if err := nftRun(ctx, logThrice); err != nil {
		return err
	}
	if d.raw, err = openRawNFLOG(groupRaw, batchThreshold, receiveBuffer); err != nil {
		return err
	}
	for group, to := range map[uint16]**nflog.Reader{groupReader: &d.plain, groupPacket: &d.decoding} {
		r, err := nflog.Open(nflog.Config{Group: group, QueueThreshold: batchThreshold, ReceiveBuffer: receiveBuffer})
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { r.Close() }) // a packet that is missing would be waited for
		*to = r
	}
	d.conn, err = net.Dial("udp4", "127.0.0.1:9")
	return err
}

func (d *drained) close() {
	d.raw.close()
	d.plain.Close()
	d.decoding.Close()
	d.conn.Close()
}

// round lets each reader read the same n packets, or fewer where the buffers are too small.
func (d *drained) round(n int) error {
	for i := range n {
		if _, err := d.conn.Write(d.bytes); err != nil {
			return fmt.Errorf("packet %d: %w", i, err)
		}
	}
	time.Sleep(30 * time.Millisecond) // the last batch waits for the kernel's flush timer
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start := threadTime()
	events, payload, err := d.raw.drain()
	raw := float64(threadTime() - start)
	if err != nil || events == 0 || payload == 0 {
		return fmt.Errorf("the raw reader got %d events: %w", events, err)
	}
	read, err := readEvents(d.plain, events, func(*nflog.Event) {})
	if err != nil {
		return err
	}
	var p packet.Packet
	decoded, err := readEvents(d.decoding, events, func(e *nflog.Event) { err = p.Decode(e.HWProtocol, e.Payload) })
	if err != nil {
		return err
	}
	perEvent := func(d float64) float64 { return d / float64(events) }
	d.read.add(perEvent(read), perEvent(raw))
	d.packet.add(perEvent(decoded), perEvent(raw))
	d.events += events
	return nil
}

// readEvents reads n events and returns the CPU time of that.
func readEvents(r *nflog.Reader, n int, handle func(*nflog.Event)) (float64, error) {
	seen := 0
	start := threadTime()
	for seen < n {
		if err := r.Read(func(e *nflog.Event) { seen++; handle(e) }); err != nil {
			return 0, err
		}
	}
	return float64(threadTime() - start), nil
}
