package policy

import (
	"net/netip"
	"testing"

	"moonlatch/engine/packet"
)

func TestFilters(t *testing.T) {
	later := syn() // a later fragment tells no ports
	later.HasPorts, later.HasFlags, later.Fragment = false, false, true
	udp := syn()
	udp.Proto, udp.Dport, udp.Sport, udp.HasFlags, udp.Iif, udp.Oif = 17, 53, 53, false, 0, 3
	unknown := &packet.Packet{}
	ping4 := ping6()
	ping4.Src, ping4.Proto, ping4.ICMPType = netip.MustParseAddr("203.0.113.9"), 1, 8
	all := []*packet.Packet{syn(), udp, ping6(), ping4, later, unknown}

	// One letter for each packet that matches.
	tests := []struct{ filter, want string }{
		{``, "su64lx"},
		{`tcp = 3389`, "s"},
		{`tcp = { 80, "3000-4000" }`, "s"},
		{`tcp = ports`, "s"},
		{`not_tcp = 3389`, ""},
		{`not_tcp = 80`, "s"},
		{`not_tcp = ports`, ""},
		{`tcp = true`, "sl"},
		{`udp = "domain", sport = 53`, "u"},
		{`tcp = true, not_sport = "0-1023"`, "s"},
		{`proto = { "tcp", "udp" }, dport = { 53, 3389 }`, "su"},
		{`proto = "icmp"`, "4"},
		{`not_proto = { "tcp", "udp" }`, "64"},
		{`src = "203.0.113.0/24"`, "su4l"},
		{`src = { "2001:db8::/32", admins }`, "6"},
		{`not_src = "203.0.113.0/24"`, "6"},
		{`dst = "192.0.2.80"`, "sul"},
		{`dst = admins`, "sul"},
		{`icmp = "echo-request"`, "64"},
		{`icmp = "nd-neighbor-solicit"`, ""},
		{`not_icmp = "echo-reply"`, "64"},
		{`not_icmp = "nd-neighbor-solicit"`, "64"},
		{`icmp = true`, "64"},
		{`flags = "syn"`, "s"},
		{`flags = "syn,ack"`, ""},
		{`not_flags = "syn"`, ""},
		{`not_flags = "none"`, "s"},
		{`iif = "eth*"`, "sl"},
		{`iif = { "wg0", "eth0" }`, "sl"},
		{`not_iif = "eth0"`, ""},
		{`oif = "wg0"`, "u"},
		{`tcp = 3389, src = "2001:db8::/32"`, ""},
	}
	for _, tt := range tests {
		s := newStage(t, `local admins = fw.set "admins" { "192.0.2.0/24" }; local ports = fw.set "ports" { 80, "3000-4000" }
fw.on(closed, { `+tt.filter+` }, function() end)`)
		h := s.Handlers()[0]
		got := ""
		for i, p := range all {
			if h.Match(p) {
				got += "su64lx"[i : i+1]
			}
		}
		if got != tt.want {
			t.Errorf("{ %s } matches %q, want %q", tt.filter, got, tt.want)
		}
		for _, p := range all {
			if n := testing.AllocsPerRun(10, func() { h.Match(p) }); n != 0 {
				t.Errorf("{ %s } allocates %v times", tt.filter, n)
			}
		}
	}
}
