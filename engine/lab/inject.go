package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Captured is a packet as it once was on a wire.
type Captured struct {
	Data     []byte     // from its network header on, all of it
	Src, Dst netip.Addr // as Data has them
	MAC      [6]byte    // of the sender
	Iif      string     // default Inside
	Oif      string     // where it leaves if it is not for the host; default Outside, or Inside for what the host sends
	Output   bool       // the host itself sends it
}

// In is the interface that the packet comes in by.
func (p *Captured) In() string {
	if p.Iif == "" {
		return Inside
	}
	return p.Iif
}

// Out is the interface that it leaves by, if it is not for the host.
func (p *Captured) Out() string {
	switch {
	case p.Oif != "":
		return p.Oif
	case p.Output || p.In() == Outside:
		return Inside
	}
	return Outside
}

// Fate is what became of a packet, and who decided it.
type Fate struct {
	Verdict     Verdict
	Chain, Rule string // as of a Result
}

// widest is the largest packet that IP has.
const widest = 1<<16 - 1

// Still makes the lab ready for many packets of Inject: its thread stays on one processor until it is
// released, its cables take packets of any size, as captures hold those that the
// hardware cuts and joins, and checksums are not looked at, since captures hold many that
// the hardware was to fill in.
func (l *Lab) Still() (release func(), err error) {
	if err := l.sysctl("netfilter/nf_conntrack_checksum", "0"); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil, err
	}
	l.wide, l.traces.brief = true, true
	for name := range l.links {
		if err := l.widen(name); err != nil {
			return nil, err
		}
	}
	return stay()
}

// widen lets a cable take packets of any size.
func (l *Lab) widen(name string) error {
	up := func() error {
		k, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetMTU(k, widest)
		}
		return err
	}
	if err := errors.Join(up(), l.wire.Do(up)); err != nil {
		return fmt.Errorf("interface %s: %w", name, err)
	}
	return nil
}

// Inject sends a packet through the host, and returns what became of it when all is observed that the
// rules logged of it. Still comes first.
func (l *Lab) Inject(p *Captured) (Fate, error) {
	if err := l.list(context.Background()); err != nil {
		return Fate{}, err
	}
	l.left = false
	if err := l.put(p); err != nil {
		return Fate{}, err
	}
	steps, err := l.sync()
	if err != nil {
		return Fate{}, err
	}
	return l.fate(steps), nil
}

// put sends the packet.
func (l *Lab) put(p *Captured) error {
	if p.Output {
		return l.emit(p.Out(), p.Dst, p.Data)
	}
	if err := l.routeBy(p.Out()); err != nil {
		return err
	}
	k, err := l.link(p.In())
	if err != nil {
		return err
	}
	return l.inject(k, hardware(p.Dst, k.mac), net.HardwareAddr(p.MAC[:]), p.Data)
}
