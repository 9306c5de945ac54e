package engine

import (
	"bytes"
	"log/slog"
	"net/netip"

	"moonlatch/engine/control"
	"moonlatch/engine/geo"
	"moonlatch/engine/policy"
)

// Place tells what the databases of the running policy know of an address: nothing where it names none.
func (d *Daemon) Place(a netip.Addr) geo.Place {
	rt := d.running.Load()
	if rt == nil {
		return geo.Place{}
	}
	return rt.policy.Place(a)
}

// locate tells where a target is, as far as the policy that runs knows. Only what is one customer's is anywhere:
// an address, or a prefix of IPv6 up to a /64.
func (f *Firewall) locate(target netip.Prefix) control.Location {
	if f.place == nil || !isPlace(target) {
		return control.Location{}
	}
	return tellPlace(f.place(target.Addr()))
}

func isPlace(target netip.Prefix) bool { return target.IsSingleIP() || target.Bits() >= 64 }

func tellPlace(p geo.Place) control.Location {
	return control.Location{Country: p.Country, ASN: p.ASN, Network: p.Network}
}

// locateAlone is locate also where no daemon runs: then the policy of the generation in force is read to see which databases it names.
func (f *Firewall) locateAlone(target netip.Prefix, g *control.Generation) control.Location {
	if f.place != nil || g == nil || !isPlace(target) {
		return f.locate(target)
	}
	files, err := f.generations.Files(g.Number)
	if err != nil || !namesPlaces(files) {
		return control.Location{}
	}
	p, err := policy.Load(bundle(files), g.Policy, environment(slog.New(slog.DiscardHandler), nil, nil))
	if err != nil { // it is in force all the same, and says no more of an address
		return control.Location{}
	}
	defer p.Close()
	return tellPlace(p.Place(target.Addr()))
}

// namesPlaces reports whether a policy may have databases. Most have none, and need not be read.
func namesPlaces(files map[string][]byte) bool {
	for _, content := range files {
		if bytes.Contains(content, []byte("geo")) {
			return true
		}
	}
	return false
}
