package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers questions about known.test over UDP, and none about silent.test.
func nameServer(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || strings.HasPrefix(m.Questions[0].Name.String(), "silent") {
				continue
			}
			answerQuestion(&m)
			if out, err := m.Pack(); err == nil {
				conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func answerQuestion(m *dnsmessage.Message) {
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
	switch {
	case q.Name.String() != "known.test.":
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 53}}}}
	case q.Type == dnsmessage.TypeAAAA:
		m.Answers = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.AAAAResource{AAAA: [16]byte{0: 0x20, 1: 1, 2: 0xd, 3: 0xb8, 15: 0x53}}}}
	}
}

func TestResolve(t *testing.T) {
	r := nameServer(t)
	list, err := resolve(r, "known.test", time.Minute)
	slices.SortFunc(list, func(a, b netip.Addr) int { return a.Compare(b) })
	if got := fmt.Sprint(list); err != nil || got != "[192.0.2.53 2001:db8::53]" {
		t.Errorf("known.test: %s, %v", got, err)
	}
	if _, err := resolve(r, "unknown.test", time.Minute); err == nil || !strings.Contains(err.Error(), "no such host") {
		t.Errorf("unknown.test: %v", err)
	}
	start := time.Now()
	if _, err := resolve(r, "silent.test", 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "silent.test was not resolved within 100ms") {
		t.Errorf("silent.test: %v", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("a resolver that does not answer held the load up for %s", took)
	}
}
