package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"moonlatch/engine/control"
	"moonlatch/engine/ruleset"
	"moonlatch/nflog"
)

// A tap's bounds: 6 MB, while there is one.
const (
	tapLimit = 4096
	tapBytes = ruleset.MaxSnaplen + 384 // the payload, a prefix and the small attributes
)

// linkNFLOG is LINKTYPE_NFLOG, which gopacket has no name for: https://www.tcpdump.org/linktypes.html
const linkNFLOG = layers.LinkType(239)

// tap copies packet events for somebody who listens. It never makes the packet path wait: when
// the listener is slow, the oldest are dropped and counted.
type tap struct {
	ready chan struct{}

	mu      sync.Mutex
	ring    [tapLimit]tapped
	first   int
	length  int
	dropped uint64
}

// tapped is one event as a capture of NFLOG holds it.
type tapped struct {
	at    time.Time
	n     int
	bytes [tapBytes]byte
}

// put copies an event into the ring. It allocates nothing.
func (t *tap) put(ev *nflog.Event) {
	t.mu.Lock()
	if t.length == tapLimit {
		t.first = (t.first + 1) % tapLimit
		t.length--
		t.dropped++
	}
	slot := &t.ring[(t.first+t.length)%tapLimit]
	if slot.fill(ev) {
		t.length++
	} else {
		t.dropped++
	}
	t.mu.Unlock()
	select {
	case t.ready <- struct{}{}:
	default:
	}
}

// fill reports false for an event that is larger than any of ours.
func (s *tapped) fill(ev *nflog.Event) bool {
	if len(ev.Prefix)+len(ev.Payload) > tapBytes-128 {
		return false
	}
	s.at = ev.Time
	b := append(s.bytes[:0], ev.Family, 0, byte(ruleset.Group>>8), byte(ruleset.Group&0xff)) // version 0, and the group
	s.n = len(ev.Append(b))
	return true
}

// drain writes what has come as records of a pcap file.
func (t *tap) drain(to *pcapgo.Writer, copied *[tapBytes]byte) error {
	for {
		t.mu.Lock()
		if t.length == 0 {
			t.mu.Unlock()
			return nil
		}
		slot := &t.ring[t.first]
		at, n := slot.at, copy(copied[:], slot.bytes[:slot.n])
		t.first = (t.first + 1) % tapLimit
		t.length--
		t.mu.Unlock()
		if at.IsZero() {
			at = time.Now()
		}
		if err := to.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: n, Length: n}, copied[:n]); err != nil {
			return err
		}
	}
}

// Tap implements control.Service: without a daemon nobody reads the packets.
func (f *Firewall) Tap(context.Context, time.Duration, io.Writer) (uint64, error) {
	return 0, &control.Error{Code: control.Unreachable, Message: "no daemon is running, and only it reads what the rules log: start moonlatch run first"}
}

// Tap implements control.Service.
func (d *Daemon) Tap(ctx context.Context, length time.Duration, w io.Writer) (uint64, error) {
	t := &tap{ready: make(chan struct{}, 1)}
	if !d.reader.tap.CompareAndSwap(nil, t) {
		return 0, &control.Error{Code: control.Busy, Message: "somebody listens to the logged packets already: there is one shadow at a time"}
	}
	defer d.reader.tap.Store(nil)
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var batch bytes.Buffer
	out := pcapgo.NewWriterNanos(&batch)
	if err := out.WriteFileHeader(1<<16, linkNFLOG); err != nil {
		return 0, fmt.Errorf("tap: %w", err)
	}
	copied := new([tapBytes]byte)
	for {
		if _, err := batch.WriteTo(w); err != nil {
			return t.lost(), fmt.Errorf("tap: %w", err)
		}
		over := false
		select {
		case <-ctx.Done():
			over = true
		case <-t.ready:
		}
		if err := t.drain(out, copied); err != nil {
			return t.lost(), fmt.Errorf("tap: %w", err)
		}
		if over {
			_, err := batch.WriteTo(w)
			return t.lost(), err
		}
	}
}

// lost is how many events were dropped.
func (t *tap) lost() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.dropped
}
