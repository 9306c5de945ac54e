package ruleset

import (
	"fmt"
	"net/netip"
	"strings"
)

// Action is something done to a packet, in nft's words. Make one with the
// functions below.
type Action struct {
	Name   string // in a policy, for people
	v4, v6 string // for each family, or empty where it cannot be done to its packets
	last   bool   // nothing can stand behind it
	nat    string // the kinds of hook that it needs a nat chain at; empty where it needs none
	ports  bool   // the rule must name a protocol with ports
}

func (Action) item() {}

func (a Action) do(_ *Rule, f family) string {
	if f == ipv6 {
		return a.v6
	}
	return a.v4
}

func (a Action) ends() bool  { return a.last }
func (a Action) split() bool { return a.v4 != a.v6 }

func (a Action) serves(f family) bool { return a.do(nil, f) != "" }

func same(name, text string) Action { return Action{Name: name, v4: text, v6: text} }

// SetMark sets the packet's mark; with a mask, only the bits of the mask.
func SetMark(value, mask uint32) Action { return setMark("fw.mark", "meta mark", value, mask) }

// SetConnMark sets the mark of the packet's connection.
func SetConnMark(value, mask uint32) Action { return setMark("fw.ctmark", "ct mark", value, mask) }

func setMark(name, key string, value, mask uint32) Action {
	if mask == 0xffffffff {
		return same(name, fmt.Sprintf("%s set 0x%x", key, value))
	}
	return same(name, fmt.Sprintf("%s set %s & 0x%x | 0x%x", key, key, ^mask, value&mask))
}

// SaveMark copies the packet's mark to its connection, and RestoreMark the other way.
func SaveMark() Action    { return same("fw.ctmark", "ct mark set meta mark") }
func RestoreMark() Action { return same("fw.mark", "meta mark set ct mark") }

// SetDSCP sets the differentiated services code point.
func SetDSCP(n uint8) Action {
	return Action{Name: "fw.dscp", v4: fmt.Sprintf("ip dscp set %d", n), v6: fmt.Sprintf("ip6 dscp set %d", n)}
}

// NoTrack exempts the packet from connection tracking.
func NoTrack() Action { return same("fw.notrack", "notrack") }

// MSS sets the maximum segment size that a TCP connection's packets announce:
// to size bytes or, where that is 0, to what fits the route.
func MSS(size uint16) Action {
	to := "rt mtu"
	if size > 0 {
		to = fmt.Sprint(size)
	}
	return same("fw.mss", "tcp option maxseg size set "+to)
}

// Queue hands the packet to the user space program on one of the queues.
func Queue(from, to uint16, bypass, fanout bool) Action {
	var flags []string
	for _, f := range []struct {
		on   bool
		name string
	}{{bypass, "bypass"}, {fanout, "fanout"}} {
		if f.on {
			flags = append(flags, f.name)
		}
	}
	text := "queue"
	if len(flags) > 0 {
		text += " flags " + strings.Join(flags, ",")
	}
	a := same("fw.queue", text+" to "+PortRange{from, to}.String())
	a.last = true
	return a
}

// Duplicate sends a copy of the packet out through an interface, in netdev chains.
func Duplicate(device string) Action { return same("fw.dup", "dup to "+quote(device)) }

// SYNProxy answers new TCP connections itself and lets only those on that
// complete them. The rule must match untracked and invalid packets.
func SYNProxy(mss uint16, wscale uint8, timestamp, sack bool) Action {
	text := fmt.Sprintf("synproxy mss %d wscale %d", mss, wscale)
	if timestamp {
		text += " timestamp"
	}
	if sack {
		text += " sack-perm"
	}
	return same("fw.synproxy", text)
}

// TProxy hands the packet to a local socket without changing it. An invalid
// address means every family's own.
func TProxy(to netip.Addr, port uint16) Action {
	return towards("fw.tproxy", "tproxy", Target{From: to, To: to, Ports: PortRange{port, port}})
}

// Target is where address translation sends packets: addresses, ports, or both.
type Target struct {
	From, To netip.Addr // inclusive; both invalid for the ports alone
	Ports    PortRange  // zero for the addresses alone
	Flags    []string   // random, fully-random, persistent
}

func (t Target) String() string {
	ports := ""
	if t.Ports != (PortRange{}) {
		ports = ":" + t.Ports.String()
	}
	switch {
	case !t.From.IsValid():
		return ports
	case t.From.Is6() && ports != "" && t.From != t.To:
		return fmt.Sprintf("[%s]-[%s]%s", t.From, t.To, ports)
	case t.From.Is6() && ports != "":
		return fmt.Sprintf("[%s]%s", t.From, ports)
	case t.From != t.To:
		return fmt.Sprintf("%s-%s%s", t.From, t.To, ports)
	}
	return t.From.String() + ports
}

// towards is an action with at most one target of each family. It names the
// family where a target has addresses of one.
func towards(name, text string, targets ...Target) Action {
	a := Action{Name: name}
	for _, t := range targets {
		a.add(text, t)
	}
	return a
}

func (a *Action) add(text string, t Target) {
	a.ports = a.ports || t.Ports != (PortRange{})
	to := ""
	if s := t.String(); s != "" {
		to = " to " + s
	}
	flags := ""
	if len(t.Flags) > 0 {
		flags = " " + strings.Join(t.Flags, ",")
	}
	switch {
	case !t.From.IsValid():
		a.v4, a.v6 = text+to+flags, text+to+flags
	case t.From.Is6():
		a.v6 = text + " ip6" + to + flags
	default:
		a.v4 = text + " ip" + to + flags
	}
}

// The four ways to translate addresses take a target for each family, or one
// without addresses. Each belongs into a chain of type nat.

// SNAT gives packets another source.
func SNAT(to ...Target) Action { return translation("snat", "postrouting input", to...) }

// DNAT gives packets another destination.
func DNAT(to ...Target) Action { return translation("dnat", "prerouting output", to...) }

// Masquerade gives packets the address of the interface that they leave through.
func Masquerade(to ...Target) Action { return translation("masquerade", "postrouting", to...) }

// Redirect sends packets to this host itself.
func Redirect(to ...Target) Action { return translation("redirect", "prerouting output", to...) }

func translation(text, hooks string, targets ...Target) Action {
	a := towards("fw."+text, text, targets...)
	a.last, a.nat = true, hooks
	return a
}
