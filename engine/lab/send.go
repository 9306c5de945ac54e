package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/nflog"
)

// patience is how long the kernel may take over one packet; only a broken lab
// is that slow.
const patience = 30 * time.Second

// Send sends a packet and returns what became of it. All that the packet made the rules log
// has been observed then.
func (l *Lab) Send(ctx context.Context, p Packet) (*Result, error) {
	p, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := l.list(ctx); err != nil {
		return nil, err
	}
	release, err := stay()
	if err != nil {
		return nil, err
	}
	defer release()
	l.left = false
	if p.Output {
		err = l.sendOut(p)
	} else {
		err = l.sendIn(p)
	}
	if err != nil {
		return nil, err
	}
	steps, err := l.sync()
	if err != nil {
		return nil, err
	}
	return l.judge(p, steps), nil
}

// Connect makes the flow that a packet begins an established one: its answer, and
// what follows on that, are sent as well. It returns what became of the packet; a
// flow whose first packet does not pass is not established.
func (l *Lab) Connect(ctx context.Context, p Packet) (*Result, error) {
	p, err := p.withDefaults()
	if err != nil {
		return nil, err
	}
	first, err := l.Send(ctx, p)
	if err != nil || first.Verdict != Accept {
		return first, err
	}
	back := reply(p, l.logged)
	back.Iif, back.Oif = first.Oif, p.Iif
	switch {
	case p.Output:
		back.Output, back.Iif = false, p.Oif
	case first.Oif == "":
		back.Output = true
	}
	answer, err := l.Send(ctx, back)
	if err != nil {
		return nil, err
	}
	if answer.Verdict != Accept {
		first.Answer = answer
		return first, nil
	}
	if _, err := l.Send(ctx, p.Following()); err != nil {
		return nil, err
	}
	return first, nil
}

// sendIn injects a frame at the far end of a cable.
func (l *Lab) sendIn(p Packet) error {
	k, err := l.link(p.Iif)
	if err != nil {
		return err
	}
	if err := l.routeBy(p.Oif); err != nil {
		return err
	}
	b, err := p.bytes()
	if err != nil {
		return err
	}
	return l.inject(k, hardware(p.Dst, k.mac), p.MAC, b)
}

// inject sends a network packet in a frame.
func (l *Lab) inject(k link, to, from net.HardwareAddr, b []byte) error {
	ethertype := uint16(unix.ETH_P_IP)
	if b[0]>>4 == 6 {
		ethertype = unix.ETH_P_IPV6
	}
	frame := append(append([]byte{}, to...), from...)
	frame = append(binary.BigEndian.AppendUint16(frame, ethertype), b...)
	if err := unix.Sendto(l.frames, frame, 0, &unix.SockaddrLinklayer{Ifindex: k.farIndex}); err != nil {
		return fmt.Errorf("inject a frame: %w", err)
	}
	return nil
}

// hardware is the destination of a frame with a packet for an address.
func hardware(dst netip.Addr, own net.HardwareAddr) net.HardwareAddr {
	b := dst.AsSlice()
	switch {
	case dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return net.HardwareAddr{255, 255, 255, 255, 255, 255}
	case dst.Is4() && dst.IsMulticast():
		return net.HardwareAddr{1, 0, 0x5e, b[1] & 0x7f, b[2], b[3]}
	case dst.IsMulticast():
		return net.HardwareAddr{0x33, 0x33, b[12], b[13], b[14], b[15]}
	}
	return own
}

// sendOut has the host itself send a packet.
func (l *Lab) sendOut(p Packet) error {
	b, err := p.bytes()
	if err != nil {
		return err
	}
	return l.emit(p.Oif, p.Dst, b)
}

// emit has the host itself send a network packet.
func (l *Lab) emit(oif string, dst netip.Addr, b []byte) (err error) {
	if oif != "lo" {
		if err := l.sendBy(oif); err != nil {
			return err
		}
	}
	fd, to := &l.raw4, unix.Sockaddr(&unix.SockaddrInet4{Addr: as4(dst)})
	if dst.Is6() {
		fd, to = &l.raw6, &unix.SockaddrInet6{Addr: dst.As16(), ZoneId: uint32(l.links[oif].index)} // which counts on a link only
	}
	if *fd < 0 {
		if *fd, err = rawSocket(dst.Is6()); err != nil {
			return fmt.Errorf("raw socket: %w", err)
		}
	}
	if err := unix.Sendto(*fd, b, 0, to); err != nil && !isVerdict(err) {
		return fmt.Errorf("send from the host: %w", err)
	}
	return nil
}

// isVerdict reports whether an error is what a sender hears when the packet was dropped: by a rule, or, with all but
// the first two, by the kernel itself.
func isVerdict(err error) bool {
	for _, v := range [...]error{unix.EPERM, unix.ECONNREFUSED, unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EADDRNOTAVAIL, unix.EINVAL, unix.EACCES} {
		if errors.Is(err, v) {
			return true
		}
	}
	return false
}

func rawSocket(v6 bool) (int, error) {
	family := unix.AF_INET
	if v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW) // which includes the header
	if err != nil {
		return -1, err
	}
	// A copy of its own that a multicast packet brings to the host would pass for another packet.
	level, loop := unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP
	if v6 {
		level, loop = unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, ownMark), unix.SetsockoptInt(fd, level, loop, 0))
	if !v6 {
		err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// sync waits until the kernel is done with all that was sent, and returns what it
// traced. It sends a frame of its own behind the others: where the lab sees that
// one, everything before it is through.
func (l *Lab) sync() ([]step, error) {
	k := l.links[syncLink]
	if err := l.inject(k, k.mac, k.mac, l.marker); err != nil {
		return nil, err
	}
	steps, err := l.traced()
	if err != nil {
		return nil, err
	}
	for done := false; !done; {
		err := l.events.Read(func(ev *nflog.Event) {
			switch string(ev.Prefix) {
			case syncPrefix:
				done = true
			case endPrefix:
				l.ended(ev)
			default:
				if l.Observe != nil {
					l.Observe(ev)
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("read packet events: %w", err)
		}
	}
	return steps, nil
}

// ended notes a packet that came through, as it then was.
func (l *Lab) ended(ev *nflog.Event) {
	p := &l.logged
	p.Iif, p.Oif, p.Mark = ev.InDev, ev.OutDev, ev.Mark
	l.left = p.Decode(ev.HWProtocol, ev.Payload) == nil
	p.Payload = nil // it lies in the reader's memory
}

// traced reads traces up to that of the lab's own frame.
func (l *Lab) traced() ([]step, error) {
	l.steps = l.steps[:0]
	for {
		done, err := l.traces.read(func(s step) bool {
			switch {
			case s.table == ownTable && s.chain == "first" && s.verdict == verdictDrop:
				return true
			case s.table != ownTable || s.chain != "first" && s.chain != "sent":
				l.steps = append(l.steps, s)
			}
			return false
		})
		if done || err != nil {
			return l.steps, err
		}
	}
}

func as4(a netip.Addr) [4]byte {
	if a.Is4() {
		return a.As4()
	}
	return [4]byte{}
}
