package detect

import "moonlatch/engine/packet"

// key is whose events are counted together: an IPv4 address in its IPv6-mapped
// form, or an IPv6 /64.
type key [16]byte

// sourceKey returns the key of a packet whose source is valid.
func sourceKey(p *packet.Packet) key {
	k := key(p.Src.As16())
	if p.Src.Is6() {
		clear(k[8:])
	}
	return k
}
