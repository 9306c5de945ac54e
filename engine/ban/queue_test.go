package ban

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/nft"
)

// run starts Run and returns a function that ends it and waits.
func run(t testing.TB, b *Book) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// host returns the ith address of 198.18.0.0/15, which RFC 2544 sets aside for benchmarks.
func host(i int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{198, byte(18 + i>>16), byte(i >> 8), byte(i)}), 32)
}

// TestSubmit: thousands at once, none lost.
func TestSubmit(t *testing.T) {
	const n = 10_000
	var latencies []time.Duration
	booked := 0
	b := open(t, Config{
		Observe: func(d time.Duration) { latencies = append(latencies, d) },
		Booked:  func(Ban) { booked++ },
	})
	stop := run(t, b)
	var submitters sync.WaitGroup
	for g := range 4 {
		submitters.Go(func() {
			for i := g; i < n; i += 4 {
				r := Request{Target: host(i), Times: []time.Duration{time.Hour}, By: "flood", Packet: time.Now()}
				if !b.Submit(r) {
					t.Errorf("request %d was dropped", i)
				}
			}
		})
	}
	submitters.Wait()
	stop() // carries out what is queued
	elements, err := b.nft.Elements(core(), "banned4")
	must(t, err)
	if len(elements) != n || booked != n || len(latencies) != n {
		t.Errorf("%d elements, %d booked, %d latencies; want %d", len(elements), booked, len(latencies), n)
	}
	s := b.Stats()
	if s.Banned[Author{"flood", Local}] != n || s.InForce[Kind{IPv4, Local}] != n || s.Queued != 0 {
		t.Errorf("stats = %+v", s)
	}
}

// TestSubmitMixed: prefixes, hosts and IPv6 in one batch.
func TestSubmitMixed(t *testing.T) {
	b := open(t, Config{})
	for _, r := range []Request{
		ask("192.0.2.1", time.Hour), ask("198.51.100.0/24", time.Hour), ask("198.51.100.64/26", 2*time.Hour),
		ask("2001:db8:0:1::/64", time.Hour), ask("192.0.2.1", 3*time.Hour), ask("203.0.113.1", time.Hour),
	} {
		if !b.Submit(r) {
			t.Errorf("%s was dropped", r.Target)
		}
	}
	b.Flush(t.Context())
	wantBans(t, b, local("192.0.2.1", 3*time.Hour), local("198.51.100.0/24", time.Hour), local("198.51.100.64/26", 2*time.Hour),
		local("203.0.113.1", time.Hour), local("2001:db8:0:1::/64", time.Hour))
	if n := b.offences.count(targetOf(prefix("192.0.2.1")), b.clock()); n != 1 {
		t.Errorf("a longer ban while banned makes %d offences, want 1", n)
	}
}

// TestSubmitOverOthers: what somebody put into the kernel behind the book's back is replaced, and costs the bans beside it nothing.
func TestSubmitOverOthers(t *testing.T) {
	b := open(t, Config{Failed: func(r Request, err error) { t.Errorf("%s failed: %v", r.Target, err) }})
	stop := run(t, b)
	eventually(t, b.adopted.Load)
	command(t, `add element inet moonlatch banned4 { 192.0.2.2 timeout 30m comment "theirs" }`)
	for _, p := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		b.Submit(ask(p, time.Hour))
	}
	stop()
	wantBans(t, b, local("192.0.2.1", time.Hour), local("192.0.2.2", time.Hour), local("192.0.2.3", time.Hour))
	if s := b.Stats(); s.Retries != 0 || s.InForce[Kind{IPv4, Local}] != 3 {
		t.Errorf("stats = %+v", s)
	}
}

func TestSubmitSuppresses(t *testing.T) {
	b := open(t, Config{})
	for range 3 {
		if !b.Submit(ask("192.0.2.1", time.Hour)) {
			t.Error("a request that is queued already counts as failed")
		}
	}
	if got := b.Stats().Queued; got != 1 {
		t.Errorf("queued %d, want 1", got)
	}
	b.Flush(t.Context())
	if !b.Submit(ask("192.0.2.1", time.Hour)) || b.Stats().Queued != 0 {
		t.Error("a target that is banned already was queued")
	}
	if !b.Submit(ask("192.0.2.1", 2*time.Hour)) || b.Stats().Queued != 1 {
		t.Error("a longer ban was not queued")
	}
	if got := b.Stats().Suppressed[SuppressedDuplicate]; got != 3 {
		t.Errorf("counted %d duplicates, want 3", got)
	}
}

func TestQueueFull(t *testing.T) {
	b := open(t, Config{})
	for i := range queueSize {
		if !b.Submit(Request{Target: host(i), Times: []time.Duration{time.Hour}}) {
			t.Fatalf("request %d was dropped", i)
		}
	}
	if b.Submit(ask("192.0.2.1", time.Hour)) {
		t.Error("there was room for one more")
	}
	if got := b.Stats().Suppressed[SuppressedQueueFull]; got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
	<-b.queue
	if !b.Submit(ask("192.0.2.1", time.Hour)) || b.Stats().Queued != queueSize {
		t.Error("a request that had found the queue full is not taken again")
	}
}

// TestSetFull: those that fit are banned, the others are reported, and it goes on when there is room.
func TestSetFull(t *testing.T) {
	const size = 64
	c := connect(t)
	must(t, c.Run(t.Context(), []byte(script(size))))
	failed := 0
	b := open(t, Config{NFT: c, Failed: func(_ Request, err error) {
		if !errors.Is(err, nft.ErrFull) {
			t.Errorf("failed with %v", err)
		}
		failed++
	}})
	for i := range 100 {
		b.Submit(Request{Target: host(i), Times: []time.Duration{time.Hour}, By: "flood"})
	}
	b.Flush(t.Context())
	if got := len(listBans(t, b)); got != size || failed != 100-size {
		t.Errorf("%d banned and %d failed, want %d and %d", got, failed, size, 100-size)
	}
	if s := b.Stats(); s.Suppressed[SuppressedSetFull] != 100-size || s.Retries != 0 {
		t.Errorf("counted %d after %d retries, want %d after none", s.Suppressed[SuppressedSetFull], s.Retries, 100-size)
	}
	_, err := b.Ban(t.Context(), ask("192.0.2.1", time.Hour))
	if !errors.Is(err, nft.ErrFull) || !strings.Contains(err.Error(), "ban 192.0.2.1") {
		t.Errorf("got %v, want ErrFull with the address", err)
	}
	mustBan(t, b, Request{Target: host(0), Times: []time.Duration{2 * time.Hour}}) // a longer ban needs no more room
	must(t, b.Unban(t.Context(), host(1)))
	mustBan(t, b, ask("192.0.2.1", time.Hour))
}

// TestTooBig: what is too large for one transaction goes in several. In a user namespace the limit is some megabytes.
func TestTooBig(t *testing.T) {
	const n = 1 << 16
	b := open(t, Config{})
	long := note{by: "flood", why: strings.Repeat("x", 100), origin: Local}
	var c change
	for i := range n {
		c.put = append(c.put, held{targetOf(host(i)), long, b.clock() + time.Hour})
	}
	must(t, b.writeBy(t.Context(), c, n))
	count, err := b.size()
	must(t, err)
	if count != n || b.Stats().InForce[Kind{IPv4, Local}] != n {
		t.Errorf("the kernel holds %d, want %d: %+v", count, n, b.Stats().InForce)
	}
}

// TestRetry: a refusal that may pass is tried again for a while, and then reported.
func TestRetry(t *testing.T) {
	var failure error
	b := open(t, Config{Failed: func(_ Request, err error) { failure = err }})
	must(t, b.nft.Close())
	b.Submit(ask("192.0.2.1", time.Hour))
	b.Flush(t.Context())
	if failure == nil || b.Stats().Retries != 3 || b.Stats().Suppressed[SuppressedKernel] != 1 {
		t.Errorf("failed with %v after %d retries: %+v", failure, b.Stats().Retries, b.Stats())
	}
	if !b.Submit(ask("192.0.2.1", time.Hour)) || b.Stats().Queued != 1 {
		t.Error("what failed is not taken again")
	}
}

// TestRetrySucceeds: what passes is waited for, and then each ban is in force and called so once.
func TestRetrySucceeds(t *testing.T) {
	client := connect(t)
	booked := make(chan Ban, 10)
	b := open(t, Config{NFT: client, Booked: func(ban Ban) { booked <- ban }, Failed: func(r Request, err error) { t.Errorf("%s failed: %v", r.Target, err) }})
	stop := run(t, b)
	// Somebody has a set of another kind in the place of ours, for a moment.
	command(t, "delete table inet moonlatch; add table inet moonlatch; add set inet moonlatch banned4 { type ipv4_addr; flags interval; }")
	for _, p := range []string{"192.0.2.1", "192.0.2.2"} {
		b.Submit(ask(p, time.Hour))
	}
	eventually(t, func() bool { return b.Stats().Retries > 0 })
	if len(booked) > 0 {
		t.Error("a ban was called in force before the kernel had taken it")
	}
	command(t, "delete table inet moonlatch")
	stop()
	wantBans(t, b, local("192.0.2.1", time.Hour), local("192.0.2.2", time.Hour))
	if len(booked) != 2 {
		t.Errorf("%d bans were called in force, want 2", len(booked))
	}
}

func TestWhatMayPass(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{unix.ENOBUFS, true},
		{unix.ENOMEM, true},
		{unix.EINTR, true},
		{nft.ErrBusy, true},
		{nft.ErrInterrupted, true},
		{nft.ErrFull, false},
		{nft.ErrPermission, false},
		{nft.ErrUnsupported, false},
		{ErrProtected, false},
		{ErrDuplicate, false},
		{ErrTrialOver, false},
		{nil, false},
	} {
		err := tt.err
		if err != nil {
			err = fmt.Errorf("write bans: %w", err)
		}
		if got := mayPass(err); got != tt.want {
			t.Errorf("%v: tried again %t, want %t", tt.err, got, tt.want)
		}
	}
}

func TestStatsIsASnapshot(t *testing.T) {
	b := open(t, Config{})
	s := b.Stats()
	s.Suppressed[SuppressedProtected], s.Unbanned[UnbannedTrial], s.Banned[Author{"x", Local}] = 1, 1, 1
	now := b.Stats()
	if now.Suppressed[SuppressedProtected] != 0 || now.Unbanned[UnbannedTrial] != 0 || len(now.Banned) != 0 {
		t.Errorf("the caller changed the figures: %+v", now)
	}
	if len(now.Suppressed) != 10 || len(now.Unbanned) != 5 || len(now.InForce) != 4 {
		t.Errorf("figures are missing before they count anything: %+v", now)
	}
}

// BenchmarkBan is the way of one ban to the kernel and back, as when Run is idle.
func BenchmarkBan(b *testing.B) {
	book := open(b, Config{})
	i := 0
	for b.Loop() {
		r := Request{Target: host(i), Times: []time.Duration{time.Hour}, By: "bench"}
		if _, err := book.Ban(context.Background(), r); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

// BenchmarkSubmit is a flood of bans through Run.
func BenchmarkSubmit(b *testing.B) {
	book := open(b, Config{})
	stop := run(b, book)
	i := 0
	for b.Loop() {
		r := Request{Target: host(i), Times: []time.Duration{time.Hour}, By: "bench"}
		for !book.Submit(r) {
			time.Sleep(time.Millisecond)
		}
		i++
	}
	stop()
}

// BenchmarkSubmitDuplicate is what a banned source costs the packet path.
func BenchmarkSubmitDuplicate(b *testing.B) {
	book := open(b, Config{})
	r := ask("192.0.2.1", time.Hour)
	mustBan(b, book, r)
	b.ReportAllocs()
	for b.Loop() {
		if !book.Submit(r) {
			b.Fatal("dropped")
		}
	}
}
