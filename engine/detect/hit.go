package detect

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/packet"
)

// maxEvidence bounds the ports and addresses that a Hit carries, which end up
// in logs and ban reasons.
const maxEvidence = 64

// Hit says what crossed the threshold, and shows the evidence.
type Hit struct {
	Detector string

	// Src is invalid where the Key has no source. Otherwise it is the address
	// that crossed the threshold, with the prefix length of what was counted
	// together: others of that prefix may have counted too.
	Src   netip.Prefix
	Dst   netip.Addr // invalid where the Key has none
	Dport uint16     // 0 where the Key has none

	First, Last time.Time // oldest and newest event counted
	Count       int64     // more than Spec.Over: by one, but for Bytes
	Of          Count     // what was counted
	Per         Key       // what the events have in common

	// Ports are, for DistinctDport, the latest 64 ports at most, ascending;
	// otherwise that of the last packet, if it has one.
	Ports []uint16
	// Addrs are, for DistinctDst and DistinctSrc, the latest 64 addresses at
	// most, ascending, that stand for their /64 where they are IPv6 sources; otherwise nil.
	Addrs []netip.Addr
}

// Key names what the events have in common: "203.0.113.9", "203.0.113.0/24",
// "203.0.113.9 to 192.0.2.1" or "2001:db8::/64 to port 22".
func (h *Hit) Key() string {
	var src string
	if h.Src.IsValid() {
		src = h.Src.Addr().String()
		if !h.Src.IsSingleIP() {
			src = h.Src.Masked().String()
		}
	}
	switch {
	case h.Per.hasDport():
		return fmt.Sprintf("%s to port %d", src, h.Dport)
	case h.Per == Dst:
		return h.Dst.String()
	case h.Per == SrcDst:
		return fmt.Sprintf("%s to %s", src, h.Dst)
	}
	return src
}

// Why is the evidence in short, without the source: "11 ports in 2s".
func (h *Hit) Why() string {
	where := ""
	switch {
	case h.Per.hasDport():
		where = fmt.Sprintf(" to port %d", h.Dport)
	case h.Per.hasDst():
		where = fmt.Sprintf(" to %s", h.Dst)
	}
	return fmt.Sprintf("%d %s%s in %s", h.Count, h.Of.Noun(), where, h.Last.Sub(h.First).Round(time.Millisecond))
}

// hit makes the Hit of a slot whose last packet is p.
func (d *Detector) hit(slot int, p *packet.Packet) *Hit {
	head := &d.table.heads[slot]
	h := &Hit{Detector: d.spec.Name, Of: d.spec.Count, Per: d.spec.Per, Count: head.count, Last: time.Unix(0, head.last)}
	if d.spec.Per.hasSrc() {
		h.Src = netip.PrefixFrom(p.Src, d.sourceBits(p.Src))
	}
	if d.spec.Per.hasDst() {
		h.Dst = p.Dst
	}
	if d.spec.Per.hasDport() {
		h.Dport = p.Dport
	}
	if d.distinct == nil {
		h.First = time.Unix(0, d.sums.start(head, slot))
	} else {
		h.First = time.Unix(0, d.distinct.start(head, slot))
	}
	d.show(h, slot, p)
	return h
}

// show adds ports and addresses.
func (d *Detector) show(h *Hit, slot int, p *packet.Packet) {
	switch {
	case d.spec.Count == DistinctDport:
		d.distinct.latest(&d.table.heads[slot], slot, maxEvidence, func(_ int, l link) { h.Ports = append(h.Ports, uint16(l.short)) })
		slices.Sort(h.Ports)
		return
	case d.spec.Count.addresses():
		d.distinct.latest(&d.table.heads[slot], slot, maxEvidence, func(i int, _ link) {
			h.Addrs = append(h.Addrs, d.distinct.values[i].addr())
		})
		slices.SortFunc(h.Addrs, netip.Addr.Compare)
	}
	if p.HasPorts {
		h.Ports = []uint16{p.Dport}
	}
}

func (d *Detector) sourceBits(a netip.Addr) int {
	bits4, bits6 := d.spec.bits()
	if a.Is4() {
		return bits4
	}
	return bits6
}
