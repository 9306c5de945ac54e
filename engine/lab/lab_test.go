package lab_test

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/engine/lab"
	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/packet"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

const simple = `
table inet moonlatch_1 {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established counter accept comment "replies"
		tcp dport 22 ip saddr 192.0.2.0/24 counter accept comment "ssh"
		tcp dport 80 counter jump web comment "to web"
		tcp dport 81 counter reject comment "no"
	}
	chain web {
		ip saddr 192.0.2.66 counter drop comment "bad"
		counter accept comment "good"
	}
}
`

func TestVerdicts(t *testing.T) {
	netnstest.Kernel(t)
	err := lab.Run(t.Context(), func(l *lab.Lab) error {
		if err := l.Load(t.Context(), simple, nil, nil, "moonlatch_1"); err != nil {
			return err
		}
		for _, c := range []struct {
			src          string
			port         uint16
			verdict      lab.Verdict
			chain, rule  string
			rules, match int
		}{
			{"192.0.2.5", 22, lab.Accept, "input", "ssh", 2, 1},
			{"203.0.113.9", 22, lab.Drop, "input", "policy", 5, 1},
			{"192.0.2.66", 80, lab.Drop, "web", "bad", 4, 2},
			{"192.0.2.67", 80, lab.Accept, "web", "good", 5, 2},
			{"192.0.2.67", 81, lab.Reject, "input", "no", 4, 1},
			{"127.0.0.1", 22, lab.Lost, "", "", 0, 0},
			{"2001:db8::1", 80, lab.Accept, "web", "good", 5, 2},
		} {
			r, err := l.Send(t.Context(), lab.Packet{Src: netip.MustParseAddr(c.src), Proto: unix.IPPROTO_TCP, Dport: c.port, Flags: packet.SYN})
			if err != nil {
				return err
			}
			matched := 0
			for _, v := range r.Visits {
				if v.Matched {
					matched++
				}
			}
			if r.Verdict != c.verdict || r.Chain != c.chain || r.Rule != c.rule || len(r.Visits) != c.rules || matched != c.match {
				t.Errorf("%s: %s by %s %q (%d visits, %d matched) want %+v\n%+v", r.Packet, r.Verdict, r.Chain, r.Rule, len(r.Visits), matched, c, r.Visits)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
