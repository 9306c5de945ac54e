package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

func expiryRows() []row {
	return []row{
		{ID: "expiry.p50", What: "trial ends, all processes killed: too late by, p50", Unit: milliseconds, Max: most(50)},
		{ID: "expiry.p99", What: "  … p99", Unit: milliseconds, Max: most(50)},
		{ID: "expiry.max", What: "  … at most", Unit: milliseconds, Max: most(50)},
	}
}

const openPolicy = `local fw = require "moonlatch"
fw.chain "input" { hook = "input", policy = "accept" }
`

const closedPolicy = `local fw = require "moonlatch"
fw.chain "input" { hook = "input", policy = "drop" }
`

const (
	beatEvery = 2 * time.Millisecond
	beatPort  = 9
	setUps    = 4 // trials that are set up at the same time
)

// measureExpiry has servers, each in a namespace of its own, lock everybody out on
// trial, kills all of Moonlatch there and waits. A client sends to each server
// all the time. When the trial began and ended is told by what arrives.
func measureExpiry(ctx context.Context, b *bench) error {
	var mu sync.Mutex
	var late []float64
	var errs []error
	var all sync.WaitGroup
	turns := make(chan struct{}, setUps)
	for i := range b.size.trials {
		all.Go(func() {
			l, err := trial(ctx, b, i, turns)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("trial %d: %w", i, err))
				return
			}
			late = append(late, ms(l))
		})
	}
	all.Wait()
	if len(late) == 0 {
		return errors.Join(errs...)
	}
	note := fmt.Sprintf("%d trials of %s, a packet every %s", len(late), b.size.trial, beatEvery)
	if len(errs) > 0 {
		note += fmt.Sprintf("; %d failed: %v", len(errs), errs[0])
	}
	b.find("expiry.p50", finding{Measured: quantile(late, 0.5), Samples: len(late), Note: note})
	b.find("expiry.p99", finding{Measured: quantile(late, 0.99), Samples: len(late)})
	b.find("expiry.max", finding{Measured: quantile(late, 1), Samples: len(late)})
	return nil
}

// trial returns how much longer than agreed a trial kept everybody out, at most:
// it counts from the last packet that arrived before it to the first one after it.
func trial(ctx context.Context, b *bench, n int, turns chan struct{}) (time.Duration, error) {
	server, err := netns.New()
	if err != nil {
		return 0, err
	}
	defer server.Close()
	h, err := newHeart(server, n)
	if err != nil {
		return 0, err
	}
	defer h.stop()
	turns <- struct{}{}
	err = lockOut(ctx, b, server, n)
	<-turns
	if err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(b.size.trial + time.Second):
	}
	h.stop()
	gap := h.longestGap()
	if gap < b.size.trial/2 {
		return 0, fmt.Errorf("the way was never closed for longer than %s", gap)
	}
	if gap > b.size.trial+900*time.Millisecond {
		return 0, fmt.Errorf("the way was still closed %s after a trial of %s", gap-b.size.trial, b.size.trial)
	}
	return gap - b.size.trial, nil
}

// lockOut confirms a policy, puts one on trial that lets nothing in, and kills the daemon.
func lockOut(ctx context.Context, b *bench, server *netns.Namespace, n int) error {
	p, err := b.program(fmt.Sprint("server", n), server)
	if err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	err = p.confirm(ctx, "open.lua", []byte(openPolicy))
	if err == nil {
		err = os.WriteFile(filepath.Join(p.folder, "closed.lua"), []byte(closedPolicy), 0o600)
	}
	if err == nil {
		err = p.run(ctx, "apply", "closed.lua", "--confirm", b.size.trial.String())
	}
	return errors.Join(err, p.kill())
}

// heart sends packets from this namespace to a server at a steady beat, and notes when they arrive.
type heart struct {
	from    net.Conn
	to      *net.UDPConn
	ended   sync.WaitGroup
	once    sync.Once
	done    chan struct{}
	arrived []time.Time // belongs to the receiver until it has ended
}

func newHeart(server *netns.Namespace, n int) (*heart, error) {
	here, err := netns.Current()
	if err != nil {
		return nil, err
	}
	defer here.Close()
	cable, addr := fmt.Sprint("cable", n), fmt.Sprintf("10.1.%d.1", n)
	err = netns.Veth(here, cable, server, "eth0")
	if err == nil {
		err = errors.Join(here.AddAddr(cable, fmt.Sprintf("10.1.%d.2/24", n)), server.AddAddr("eth0", addr+"/24"))
	}
	if err != nil {
		return nil, err
	}
	h := &heart{done: make(chan struct{})}
	err = server.Do(func() (err error) {
		h.to, err = net.ListenUDP("udp4", &net.UDPAddr{Port: beatPort})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := timestamps(h.to); err != nil {
		return nil, err
	}
	if h.from, err = net.Dial("udp4", net.JoinHostPort(addr, fmt.Sprint(beatPort))); err != nil {
		return nil, err
	}
	h.ended.Go(h.beat)
	h.ended.Go(h.listen)
	return h, nil
}

func (h *heart) stop() {
	h.once.Do(func() {
		close(h.done)
		h.ended.Wait()
		h.from.Close()
		h.to.Close()
	})
}

// beat sends packets.
func (h *heart) beat() {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-h.done:
			return
		case <-tick.C:
			h.from.Write([]byte("beat")) // what is refused does not arrive
		}
	}
}

// timestamps asks the kernel to note when packets arrive: this process may look for them later.
func timestamps(c *net.UDPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var optErr error
	err = raw.Control(func(fd uintptr) {
		optErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
	})
	return errors.Join(err, optErr)
}

// listen notes when packets arrive.
func (h *heart) listen() {
	packet, control := make([]byte, 64), make([]byte, 128)
	for {
		select {
		case <-h.done:
			return
		default:
		}
		h.to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, n, _, _, err := h.to.ReadMsgUDP(packet, control)
		if err != nil {
			continue // nothing came
		}
		if at, ok := arrival(control[:n]); ok {
			h.arrived = append(h.arrived, at)
		}
	}
}

// arrival finds the kernel's timestamp in a packet's control messages.
func arrival(control []byte) (time.Time, bool) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return time.Time{}, false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) == 16 {
			return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:]))), true
		}
	}
	return time.Time{}, false
}

// longestGap is the longest time in which nothing arrived.
func (h *heart) longestGap() (gap time.Duration) {
	for i := 1; i < len(h.arrived); i++ {
		gap = max(gap, h.arrived[i].Sub(h.arrived[i-1]))
	}
	return gap
}
