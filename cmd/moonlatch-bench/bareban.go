package main

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A bareBanner does what the daemon does with a scan, with nothing around it:
// receive a packet, count, add an element. What it needs on this machine, at this
// moment, is the least that anything could need. It has every source whose
// address is odd; the daemon never sees those.
type bareBanner struct {
	raw    *rawNFLOG
	fd     int // for elements
	ended  sync.WaitGroup
	end    context.CancelFunc
	took   chan time.Duration // of each ban, from the deciding packet's timestamp to the acknowledgement
	failed chan error         // why it ended early
}

const bareBans = `table inet bare {
	set held { type ipv4_addr; flags timeout; size 65536; }
	chain early { type filter hook prerouting priority raw - 10; ip saddr @held drop; }
	chain input { type filter hook input priority -10; iifname "bench0" ip saddr & 0.0.0.1 == 0.0.0.1 tcp flags syn log prefix "closed:closed" group 84 drop; }
}
`

const groupBare = 84

func newBareBanner(ctx context.Context) (*bareBanner, error) {
	if err := nftRun(ctx, bareBans); err != nil {
		return nil, err
	}
	raw, err := openRawNFLOG(groupBare, 1, 8<<20)
	if err != nil {
		return nil, err
	}
	// It looks up now and then whether it is to end.
	patience := unix.Timeval{Usec: 100_000}
	if err := unix.SetsockoptTimeval(raw.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &patience); err != nil {
		raw.close()
		return nil, err
	}
	fd, err := netlinkSocket(1 << 20)
	if err != nil {
		raw.close()
		return nil, err
	}
	b := &bareBanner{raw: raw, fd: fd, took: make(chan time.Duration, 1), failed: make(chan error, 1)}
	ctx, b.end = context.WithCancel(ctx)
	b.ended.Go(func() {
		if err := b.run(ctx); err != nil {
			b.failed <- err
		}
	})
	return b, nil
}

func (b *bareBanner) close() {
	b.end()
	b.ended.Wait()
	b.raw.close()
	unix.Close(b.fd)
}

func (b *bareBanner) run(ctx context.Context) error {
	p := bareSet{timeout: time.Hour, comment: "portscan: 11 ports in 10ms"}.pattern()
	seen := map[uint32]int{}
	for ctx.Err() == nil {
		at, packet, err := b.raw.next()
		if err != nil {
			return err
		}
		if packet == nil {
			continue
		}
		source := binary.BigEndian.Uint32(packet[12:])
		seen[source]++
		if seen[source] != deciding {
			continue
		}
		m, _ := p.transaction(nil, wantTransaction, 1, func(int) uint32 { return source })
		if err := exchange(b.fd, m); err != nil {
			return err
		}
		b.took <- time.Since(at)
	}
	return nil
}
