package packet

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var options = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// v4 and v6 are the fields that every packet made by ipv4 and ipv6 has.
func v4(length int, proto uint8) Packet {
	return Packet{
		Length: length, TTL: 64, Proto: proto, HasProto: true,
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("198.51.100.2"),
	}
}

func v6(length int, proto uint8) Packet {
	return Packet{
		Length: length, TTL: 63, Proto: proto, HasProto: true,
		Src: netip.MustParseAddr("2001:db8::1"), Dst: netip.MustParseAddr("2001:db8::2"),
	}
}

func (p Packet) ports(src, dst uint16) Packet {
	p.Sport, p.Dport, p.HasPorts = src, dst, true
	return p
}

func (p Packet) flags(f Flags) Packet {
	p.Flags, p.HasFlags = f, true
	return p
}

func (p Packet) icmp(icmpType, code uint8) Packet {
	p.ICMPType, p.ICMPCode, p.HasICMP = icmpType, code, true
	return p
}

func (p Packet) payload(s string) Packet {
	p.Payload = []byte(s)
	return p
}

func (p Packet) fragment() Packet {
	p.Fragment = true
	return p
}

func (p Packet) noProto() Packet {
	p.Proto, p.HasProto = 0, false
	return p
}

func TestDecode(t *testing.T) {
	data := []byte("data")
	syn := tcp(SYN, nil, nil)

	tests := []struct {
		name string
		hw   uint16
		in   []byte
		want Packet
		err  error
	}{
		{"tcp", 0x0800, ipv4(6, 0, nil, tcp(SYN|ACK, nil, data)), v4(44, 6).ports(40000, 22).flags(SYN | ACK).payload("data"), nil},
		{"tcp all flags", 0x0800, ipv4(6, 0, nil, tcp(0xff, nil, nil)), v4(40, 6).ports(40000, 22).flags(0xff), nil},
		{"tcp options", 0x0800, ipv4(6, 0, nil, tcp(SYN, make([]byte, 40), data)), v4(84, 6).ports(40000, 22).flags(SYN).payload("data"), nil},
		{"ipv4 options", 0x0800, ipv4(6, 0, make([]byte, 40), syn), v4(80, 6).ports(40000, 22).flags(SYN), nil},
		{"don't fragment", 0x0800, ipv4(6, 0x4000, nil, syn), v4(40, 6).ports(40000, 22).flags(SYN), nil},
		{"udp", 0x0800, ipv4(17, 0, nil, udp(data)), v4(32, 17).ports(5353, 53).payload("data"), nil},
		{"udp shorter than ip", 0x0800, ipv4(17, 0, nil, cat(udp(data), []byte("more"))), v4(36, 17).ports(5353, 53).payload("data"), nil},
		{"udplite", 0x0800, ipv4(136, 0, nil, cat(be16(1), be16(2), be16(8), be16(0), data)), v4(32, 136).ports(1, 2).payload("data"), nil},
		{"sctp", 0x0800, ipv4(132, 0, nil, cat(be16(1), be16(2), make([]byte, 8), data)), v4(36, 132).ports(1, 2).payload("data"), nil},
		{"dccp", 0x0800, ipv4(33, 0, nil, cat(be16(1), be16(2), []byte{4}, make([]byte, 11), data)), v4(40, 33).ports(1, 2).payload("data"), nil},
		{"icmp", 0x0800, ipv4(1, 0, nil, icmp(3, 13, data)), v4(32, 1).icmp(3, 13).payload("data"), nil},
		{"ping in fragments", 0x0800, ipv4(1, 0x2000, nil, icmp(8, 0, data)), v4(32, 1).fragment().icmp(8, 0).payload("data"), nil},
		{"later fragment of a ping", 0x0800, ipv4(1, 0x0001, nil, icmp(8, 0, data)), v4(32, 1).fragment(), nil},
		{"ipv4 in ipv4", 0x0800, ipv4(4, 0, nil, ipv4(6, 0, nil, syn)), v4(60, 4).payload(string(ipv4(6, 0, nil, syn))), nil},
		{"ipv6 in ipv4", 0x0800, ipv4(41, 0, nil, ipv6(6, syn)), v4(80, 41).payload(string(ipv6(6, syn))), nil},
		{"ipv4 authentication", 0x0800, ipv4(51, 0, nil, cat(authentication(6), syn)), v4(64, 51).payload(string(cat(authentication(6), syn))), nil},
		{"reserved fragment bit", 0x0800, ipv4(6, 0x8000, nil, syn), v4(40, 6).ports(40000, 22).flags(SYN), nil},
		{"gre", 0x0800, ipv4(47, 0, nil, data), v4(24, 47).payload("data"), nil},
		{"ethernet padding", 0x0800, cat(ipv4(17, 0, nil, udp(data)), make([]byte, 14)), v4(32, 17).ports(5353, 53).payload("data"), nil},
		{"padding is no header", 0x0800, cat(ipv4(17, 0, nil, nil), udp(data)), v4(20, 17), ErrTruncated},
		{"big tcp", 0x0800, zeroLength(ipv4(6, 0, nil, tcp(ACK, nil, data)), 2), v4(0, 6).ports(40000, 22).flags(ACK).payload("data"), nil},

		{"first fragment", 0x0800, ipv4(17, 0x2000, nil, udp(data)), v4(32, 17).fragment().ports(5353, 53).payload("data"), nil},
		{"later fragment", 0x0800, ipv4(17, 0x2001, nil, udp(data)), v4(32, 17).fragment(), nil},
		{"last fragment", 0x0800, ipv4(17, 0x0001, nil, udp(data)), v4(32, 17).fragment(), nil},

		{"ipv6 tcp", 0x86dd, ipv6(6, tcp(RST, nil, data)), v6(64, 6).ports(40000, 22).flags(RST).payload("data"), nil},
		{"ipv6 udp", 0x86dd, ipv6(17, udp(data)), v6(52, 17).ports(5353, 53).payload("data"), nil},
		{"icmpv6", 0x86dd, ipv6(58, icmp(135, 0, data)), v6(52, 58).icmp(135, 0).payload("data"), nil},
		{"esp", 0x86dd, ipv6(50, data), v6(44, 50).payload("data"), nil},
		{"no next header", 0x86dd, ipv6(59), v6(40, 59), nil},
		{"hop-by-hop", 0x86dd, ipv6(0, extension(6, 1), syn), v6(68, 6).ports(40000, 22).flags(SYN), nil},
		{"routing", 0x86dd, ipv6(43, extension(6, 3), syn), v6(84, 6).ports(40000, 22).flags(SYN), nil},
		{"destination options", 0x86dd, ipv6(60, extension(6, 2), syn), v6(76, 6).ports(40000, 22).flags(SYN), nil},
		{"authentication", 0x86dd, ipv6(51, authentication(6), syn), v6(84, 6).ports(40000, 22).flags(SYN), nil},
		{"all extensions", 0x86dd, ipv6(0, extension(60, 1), extension(43, 1), extension(44, 1), fragment(51, 0, true), authentication(60), extension(17, 1), udp(data)),
			v6(40+8*5+24+12, 17).fragment().ports(5353, 53).payload("data"), nil},
		{"ipv6 first fragment", 0x86dd, ipv6(44, fragment(17, 0, true), udp(data)), v6(60, 17).fragment().ports(5353, 53).payload("data"), nil},
		{"ipv6 later fragment", 0x86dd, ipv6(44, fragment(17, 1, true), udp(data)), v6(60, 17).fragment(), nil},
		{"ipv6 last fragment", 0x86dd, ipv6(44, fragment(17, 1, false), udp(data)), v6(60, 17).fragment(), nil},
		{"ping6 in fragments", 0x86dd, ipv6(44, fragment(58, 0, true), icmp(128, 0, data)), v6(60, 58).fragment().icmp(128, 0).payload("data"), nil},
		{"later fragment of a ping6", 0x86dd, ipv6(44, fragment(58, 1, false), icmp(128, 0, data)), v6(60, 58).fragment(), nil},
		{"ipv6 in ipv6", 0x86dd, ipv6(41, ipv6(6, syn)), v6(100, 41).payload(string(ipv6(6, syn))), nil},
		{"ports of a short first fragment", 0x0800, ipv4(6, 0x2000, nil, syn[:8]), v4(28, 6).fragment().ports(40000, 22), ErrTruncated},
		{"later fragment of options", 0x86dd, ipv6(44, fragment(60, 1, false), data), v6(52, 0).noProto().fragment(), nil},
		{"atomic fragment", 0x86dd, ipv6(44, fragment(17, 0, false), udp(data)), v6(60, 17).ports(5353, 53).payload("data"), nil},
		{"fragment of a fragment", 0x86dd, ipv6(44, fragment(44, 0, true), fragment(17, 0, false), udp(data)), v6(68, 17).fragment().ports(5353, 53).payload("data"), nil},
		{"fragment header reserved byte", 0x86dd, ipv6(44, set(fragment(17, 0, true), 1, 5), udp(data)), v6(60, 17).fragment().ports(5353, 53).payload("data"), nil},
		{"most extensions", 0x86dd, ipv6(60, repeat(extension(60, 1), maxExtensions-1), extension(17, 1), udp(data)), v6(148, 17).ports(5353, 53).payload("data"), nil},
		{"jumbogram", 0x86dd, zeroLength(ipv6(0, extension(17, 1), udp(data)), 4), v6(40, 17).ports(5353, 53).payload("data"), nil},
		{"ipv6 padding", 0x86dd, cat(ipv6(17, udp(nil)), data), v6(48, 17).ports(5353, 53), nil},
		{"ipv6 padding is no header", 0x86dd, cat(ipv6(17), udp(data)), v6(40, 17), ErrTruncated},

		{"version decides 4", 0, ipv4(6, 0, nil, syn), v4(40, 6).ports(40000, 22).flags(SYN), nil},
		{"version decides 6", 0, ipv6(6, syn), v6(60, 6).ports(40000, 22).flags(SYN), nil},
		{"vlan", 0x8100, cat([]byte{0, 5}, be16(0x0800), ipv4(6, 0, nil, syn)), v4(40, 6).ports(40000, 22).flags(SYN), nil},
		{"qinq", 0x88a8, cat([]byte{0, 5}, be16(0x8100), []byte{0, 6}, be16(0x86dd), ipv6(6, syn)), v6(60, 6).ports(40000, 22).flags(SYN), nil},

		{"empty", 0x0800, nil, Packet{}, ErrTruncated},
		{"arp", 0x0806, make([]byte, 28), Packet{}, ErrNotIP},
		{"vlan cut", 0x8100, []byte{0, 5, 8}, Packet{}, ErrTruncated},
		{"vlan arp", 0x8100, []byte{0, 5, 8, 6, 0}, Packet{}, ErrNotIP},
		{"vlan of length 0", 0x8100, cat([]byte{0, 5, 0, 0}, ipv4(6, 0, nil, syn)), Packet{}, ErrNotIP},
		{"three tags", 0x88a8, cat([]byte{0, 5}, be16(0x8100), []byte{0, 6}, be16(0x8100), []byte{0, 7}, be16(0x0800), ipv4(6, 0, nil, syn)), Packet{}, ErrNotIP},
		{"mapped source", 0x86dd, ipv6Between("::ffff:192.0.2.1", "2001:db8::2", 6, syn), Packet{}, ErrMapped},
		{"mapped destination", 0x86dd, ipv6Between("2001:db8::1", "::ffff:198.51.100.2", 6, syn), Packet{}, ErrMapped},
		{"version 5", 0, []byte{0x50}, Packet{}, ErrVersion},
		{"ethertype 4, version 6", 0x0800, ipv6(6, syn), Packet{}, ErrVersion},
		{"ethertype 6, version 4", 0x86dd, ipv4(6, 0, nil, syn), Packet{}, ErrVersion},
		{"ipv4 cut", 0x0800, ipv4(6, 0, nil, syn)[:19], Packet{}, ErrTruncated},
		{"ipv4 options cut", 0x0800, ipv4(6, 0, make([]byte, 8), syn)[:27], v4(48, 6), ErrTruncated},
		{"ipv4 header length 16", 0x0800, set(ipv4(6, 0, nil, syn), 0, 0x44), Packet{}, ErrHeader},
		{"ipv4 total length 19", 0x0800, set(ipv4(6, 0, nil, syn), 3, 19), Packet{}, ErrHeader},
		{"ipv6 cut", 0x86dd, ipv6(6, syn)[:39], Packet{}, ErrTruncated},
		{"extension cut", 0x86dd, ipv6(0, extension(6, 2), syn)[:55], v6(76, 6), ErrTruncated},
		{"extension cut to a byte", 0x86dd, ipv6(0, extension(6, 2), syn)[:41], v6(76, 6), ErrTruncated},
		{"extension missing", 0x86dd, ipv6(0, extension(6, 2), syn)[:40], v6(76, 0).noProto(), ErrTruncated},
		{"extension before extension cut", 0x86dd, ipv6(0, extension(60, 2), syn)[:55], v6(76, 0).noProto(), ErrTruncated},
		{"fragment header cut", 0x86dd, ipv6(44, fragment(17, 1, true), udp(data))[:47], v6(60, 17), ErrTruncated},
		{"one extension too many", 0x86dd, ipv6(60, repeat(extension(60, 1), maxExtensions), extension(17, 1), udp(data)), v6(156, 0).noProto(), ErrExtensions},
		{"endless extensions", 0x86dd, ipv6(0, repeat(extension(0, 1), 200)), v6(1640, 0).noProto(), ErrExtensions},
		{"no ports", 0x0800, ipv4(17, 0, nil, udp(data))[:23], v4(32, 17), ErrTruncated},
		{"ports only", 0x0800, ipv4(17, 0, nil, udp(data))[:24], v4(32, 17).ports(5353, 53), ErrTruncated},
		{"tcp without flags", 0x0800, ipv4(6, 0, nil, syn)[:33], v4(40, 6).ports(40000, 22), ErrTruncated},
		{"tcp cut after flags", 0x0800, ipv4(6, 0, nil, syn)[:34], v4(40, 6).ports(40000, 22).flags(SYN), ErrTruncated},
		{"tcp options cut", 0x0800, ipv4(6, 0, nil, tcp(SYN, make([]byte, 8), data))[:47], v4(52, 6).ports(40000, 22).flags(SYN), ErrTruncated},
		{"tcp header length 16", 0x0800, ipv4(6, 0, nil, set(tcp(SYN, nil, data), 12, 0x40)), v4(44, 6).ports(40000, 22).flags(SYN), ErrHeader},
		{"dccp header length 8", 0x0800, ipv4(33, 0, nil, cat(be16(1), be16(2), []byte{2}, make([]byte, 11))), v4(36, 33).ports(1, 2), ErrHeader},
		{"dccp cut", 0x0800, ipv4(33, 0, nil, cat(be16(1), be16(2), []byte{4}, make([]byte, 10))), v4(35, 33).ports(1, 2), ErrTruncated},
		{"sctp cut", 0x0800, ipv4(132, 0, nil, cat(be16(1), be16(2), make([]byte, 7))), v4(31, 132).ports(1, 2), ErrTruncated},
		{"icmp cut", 0x0800, ipv4(1, 0, nil, icmp(8, 0, nil))[:22], v4(28, 1).icmp(8, 0), ErrTruncated},
		{"icmp code cut", 0x0800, ipv4(1, 0, nil, icmp(8, 0, nil))[:21], v4(28, 1), ErrTruncated},
		{"udp states less than its header", 0x0800, ipv4(17, 0, nil, set(udp(data), 5, 7)), v4(32, 17).ports(5353, 53).payload("data"), nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := stale()
			err := got.Decode(tt.hw, tt.in)
			if !errors.Is(err, tt.err) {
				t.Errorf("Decode error = %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(withMetadata(tt.want), got, options); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

// stale is a packet as an earlier Decode may have left it: everything set.
func stale() Packet {
	return withMetadata(Packet{
		Length: 9, Src: netip.IPv6Loopback(), Dst: netip.IPv6Loopback(), TTL: 9, Proto: 9,
		Sport: 9, Dport: 9, Flags: 9, ICMPType: 9, ICMPCode: 9, Payload: []byte("stale"),
		HasProto: true, HasPorts: true, HasFlags: true, HasICMP: true, Fragment: true,
	})
}

// withMetadata adds the metadata that Decode must leave alone.
func withMetadata(p Packet) Packet {
	p.Time = time.Unix(1, 2)
	p.Hook, p.Iif, p.Oif, p.Mark, p.UID, p.GID = 1, 2, 3, 4, 5, 6
	p.MAC = [6]byte{1, 2, 3, 4, 5, 6}
	p.HasOwner, p.HasMAC = true, true
	return p
}

func set(b []byte, i int, v byte) []byte {
	b[i] = v
	return b
}

func zeroLength(b []byte, i int) []byte { return set(set(b, i, 0), i+1, 0) }

func repeat(b []byte, n int) []byte {
	var out []byte
	for range n {
		out = append(out, b...)
	}
	return out
}

// Cutting a packet anywhere must only ever take knowledge away.
func TestDecodeTruncated(t *testing.T) {
	whole := [][]byte{
		ipv4(6, 0, make([]byte, 8), tcp(SYN, make([]byte, 4), []byte("data"))),
		ipv4(17, 0, nil, udp([]byte("data"))),
		ipv4(33, 0, nil, cat(be16(1), be16(2), []byte{4}, make([]byte, 15))),
		ipv6(0, extension(60, 2), fragment(51, 0, true), authentication(6), tcp(ACK, nil, nil)),
		ipv6(58, icmp(128, 0, []byte("ping"))),
	}
	for _, b := range whole {
		var full Packet
		if err := full.Decode(0, b); err != nil {
			t.Fatalf("Decode(%x): %v", b, err)
		}
		for n := range b {
			var cut Packet
			err := cut.Decode(0, b[:n:n])
			if err != nil && !errors.Is(err, ErrTruncated) {
				t.Errorf("Decode of %d of %d bytes: %v", n, len(b), err)
			}
			if err == nil && len(cut.Payload)+len(b)-n != len(full.Payload) {
				t.Errorf("Decode of %d of %d bytes: no error, payload %d of %d", n, len(b), len(cut.Payload), len(full.Payload))
			}
			checkSubset(t, cut, full)
		}
	}
}

// checkSubset checks that what cut tells, full tells too.
func checkSubset(t *testing.T, cut, full Packet) {
	t.Helper()
	if cut.Src.IsValid() && (cut.Src != full.Src || cut.Dst != full.Dst || cut.TTL != full.TTL || cut.Length != full.Length) {
		t.Errorf("network header differs: %+v, whole %+v", cut, full)
	}
	if cut.HasProto && cut.Proto != full.Proto || !cut.HasProto && cut.Proto != 0 {
		t.Errorf("proto %d (%v), whole %d", cut.Proto, cut.HasProto, full.Proto)
	}
	if cut.HasPorts && (cut.Sport != full.Sport || cut.Dport != full.Dport) {
		t.Errorf("ports %d %d, whole %d %d", cut.Sport, cut.Dport, full.Sport, full.Dport)
	}
	if cut.HasFlags && cut.Flags != full.Flags {
		t.Errorf("flags %v, whole %v", cut.Flags, full.Flags)
	}
	if cut.HasICMP && (cut.ICMPType != full.ICMPType || cut.ICMPCode != full.ICMPCode) {
		t.Errorf("icmp %d %d, whole %d %d", cut.ICMPType, cut.ICMPCode, full.ICMPType, full.ICMPCode)
	}
}

func TestDecodeDoesNotAllocate(t *testing.T) {
	inputs := benchmarkInputs()
	var p Packet
	for name, b := range inputs {
		if n := testing.AllocsPerRun(100, func() { _ = p.Decode(0, b) }); n != 0 {
			t.Errorf("%s: %v allocations per Decode", name, n)
		}
	}
}

func benchmarkInputs() map[string][]byte {
	return map[string][]byte{
		"ipv4-syn":   ipv4(6, 0, nil, tcp(SYN, make([]byte, 20), nil)),
		"ipv6-syn":   ipv6(6, tcp(SYN, make([]byte, 20), nil)),
		"ipv6-chain": ipv6(0, extension(60, 1), fragment(51, 0, true), authentication(17), udp([]byte("data"))),
		"truncated":  ipv4(6, 0, nil, tcp(SYN, nil, nil))[:30],
		"not-ip":     {0},
	}
}

func BenchmarkDecode(b *testing.B) {
	for name, in := range benchmarkInputs() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var p Packet
			for b.Loop() {
				_ = p.Decode(0, in)
			}
		})
	}
}
