package packet

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kernelFrame is what Linux 6.18 reported through NFLOG of a frame on a bridge port,
// in the same way on all hooks of the bridge family and on netdev ingress.
type kernelFrame struct {
	name    string
	hw      uint16
	payload []byte
	ip      int // where the IP packet in it begins, -1 for none that Decode should find
	err     error
}

// kernelFrames all hold the same UDP packet, except for the ARP request.
func kernelFrames() []kernelFrame {
	const udp = "45000020000000004011f6c9c0000201c000020203e80009000c000064617461"
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			panic(err)
		}
		return b
	}
	return []kernelFrame{
		{"plain", 0x0800, unhex(udp), 0, nil},
		{"one tag, which the kernel took off", 0x0800, unhex(udp), 0, nil},
		{"two tags", 0x8100, unhex("00060800" + udp), 4, nil},
		{"three tags", 0x8100, unhex("000681000007" + "0800" + udp), 8, nil},
		{"four tags", 0x8100, unhex("00068100" + "00078100" + "00080800" + udp), -1, ErrNotIP},
		{"two tags, no IP", 0x8100, unhex("00060806" + udp), -1, ErrNotIP},
		{"pppoe", 0x8864, unhex("1100000100220021" + udp), -1, ErrNotIP},
		{"802.2", 0x0004, unhex("424203" + udp), -1, ErrNotIP},
		{"arp", 0x0806, unhex("0001080006040001020304050607c0000201000000000000c0000202"), -1, ErrNotIP},
	}
}

func TestDecodeKernelFrames(t *testing.T) {
	for _, tt := range kernelFrames() {
		t.Run(tt.name, func(t *testing.T) {
			var want, got Packet
			if tt.ip >= 0 {
				if err := want.Decode(0x0800, tt.payload[tt.ip:]); err != nil || want.Dport != 9 {
					t.Fatalf("the packet alone: %v, %+v", err, want)
				}
			}
			if err := got.Decode(tt.hw, tt.payload); !errors.Is(err, tt.err) {
				t.Errorf("Decode error = %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(want, got, options); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

// An ICMP error quotes the packet that it is about. The quoted addresses, ports
// and flags are not its own: whoever took them for its own could be made to blame
// anybody.
func TestDecodeQuotedPacket(t *testing.T) {
	quoted4 := [][]byte{
		ipv4(6, 0, nil, tcp(SYN, nil, nil)),
		ipv4(17, 0, make([]byte, 8), udp([]byte("data"))),
		ipv4(1, 0, nil, icmp(3, 3, ipv4(17, 0, nil, udp(nil)))),
	}
	quoted6 := [][]byte{
		ipv6Between("2001:db8::bad", "2001:db8::1", 6, tcp(SYN, nil, nil)),
		ipv6(0, extension(60, 1), extension(17, 1), udp(nil)),
		ipv6(44, fragment(6, 0, true), tcp(SYN, nil, nil)),
	}
	for _, icmpType := range []uint8{3, 4, 5, 11, 12} { // RFC 792
		for _, q := range quoted4 {
			checkQuoted(t, 0x0800, ipv4(1, 0, nil, icmp(icmpType, 1, q)), v4(28+len(q), 1).icmp(icmpType, 1), q)
		}
	}
	for _, icmpType := range []uint8{1, 2, 3, 4} { // RFC 4443
		for _, q := range quoted6 {
			checkQuoted(t, 0x86dd, ipv6(58, icmp(icmpType, 1, q)), v6(48+len(q), 58).icmp(icmpType, 1), q)
		}
	}
}

func checkQuoted(t *testing.T, hw uint16, in []byte, want Packet, quoted []byte) {
	t.Helper()
	got := stale()
	if err := got.Decode(hw, in); err != nil {
		t.Errorf("Decode(%x): %v", in, err)
	}
	if !bytes.Equal(got.Payload, quoted) {
		t.Errorf("payload %x, want the quoted packet %x", got.Payload, quoted)
	}
	got.Payload = nil
	if diff := cmp.Diff(withMetadata(want), got, options); diff != "" {
		t.Errorf("Decode(%x) (-want +got):\n%s", in, diff)
	}
}
