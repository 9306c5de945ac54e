package nflog_test

import (
	"encoding/binary"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// rawMessage is a netlink message for nfnetlink_log, and rawAttr an attribute,
// encoded by hand so that tests do not share this package's idea of them.
func rawMessage(kind, group uint16, attributes ...[]byte) []byte {
	m := make([]byte, 16)
	m = append(m, unix.AF_UNSPEC, 0)
	m = binary.BigEndian.AppendUint16(m, group)
	for _, a := range attributes {
		m = append(m, a...)
	}
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	return m
}

func rawAttr(kind uint16, value []byte) []byte {
	a := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	a = binary.NativeEndian.AppendUint16(a, kind)
	a = append(a, value...)
	for len(a)%4 != 0 {
		a = append(a, 0)
	}
	return a
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }
func be32(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }
func be64(v uint64) []byte { return binary.BigEndian.AppendUint64(nil, v) }

const packetKind = 4 << 8 // NFNL_SUBSYS_ULOG, NFULNL_MSG_PACKET

// packetMessage is the smallest packet message: a payload of one byte, and a
// sequence number.
func packetMessage(seq uint32) []byte {
	return rawMessage(packetKind, 5, rawAttr(1, []byte{8, 0, 1, 0}), rawAttr(12, be32(seq)), rawAttr(9, []byte{byte(seq)}))
}

// doneMessage ends a batch.
func doneMessage() []byte { return rawMessage(unix.NLMSG_DONE, 5) }

// fullMessage has every attribute that there is.
func fullMessage() []byte {
	return rawMessage(packetKind, 5,
		rawAttr(1, []byte{0x86, 0xdd, 3, 0}),
		rawAttr(10, []byte("prefix\x00")),
		rawAttr(4, be32(11)), rawAttr(5, be32(12)), rawAttr(6, be32(13)), rawAttr(7, be32(14)),
		rawAttr(0x4000|2, be32(0xdeadbeef)), // NLA_F_NET_BYTEORDER, which the kernel may set
		rawAttr(8, []byte{0, 6, 0, 0, 2, 3, 4, 5, 6, 7, 0, 0}),
		rawAttr(15, be16(1)), rawAttr(17, be16(14)), rawAttr(16, []byte("ethernet head.")),
		rawAttr(3, append(be64(1700000000), be64(123456)...)),
		rawAttr(11, be32(1000)), rawAttr(14, be32(100)),
		rawAttr(12, be32(7)), rawAttr(13, be32(70)),
		rawAttr(0x8000|18, []byte("conntrack")), rawAttr(19, be32(2)),
		rawAttr(0x8000|20, cat(rawAttr(2, be16(0x2005)), rawAttr(1, be16(0x8100)), rawAttr(3, nil))),
		rawAttr(9, []byte("payload")))
}

// egressMessage is a packet of the egress hook of the netdev family.
func egressMessage(header, payload string) []byte {
	m := rawMessage(packetKind, 5, rawAttr(1, []byte{8, 0, 1, 0}), rawAttr(9, []byte(payload)), rawAttr(21, []byte(header)))
	m[16] = unix.NFPROTO_NETDEV
	return m
}

func TestDecodeEvent(t *testing.T) {
	var got nflog.Event
	result := nflog.Decode(7, fullMessage(), func(e *nflog.Event) { got = *e })
	want := nflog.Event{
		Prefix: []byte("prefix"), Payload: []byte("payload"),
		Time: time.Unix(1700000000, 123456000), Hook: 3, HWProtocol: 0x86dd, Mark: 0xdeadbeef,
		InDev: 11, OutDev: 12, PhysInDev: 13, PhysOutDev: 14,
		UID: 1000, GID: 100, HasUID: true, HasGID: true, Seq: 7, HasSeq: true,
		HWType: 1, HWAddr: []byte{2, 3, 4, 5, 6, 7}, HWHeader: []byte("ethernet head."),
		VLANProtocol: 0x8100, VLANTCI: 0x2005,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
	if want := (nflog.Result{Events: 1}); result != want {
		t.Errorf("Decode = %+v, want %+v", result, want)
	}
}

// An Event is reused: nothing of one packet may show in the next.
func TestDecodeForgets(t *testing.T) {
	var got nflog.Event
	nflog.Decode(7, cat(fullMessage(), rawMessage(packetKind, 5)), func(e *nflog.Event) { got = *e })
	if diff := cmp.Diff(nflog.Event{}, got); diff != "" {
		t.Errorf("event of a message without attributes (-want +got):\n%s", diff)
	}
}

func cat(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// with returns b with the bytes at i replaced.
func with(b []byte, i int, v ...byte) []byte {
	b = append([]byte(nil), b...)
	copy(b[i:], v)
	return b
}

// size returns b with a native 16-bit or 32-bit length in front of its header.
func size16(b []byte, i int, v uint16) []byte {
	return with(b, i, binary.NativeEndian.AppendUint16(nil, v)...)
}

func size32(b []byte, v uint32) []byte {
	return with(b, 0, binary.NativeEndian.AppendUint32(nil, v)...)
}

func errorMessage(errno unix.Errno) []byte {
	m := rawMessage(unix.NLMSG_ERROR, 0, make([]byte, 16))
	binary.NativeEndian.PutUint32(m[16:], -uint32(errno))
	return m
}

func TestDecodeDatagram(t *testing.T) {
	p := packetMessage
	tests := []struct {
		name string
		next uint32
		in   []byte
		want nflog.Result
	}{
		{"nothing", 0, nil, nflog.Result{}},
		{"one", 0, p(0), nflog.Result{Events: 1}},
		{"batch", 5, cat(p(5), p(6), p(7), doneMessage()), nflog.Result{Events: 3}},
		{"gap at the start", 5, cat(p(7), p(8)), nflog.Result{Events: 2, Lost: 2}},
		{"gap inside", 5, cat(p(5), p(9)), nflog.Result{Events: 2, Lost: 3}},
		{"two gaps", 0, cat(p(1), p(3)), nflog.Result{Events: 2, Lost: 2}},
		{"number wraps", 0xfffffffe, cat(p(0xfffffffe), p(0xffffffff), p(0), p(1)), nflog.Result{Events: 4}},
		{"gap over the wrap", 0xfffffffe, p(1), nflog.Result{Events: 1, Lost: 3}},
		{"number goes back", 100, cat(p(3), p(4), p(6)), nflog.Result{Events: 3, Lost: 1}},
		{"no number", 5, cat(rawMessage(packetKind, 5), p(5)), nflog.Result{Events: 2}},
		{"no-op", 0, cat(rawMessage(unix.NLMSG_NOOP, 0), p(0)), nflog.Result{Events: 1}},
		{"refusal", 0, cat(errorMessage(unix.ENODEV), p(0)), nflog.Result{Events: 1, Refused: unix.ENODEV}},
		{"acknowledgement", 0, cat(errorMessage(0), p(0)), nflog.Result{Events: 1}},

		{"unknown message", 0, cat(rawMessage(4<<8|1, 5), p(0)), nflog.Result{Events: 1, Malformed: 1}},
		{"error without number", 0, rawMessage(unix.NLMSG_ERROR, 0)[:18], nflog.Result{Malformed: 1}},
		{"short error", 0, cat(size32(rawMessage(unix.NLMSG_ERROR, 0), 18), p(0)), nflog.Result{Events: 1, Malformed: 1}},
		{"cut in the message header", 0, cat(p(0), p(1)[:15]), nflog.Result{Events: 1, Malformed: 1}},
		{"cut in a message", 0, cat(p(0), p(1)[:40]), nflog.Result{Events: 1, Malformed: 1}},
		{"message length 0", 0, cat(p(0), size32(p(1), 0), p(2)), nflog.Result{Events: 1, Malformed: 1}},
		{"message length 15", 0, cat(size32(p(0), 15), p(1)), nflog.Result{Malformed: 1}},
		{"message length huge", 0, size32(p(0), 0xffffffff), nflog.Result{Malformed: 1}},
		{"no nfgenmsg", 0, cat(size32(p(0)[:20], 19), p(1)), nflog.Result{Events: 1, Lost: 1, Malformed: 1}},
		{"attribute length 0", 0, cat(p(0), size16(p(1), 20, 0), p(2)), nflog.Result{Events: 2, Lost: 1, Malformed: 1}},
		{"attribute length 3", 0, size16(p(0), 20, 3), nflog.Result{Malformed: 1}},
		{"attribute length beyond the message", 0, cat(size16(p(0), 36, 100), p(1)), nflog.Result{Events: 1, Lost: 1, Malformed: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			calls := uint64(0)
			got := nflog.Decode(tt.next, tt.in, func(e *nflog.Event) { calls++ })
			if got != tt.want {
				t.Errorf("Decode = %+v, want %+v", got, tt.want)
			}
			if calls != got.Events {
				t.Errorf("%d calls of the handler for %d events", calls, got.Events)
			}
		})
	}
}

// Each attribute of a fixed size is worth nothing when it is shorter.
func TestDecodeShortAttributes(t *testing.T) {
	for _, tag := range [][]byte{rawAttr(1, []byte{8}), rawAttr(2, []byte{8}), size16(rawAttr(1, be16(8)), 0, 3), size16(rawAttr(1, be16(8)), 0, 9)} {
		got := nflog.Decode(0, rawMessage(packetKind, 5, rawAttr(0x8000|20, tag)), func(*nflog.Event) {
			t.Errorf("VLAN tag %x: handed over", tag)
		})
		if want := (nflog.Result{Malformed: 1}); got != want {
			t.Errorf("VLAN tag %x: %+v, want %+v", tag, got, want)
		}
	}
	for kind, size := range map[uint16]int{1: 4, 2: 4, 3: 16, 4: 4, 5: 4, 6: 4, 7: 4, 8: 12, 11: 4, 12: 4, 14: 4, 15: 2} {
		whole := nflog.Decode(0, rawMessage(packetKind, 5, rawAttr(kind, make([]byte, size))), func(*nflog.Event) {})
		if want := (nflog.Result{Events: 1}); whole != want {
			t.Errorf("attribute %d of %d bytes: %+v, want %+v", kind, size, whole, want)
		}
		short := nflog.Decode(0, rawMessage(packetKind, 5, rawAttr(kind, make([]byte, size-1))), func(*nflog.Event) {
			t.Errorf("attribute %d of %d bytes: handed over", kind, size-1)
		})
		if want := (nflog.Result{Malformed: 1}); short != want {
			t.Errorf("attribute %d of %d bytes: %+v, want %+v", kind, size-1, short, want)
		}
	}
}

// The link-layer header is cut off where it is there, and nothing else is.
func TestDecodeEgress(t *testing.T) {
	ingress, bridge := egressMessage("head", "headpacket"), egressMessage("head", "headpacket")
	ingress[22+4] = unix.NF_NETDEV_INGRESS
	bridge[16] = unix.NFPROTO_BRIDGE
	for _, tt := range []struct {
		name, want string
		in         []byte
	}{
		{"header", "packet", egressMessage("head", "headpacket")},
		{"header only", "", egressMessage("head", "head")},
		{"header cut", "", egressMessage("head", "hea")},
		{"no header", "packet", egressMessage("", "packet")},
		{"another header", "packet", egressMessage("head", "packet")},
		{"ingress", "headpacket", ingress},
		{"bridge", "headpacket", bridge},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := nflog.Decode(0, tt.in, func(e *nflog.Event) {
				if string(e.Payload) != tt.want {
					t.Errorf("payload %q, want %q", e.Payload, tt.want)
				}
			})
			if want := (nflog.Result{Events: 1}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

func TestDecodeLongHardwareAddress(t *testing.T) {
	m := rawMessage(packetKind, 5, rawAttr(8, []byte{0xff, 0xff, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8}))
	nflog.Decode(0, m, func(e *nflog.Event) {
		if len(e.HWAddr) != 8 || cap(e.HWAddr) != 8 {
			t.Errorf("hardware address %v with capacity %d, want the 8 bytes there are", e.HWAddr, cap(e.HWAddr))
		}
	})
}

// A handler that appends to a slice must not write over the packets behind it.
func TestDecodeSlicesAreClipped(t *testing.T) {
	nflog.Decode(7, fullMessage(), func(e *nflog.Event) {
		for _, s := range [][]byte{e.Prefix, e.Payload, e.HWAddr, e.HWHeader} {
			if len(s) == 0 || cap(s) != len(s) {
				t.Errorf("slice of %d bytes with capacity %d", len(s), cap(s))
			}
		}
	})
}

// FuzzDatagram feeds the decoder anything: it must not panic, must count what it
// cannot read, and must hand over nothing from outside the datagram.
func FuzzDatagram(f *testing.F) {
	p := packetMessage
	for _, b := range [][]byte{
		nil, p(0), cat(p(0), p(1), doneMessage()), cat(p(3), p(1)), fullMessage(),
		errorMessage(unix.ENODEV), size16(fullMessage(), 20, 3), size32(p(0), 1<<31), p(0)[:30],
		cat(fullMessage(), rawMessage(packetKind, 5)), egressMessage("head", "headpacket"), egressMessage("head", "he"),
	} {
		f.Add(uint32(0), b)
	}
	f.Fuzz(func(t *testing.T, next uint32, b []byte) {
		b = append([]byte(nil), b...)[:len(b):len(b)]
		before := string(b)
		calls := uint64(0)
		got := nflog.Decode(next, b, func(e *nflog.Event) {
			calls++
			for _, s := range [][]byte{e.Prefix, e.Payload, e.HWAddr, e.HWHeader} {
				checkWithin(t, b, s)
			}
			if !e.HasSeq && e.Seq != 0 || !e.HasUID && e.UID != 0 || !e.HasGID && e.GID != 0 {
				t.Errorf("a value without its Has flag: %+v", e)
			}
		})
		if string(b) != before {
			t.Error("decoder wrote to the datagram")
		}
		if calls != got.Events {
			t.Errorf("%d calls of the handler for %d events", calls, got.Events)
		}
		if most := uint64(len(b)/16 + 1); got.Events+got.Malformed > most {
			t.Errorf("%+v from %d bytes", got, len(b))
		}
		if len(b) > 0 && got == (nflog.Result{}) && len(b) < 16 {
			t.Errorf("%d bytes are no message, and not counted", len(b))
		}
	})
}

// checkWithin checks that s is a part of b, capacity and all.
func checkWithin(t *testing.T, b, s []byte) {
	t.Helper()
	if cap(s) == 0 {
		return
	}
	first, start := uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	if start < first || start+uintptr(cap(s)) > first+uintptr(len(b)) {
		t.Errorf("slice of %d bytes from outside the datagram", cap(s))
	}
}
