package nflog_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// A frame with a sender of its own comes in on a veth end, to see the link layer.
func TestReadLinkLayer(t *testing.T) {
	loadRules(t, `
		table inet t {
			chain pre {
				type filter hook prerouting priority raw
				iifname "right" udp dport 9 log group 5 drop
			}
		}`)
	ip(t, "link add left type veth peer name right", "link set left up", "link set right up")
	t.Cleanup(func() { ip(t, "link del left") })
	r := open(t, nflog.Config{Group: 5})

	right, err := net.InterfaceByName("right")
	if err != nil {
		t.Fatal(err)
	}
	ethernet := cat(right.HardwareAddr, []byte{2, 3, 4, 5, 6, 7}, be16(unix.ETH_P_IP))
	packet := datagram()
	sendFrame(t, "left", cat(ethernet, packet))

	within(t, r, func() {
		err := r.Read(func(e *nflog.Event) {
			if string(e.HWAddr) != "\x02\x03\x04\x05\x06\x07" || e.HWType != unix.ARPHRD_ETHER || string(e.HWHeader) != string(ethernet) {
				t.Errorf("hardware address %x type %d header %x, want the frame's %x", e.HWAddr, e.HWType, e.HWHeader, ethernet)
			}
			if string(e.Payload) != string(packet) || e.InDev != uint32(right.Index) {
				t.Errorf("payload %x on %d, want %x on %d", e.Payload, e.InDev, packet, right.Index)
			}
		})
		if err != nil || r.Stats().Events != 1 {
			t.Errorf("Read: %v, %+v", err, r.Stats())
		}
	})
}

// datagram is an IPv4 packet with UDP in it.
func datagram() []byte {
	udp := cat(be16(1000), be16(9), be16(12), be16(0), []byte("veth"))
	header := cat([]byte{0x45, 0}, be16(32), be32(0), []byte{64, unix.IPPROTO_UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2})
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return cat(header, udp)
}

func checksum(header []byte) uint16 {
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	return ^uint16(sum % 0xffff)
}

func sendFrame(t *testing.T, device string, frame []byte) {
	t.Helper()
	link, err := net.InterfaceByName(device)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	// A new device gets its queue some time after it is up; this goes past it.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: link.Index}); err != nil {
		t.Fatal(err)
	}
}

// frame is what an event says of a frame.
type frame struct {
	HWProtocol, VLANProtocol, VLANTCI uint16
	HWHeader, Payload                 string
}

// On a bridge the kernel takes the outermost VLAN tag off a frame, and what it
// copies begins behind the ethertype that HWProtocol names.
func TestReadBridgedFrames(t *testing.T) {
	ip(t, "link add left type veth peer name port0", "link add right type veth peer name port1", "link add bridge0 type bridge",
		"link set port0 master bridge0", "link set port1 master bridge0",
		"link set left up", "link set port0 up", "link set right up", "link set port1 up", "link set bridge0 up")
	t.Cleanup(func() { ip(t, "link del left", "link del right", "link del bridge0") })
	loadRules(t, `
		table netdev t {
			chain in {
				type filter hook ingress device "port0" priority 0
				ether saddr 02:03:04:05:06:07 log prefix "ingress" group 5
			}
		}
		table bridge t {
			chain pre {
				type filter hook prerouting priority 0
				ether saddr 02:03:04:05:06:07 log prefix "prerouting" group 5
			}
			chain post {
				type filter hook postrouting priority 0
				ether saddr 02:03:04:05:06:07 log prefix "postrouting" group 5
			}
		}`)
	addresses := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 3, 4, 5, 6, 7}
	header := func(protocol uint16) string { return string(cat(addresses, be16(protocol))) }
	packet := string(datagram())
	for _, tt := range []struct {
		name string
		tags []byte
		want frame
	}{
		{"plain", nil, frame{unix.ETH_P_IP, 0, 0, header(unix.ETH_P_IP), packet}},
		{"vlan", cat(be16(unix.ETH_P_8021Q), be16(0x2005)),
			frame{unix.ETH_P_IP, unix.ETH_P_8021Q, 0x2005, header(unix.ETH_P_IP), packet}},
		{"qinq", cat(be16(unix.ETH_P_8021AD), be16(5), be16(unix.ETH_P_8021Q), be16(6)),
			frame{unix.ETH_P_8021Q, unix.ETH_P_8021AD, 5, header(unix.ETH_P_8021Q), "\x00\x06\x08\x00" + packet}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := open(t, nflog.Config{Group: 5})
			defer r.Close()
			want := map[string]frame{"ingress": tt.want, "prerouting": tt.want, "postrouting": tt.want}
			got := readFrames(t, r, len(want), func() { sendFrame(t, "left", cat(addresses, tt.tags, be16(unix.ETH_P_IP), datagram())) })
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// readFrames sends until there was an event of each of n prefixes: a bridge port
// forwards only some time after it is up. Each time there is one event at least.
func readFrames(t *testing.T, r *nflog.Reader, n int, send func()) map[string]frame {
	t.Helper()
	got := map[string]frame{}
	within(t, r, func() {
		for ; len(got) < n; time.Sleep(10 * time.Millisecond) {
			send()
			err := r.Read(func(e *nflog.Event) {
				got[string(e.Prefix)] = frame{e.HWProtocol, e.VLANProtocol, e.VLANTCI, string(e.HWHeader), string(e.Payload)}
			})
			if err != nil {
				t.Fatalf("Read: %v after events of %v", err, got)
			}
		}
	})
	return got
}

// On the egress hook the kernel copies the link-layer header too: Payload is
// without it nevertheless.
func TestReadEgress(t *testing.T) {
	needKernel(t)
	if older(t, 5, 16) {
		t.Skip("the egress hook came with Linux 5.16")
	}
	loadRules(t, `
		table netdev t {
			chain out {
				type filter hook egress device "lo" priority 0
				udp dport 9 log group 5
			}
		}
		table inet t {
			chain in {
				type filter hook input priority 0
				udp dport 9 drop
			}
		}`)
	conn := sender(t)
	for _, tt := range []struct {
		copyRange uint32
		want      int
	}{{0, 28 + 4}, {14 + 20, 20}, {14, 0}, {10, 0}} {
		r := open(t, nflog.Config{Group: 5, CopyRange: tt.copyRange})
		send(t, conn, 1, []byte("data"))
		got := collect(t, r, 1)[0]
		if len(got.Payload) != tt.want || tt.want > 0 && got.Payload[0] != 0x45 || got.HWProtocol != unix.ETH_P_IP {
			t.Errorf("copy range %d: ethertype %#x, payload %x, want the first %d bytes of an IP packet", tt.copyRange, got.HWProtocol, got.Payload, tt.want)
		}
		r.Close()
	}
}

// older reports whether the kernel is older than a release.
func older(t *testing.T, major, minor int) bool {
	t.Helper()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	var is [2]int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &is[0], &is[1]); err != nil {
		t.Fatalf("kernel release %s: %v", u.Release, err)
	}
	return is[0] < major || is[0] == major && is[1] < minor
}

// ip runs the ip command.
func ip(t *testing.T, commands ...string) {
	t.Helper()
	needKernel(t)
	for _, args := range commands {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
}
