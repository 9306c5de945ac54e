package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns"
)

func expiryRows() []row {
	const anchor = "how much of that may be the client's own delay"
	return []row{
		{ID: "expiry.p50", What: "trial ends, all processes killed or stopped: too late by, p50", Unit: milliseconds, Anchor: anchor, Max: most(50)},
		{ID: "expiry.p99", What: "  … p99", Unit: milliseconds, Anchor: anchor, Max: most(50)},
		{ID: "expiry.max", What: "  … at most", Unit: milliseconds, Anchor: anchor, Max: most(50)},
	}
}

const openPolicy = `local fw = require "moonlatch"
fw.chain "input" { hook = "input", policy = "accept" }
`

const closedPolicy = `local fw = require "moonlatch"
fw.chain "input" { hook = "input", policy = "drop" }
`

const (
	beatEvery = time.Millisecond
	beatPort  = 9
	atOnce    = 10 // trials at the same time
)

// measureExpiry has servers, each in a namespace of its own, lock everybody out on
// trial, kills all of Moonlatch there, or stops it every other time, and waits. A client sends to each server
// all the time. When the trial began and ended is told by what arrives.
func measureExpiry(ctx context.Context, b *bench) error {
	var mu sync.Mutex
	var late pair
	var errs []error
	var all sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	for i := range b.size.trials {
		all.Go(func() {
			turns <- struct{}{}
			l, doubt, err := trial(ctx, b, i)
			<-turns
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("trial %d: %w", i, err))
				return
			}
			late.add(ms(l), ms(doubt))
		})
	}
	all.Wait()
	if len(late.ours) == 0 {
		return errors.Join(errs...)
	}
	note := fmt.Sprintf("%d trials of %s, a packet every %s", len(late.ours), b.size.trial, beatEvery)
	if len(errs) > 0 {
		note += fmt.Sprintf("; %d failed: %v", len(errs), errs[0])
	}
	for name, q := range map[string]float64{"p50": 0.5, "p99": 0.99, "max": 1} {
		f := late.at(q)
		if name == "p50" {
			f.Note = note
		}
		b.find("expiry."+name, f)
	}
	return nil
}

// trial returns how much longer than agreed a trial kept everybody out, at most, and
// how much of that is only because the client did not try more often.
func trial(ctx context.Context, b *bench, n int) (late, doubt time.Duration, err error) {
	server, err := netns.New()
	if err != nil {
		return 0, 0, err
	}
	defer server.Close()
	h, err := newHeart(server, n)
	if err != nil {
		return 0, 0, err
	}
	defer h.stop()
	p, err := b.program(fmt.Sprint("server", n), server)
	if err != nil {
		return 0, 0, err
	}
	if err := lockOut(ctx, b, p); err != nil {
		return 0, 0, err
	}
	defer p.kill()
	if n%2 == 0 {
		err = p.kill()
	} else {
		err = p.daemon.Process.Signal(unix.SIGSTOP)
	}
	if err != nil {
		return 0, 0, err
	}
	select {
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	case <-time.After(b.size.trial + time.Second):
	}
	h.stop()
	closed, doubt := h.longestGap()
	if closed < b.size.trial/2 {
		return 0, 0, fmt.Errorf("the way was never closed for longer than %s", closed)
	}
	return closed - b.size.trial, doubt, nil
}

// lockOut confirms a policy, and puts one on trial that lets nothing in.
func lockOut(ctx context.Context, b *bench, p *program) error {
	if err := p.start(ctx); err != nil {
		return err
	}
	err := p.confirm(ctx, "open.lua", []byte(openPolicy))
	if err == nil {
		err = os.WriteFile(filepath.Join(p.folder, "closed.lua"), []byte(closedPolicy), 0o600)
	}
	if err == nil {
		err = p.run(ctx, "apply", "closed.lua", "--confirm", b.size.trial.String())
	}
	if err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

// heart sends packets from this namespace to a server at a steady beat, and notes when they arrive.
type heart struct {
	from  net.Conn
	to    *net.UDPConn
	ended sync.WaitGroup
	once  sync.Once
	done  chan struct{}

	// What follows belongs to the goroutines until they have ended.
	sent    []time.Time // of the packet of each number
	arrived []arrival
}

// arrival is when a packet arrived.
type arrival struct {
	number int
	at     time.Time
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

// beat sends packets, from a thread that goes before all others if that is
// allowed: it needs little, and each of its delays would look like a late kernel.
func (h *heart) beat() {
	runtime.LockOSThread() // and never unlocks: the thread ends with its priority
	fifo := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
	unix.SchedSetAttr(0, &fifo, 0)
	wait := unix.NsecToTimespec(int64(beatEvery))
	for {
		select {
		case <-h.done:
			return
		default:
			number := be32(uint32(len(h.sent)))
			h.sent = append(h.sent, time.Now())
			h.from.Write(number) // what is refused does not arrive
			unix.Nanosleep(&wait, nil)
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
	packet, control := make([]byte, 4), make([]byte, 128)
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
		if at, ok := received(control[:n]); ok {
			h.arrived = append(h.arrived, arrival{int(binary.BigEndian.Uint32(packet)), at})
		}
	}
}

// received finds the kernel's timestamp in a packet's control messages.
func received(control []byte) (time.Time, bool) {
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

// longestGap is the longest time in which nothing arrived. The way was closed for
// no longer, and for no less than the time from the first to the last packet that
// was lost in it: doubt is what lies between the two.
func (h *heart) longestGap() (gap, doubt time.Duration) {
	for i := 1; i < len(h.arrived); i++ {
		before, after := h.arrived[i-1], h.arrived[i]
		if g := after.at.Sub(before.at); g > gap {
			gap, doubt = g, g
			if after.number-before.number > 1 {
				doubt = g - h.sent[after.number-1].Sub(h.sent[before.number+1])
			}
		}
	}
	return gap, doubt
}
