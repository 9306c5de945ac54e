package engine

import (
	"net/netip"

	"moonlatch/engine/geo"
)

// Place tells what the databases of the running policy know of an address: nothing where it names none.
func (d *Daemon) Place(a netip.Addr) geo.Place {
	rt := d.running.Load()
	if rt == nil {
		return geo.Place{}
	}
	return rt.policy.Place(a)
}
