package generation

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// server is a host with a TCP service on two ports, and a client that tries
// them through the firewall.
type server struct {
	t    *testing.T
	host *netns.Namespace
	away *netns.Namespace
	dir  string
	m    *Manager
	nft  *nft.Client
	end  time.Time // of the trial that began last, at the earliest

	renewed atomic.Pointer[time.Time] // when the last renewal that is done began
}

func newServer(t *testing.T) *server {
	t.Parallel()
	return newHost(t)
}

func newHost(t *testing.T) *server {
	s := &server{t: t, host: netnstest.New(t), away: netnstest.New(t), dir: t.TempDir()}
	must(t, netns.Veth(s.host, "eth0", s.away, "eth0"))
	must(t, s.host.AddAddr("eth0", "192.0.2.1/24"))
	must(t, s.away.AddAddr("eth0", "192.0.2.2/24"))
	s.in(func() error {
		for _, addr := range []string{"192.0.2.1:22", "192.0.2.1:80"} {
			l, err := net.Listen("tcp", addr)
			must(t, err)
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					c.Close()
				}
			}()
		}
		return nil
	})
	s.open()
	return s
}

// open makes a new Manager on the same state, as another process would.
func (s *server) open() {
	s.t.Helper()
	s.in(func() error {
		c, err := nft.Open(nft.Config{})
		must(s.t, err)
		s.t.Cleanup(func() { c.Close() })
		s.nft = c
		s.m, err = Open(Config{NFT: c, Dir: s.dir})
		must(s.t, err)
		return nil
	})
}

// in runs fn in the host's namespace.
func (s *server) in(fn func() error) {
	s.t.Helper()
	must(s.t, s.host.Do(fn))
}

// reaches reports whether a new connection to the port succeeds.
func (s *server) reaches(port string) bool {
	ok := false
	s.away.Do(func() error {
		c, err := net.DialTimeout("tcp", "192.0.2.1:"+port, 150*time.Millisecond)
		if err == nil {
			c.Close()
			ok = true
		}
		return nil
	})
	return ok
}

// expect checks which ports a client reaches. One that it is to reach may take
// several attempts on a busy machine.
func (s *server) expect(when string, ssh, web bool) {
	s.t.Helper()
	for port, want := range map[string]bool{"22": ssh, "80": web} {
		got := s.reaches(port)
		for n := 0; want && !got && n < 200; n++ {
			got = s.reaches(port)
		}
		if got != want {
			s.t.Errorf("%s: port %s reached: %v, want %v", when, port, got, want)
		}
	}
}

// expectOnTrial is expect for as long as the trial surely is on.
func (s *server) expectOnTrial(when string, ssh, web bool) {
	s.t.Helper()
	for port, want := range map[string]bool{"22": ssh, "80": web} {
		got := s.reaches(port)
		for want && !got && time.Now().Before(s.end) {
			got = s.reaches(port)
		}
		if got != want && time.Now().Before(s.end) {
			s.t.Errorf("%s: port %s reached: %v, want %v", when, port, got, want)
		}
	}
}

// inTime does what belongs into one trial, with a longer one each time that it was over before that was done.
func inTime(t *testing.T, trial time.Duration, do func(trial time.Duration) error) {
	t.Helper()
	err := do(trial)
	for ; trial < long && (errors.Is(err, ErrExpired) || errors.Is(err, ErrNoTrial)); err = do(trial) {
		trial *= 3
	}
	must(t, err)
}

// apply applies a ruleset that lets the given ports in and nothing else.
func (s *server) apply(trial time.Duration, fallback Fallback, ports ...uint16) (g Generation, err error) {
	s.end = time.Now().Add(trial)
	s.in(func() error {
		g, err = s.m.Apply(s.t.Context(), Request{
			Ruleset: only(ports...), Path: "/etc/moonlatch/web.lua", By: "test",
			Files: map[string][]byte{"web.lua": []byte("-- policy"), "lists/drop.txt": []byte("192.0.2.9\n")}, Confirm: trial, Fallback: fallback,
		})
		return nil
	})
	return g, err
}

func (s *server) mustApply(trial time.Duration, fallback Fallback, ports ...uint16) Generation {
	s.t.Helper()
	g, err := s.apply(trial, fallback, ports...)
	must(s.t, err)
	return g
}

func (s *server) confirm() (g Generation, err error) {
	s.in(func() error { g, err = s.m.Confirm(s.t.Context(), 0); return nil })
	return g, err
}

func (s *server) mustConfirm() {
	s.t.Helper()
	_, err := s.confirm()
	must(s.t, err)
}

func (s *server) rollback() (err error) {
	s.in(func() error { err = s.m.Rollback(s.t.Context(), 0); return nil })
	return err
}

func (s *server) restore() (r Restored, err error) {
	s.in(func() error { r, err = s.m.Restore(s.t.Context()); return nil })
	return r, err
}

func (s *server) state() State {
	s.t.Helper()
	var state State
	s.in(func() (err error) { state, err = s.m.State(); return err })
	return state
}

// list is what nft lists of all tables.
func (s *server) list() string {
	s.t.Helper()
	var out []byte
	s.in(func() (err error) {
		out, err = s.nft.Output(context.Background(), "list", "ruleset")
		return err
	})
	return string(out)
}

// waitOver waits until the kernel has ended the trial.
func (s *server) waitOver() {
	s.t.Helper()
	limit := time.Now().Add(2 * long)
	for st := s.state(); st.Trial != nil && !st.Expired; st = s.state() {
		if time.Now().After(limit) {
			s.t.Fatalf("the trial does not end: %+v", st)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// waitExpiry waits until a trial of the given length is surely over.
func waitExpiry(trial time.Duration) { time.Sleep(trial + 300*time.Millisecond) }

func only(ports ...uint16) *ruleset.Ruleset {
	ranges := make([]ruleset.PortRange, len(ports))
	for i, p := range ports {
		ranges[i] = ruleset.PortRange{From: p, To: p}
	}
	c := &ruleset.Chain{Name: "input", Hook: "input", Type: "filter", Priority: "filter", Policy: "drop"}
	if len(ports) > 0 {
		c.Rules = append(c.Rules, &ruleset.Rule{
			Name: "ports", Pos: ruleset.Pos{File: "web.lua", Line: 7},
			Fields: []ruleset.Field{ruleset.Ports{Proto: "tcp", Dir: ruleset.Dst, Ranges: ranges}},
			Items:  []ruleset.Item{ruleset.Verdict{Kind: "accept"}},
		})
	}
	frames := &ruleset.Chain{Name: "frames", Family: ruleset.Bridge, Hook: "input", Type: "filter", Priority: "0", Policy: "accept"}
	return &ruleset.Ruleset{Policy: "web.lua", Chains: []*ruleset.Chain{c, frames}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
