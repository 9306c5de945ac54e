package replay

import (
	"net/netip"
	"strings"

	"golang.org/x/sys/unix"

	"moonlatch/engine/capture"
	"moonlatch/engine/packet"
)

// Why packets are not played.
const (
	skipNoIP     = "no IP packet"
	skipBroken   = "no readable IP header"
	skipOther    = "for another host: seen, but not received"
	skipOutgoing = "forwarded, and seen once more on its way out"
	skipLoopback = "of the host to itself"
	skipTime     = "without a time"
	skipStream   = "logged by no stream that a log prefix names"
)

// model says which way a captured packet goes through the host.
type model struct {
	hosts  map[netip.Addr]bool
	iif    string
	logged string
	names  map[string]bool // of interfaces that are used
}

func newModel(o Options) *model {
	m := &model{hosts: map[netip.Addr]bool{}, iif: o.Iif, logged: o.Logged, names: map[string]bool{}}
	for _, a := range o.Hosts.Addresses {
		m.hosts[a] = true
	}
	return m
}

// place fills a moment with a packet, or says why it is not to be played.
func (m *model) place(to *moment, p *capture.Packet) (skip string) {
	if p.Protocol != 0 && p.Protocol != unix.ETH_P_IP && p.Protocol != unix.ETH_P_IPV6 || len(p.Data) == 0 {
		return skipNoIP
	}
	h := &to.header
	if err := h.Decode(p.Protocol, p.Data); !h.Src.IsValid() || !h.Dst.IsValid() {
		_ = err // what matters is that there are addresses
		return skipBroken
	}
	h.Payload = nil // it lies in the reader's memory
	if p.Time.IsZero() {
		return skipTime
	}
	to.length = len(p.Data) + p.Cut
	if m.logged != "" || p.Log != nil {
		return m.log(to, p)
	}
	c := &to.packet
	c.Src, c.Dst, c.MAC = h.Src, h.Dst, p.MAC
	if c.Output = m.hosts[h.Src]; c.Output && m.hosts[h.Dst] || h.Src.IsLoopback() {
		return skipLoopback
	}
	switch {
	case p.Direction == capture.Other:
		return skipOther
	case p.Direction == capture.Out && !c.Output:
		return skipOutgoing
	}
	c.Iif = m.link(p.Interface)
	if c.Output {
		c.Iif, c.Oif = "", c.Iif
	}
	c.Data = whole(c.Data, p, h)
	return ""
}

// whole is all of a packet: zeros stand for what was not captured, and what the link layer added behind it is not in it.
func whole(to []byte, p *capture.Packet, h *packet.Packet) []byte {
	to = append(to, p.Data...)
	switch missing := h.Length - len(p.Data); {
	case h.Length > 0 && missing < 0:
		return to[:h.Length]
	case missing > 0:
		return append(to, make([]byte, min(missing, p.Cut))...)
	}
	return to
}

// log fills a moment with a packet that was logged already.
func (m *model) log(to *moment, p *capture.Packet) (skip string) {
	to.packet.Src = to.header.Src
	if p.Log != nil {
		to.log = *p.Log
		to.log.Prefix = append([]byte(nil), p.Log.Prefix...)
	}
	to.stream = m.logged
	if to.stream == "" {
		stream, _, ok := strings.Cut(string(to.log.Prefix), ":")
		if !ok {
			return skipStream
		}
		to.stream = stream
	}
	if p.Log == nil {
		to.log.Prefix = []byte(to.stream)
	}
	to.packet.Data = append(to.packet.Data, p.Data...)
	to.log.Payload, to.log.HWProtocol, to.log.Time = to.packet.Data, p.Protocol, p.Time
	to.log.HWHeader = nil
	to.log.InDev, to.log.OutDev = 0, 0 // indexes of interfaces that are not here
	if to.log.HWAddr = nil; p.HasMAC {
		to.log.HWAddr = append([]byte(nil), p.MAC[:]...)
	}
	return ""
}

// maxLinks bounds the interfaces of a capture that the host gets.
const maxLinks = 64

// link is the host's interface for one of the capture's; "" for the default.
func (m *model) link(name string) string {
	const longest = unix.IFNAMSIZ - 1
	if m.iif != "" {
		return m.iif
	}
	if name == "" || name == "any" || name == "lo" || len(name) > longest || strings.ContainsAny(name, "/ \t\n:%\"\\") || name == "." || name == ".." || strings.HasPrefix(name, "lab-") {
		return ""
	}
	if !m.names[name] && len(m.names) == maxLinks {
		return ""
	}
	m.names[name] = true
	return name
}
