package packet

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	for f := range 256 {
		s := Flags(f).String()
		if got, ok := ParseFlags(s); !ok || got != Flags(f) {
			t.Errorf("ParseFlags(%q) = %v, %v, want %#x", s, got, ok, f)
		}
	}
	for s, want := range map[string]Flags{"syn": SYN, "ack,syn": SYN | ACK, " fin , psh ": FIN | PSH, "ece": ECE, "ecn,cwr": ECE | CWR, "0x0": 0} {
		if got, ok := ParseFlags(s); !ok || got != want {
			t.Errorf("ParseFlags(%q) = %v, %v, want %v", s, got, ok, want)
		}
	}
	for _, s := range []string{"", "sin", "syn,", ",", "SYN", "syn ack", "1"} {
		if got, ok := ParseFlags(s); ok {
			t.Errorf("ParseFlags(%q) = %v, want none", s, got)
		}
	}
	if got := (SYN | ACK).String(); got != "syn,ack" {
		t.Errorf("(SYN|ACK).String() = %q", got)
	}
}

func TestProto(t *testing.T) {
	for n := range 256 {
		name := ProtoName(uint8(n))
		if got, ok := ParseProto(name); !ok || got != uint8(n) {
			t.Errorf("ParseProto(%q) = %d, %v, want %d", name, got, ok, n)
		}
	}
	for name, want := range map[string]uint8{
		"icmp": 1, "igmp": 2, "tcp": 6, "udp": 17, "dccp": 33, "gre": 47, "esp": 50, "ah": 51,
		"icmpv6": 58, "ipv6-icmp": 58, "sctp": 132, "udplite": 136, "253": 253,
	} {
		if got, ok := ParseProto(name); !ok || got != want {
			t.Errorf("ParseProto(%q) = %d, %v, want %d", name, got, ok, want)
		}
	}
	for _, name := range []string{"", "TCP", "tcpp", "256", "-1", "06"} {
		if got, ok := ParseProto(name); ok {
			t.Errorf("ParseProto(%q) = %d, want none", name, got)
		}
	}
}

// The tables must be nft's own: what it lists is the oracle.
func TestNamesAgreeWithNft(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		expression := map[bool][]string{false: {"icmp", "type"}, true: {"icmpv6", "type"}}[v6]
		symbols := describe(t, expression...)
		listed := make(map[uint8]bool)
		for name, n := range symbols {
			listed[n] = true
			if got, ok := ParseICMPType(v6, name); !ok || got != n {
				t.Errorf("ParseICMPType(%v, %q) = %d, %v, nft says %d", v6, name, got, ok, n)
			}
		}
		for n := range 256 {
			name := ICMPTypeName(v6, uint8(n))
			if _, ok := symbols[name]; ok != listed[uint8(n)] {
				t.Errorf("ICMPTypeName(%v, %d) = %q, which nft does not list", v6, n, name)
			}
			if got, ok := ParseICMPType(v6, name); !ok || got != uint8(n) {
				t.Errorf("ParseICMPType(%v, %q) = %d, %v, want %d", v6, name, got, ok, n)
			}
		}
		if _, ok := ParseICMPType(v6, "pong"); ok {
			t.Errorf("ParseICMPType(%v, pong) found something", v6)
		}
	}
	for name, n := range describe(t, "tcp", "flags") {
		if got, ok := ParseFlags(name); !ok || got != Flags(n) {
			t.Errorf("ParseFlags(%q) = %v, %v, nft says %#x", name, got, ok, n)
		}
	}
}

// describe returns the symbolic constants of an nft expression.
func describe(t *testing.T, expression ...string) map[string]uint8 {
	t.Helper()
	out, err := exec.Command("nft", append([]string{"describe"}, expression...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nft describe %v: %v\n%s", expression, err, out)
	}
	symbols := make(map[string]uint8)
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) != 2 {
			continue
		}
		if n, err := strconv.ParseUint(fields[1], 0, 8); err == nil {
			symbols[fields[0]] = uint8(n)
		}
	}
	if len(symbols) < 8 {
		t.Fatalf("nft describe %v lists too few constants:\n%s", expression, out)
	}
	return symbols
}

// Names come from policies: whatever is taken must mean what it says.
func FuzzParseNames(f *testing.F) {
	for _, s := range []string{"syn,ack", "0x0", "ece", "icmpv6", "ipv6-icmp", "253", "echo-request", "mld-listener-reduction", ",,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if flags, ok := ParseFlags(s); ok {
			if again, ok := ParseFlags(flags.String()); !ok || again != flags {
				t.Errorf("ParseFlags(%q) = %v, which reads back as %v, %v", s, flags, again, ok)
			}
		}
		if proto, ok := ParseProto(s); ok && s != "ipv6-icmp" && ProtoName(proto) != s {
			t.Errorf("ParseProto(%q) = %d, which is %q", s, proto, ProtoName(proto))
		}
		for _, v6 := range []bool{false, true} {
			if n, ok := ParseICMPType(v6, s); ok && s != "mld-listener-reduction" && ICMPTypeName(v6, n) != s {
				t.Errorf("ParseICMPType(%v, %q) = %d, which is %q", v6, s, n, ICMPTypeName(v6, n))
			}
		}
	})
}
