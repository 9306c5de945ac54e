package engine

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"

	"moonlatch/engine/policy"
)

// besides is what is protected where a policy is applied, besides what it says and what this host needs. To find
// it may take as long as a resolver does.
type besides struct {
	users  []netip.Prefix            // of moonlatch protect
	named  map[string][]netip.Prefix // what the policy's names resolve to
	failed map[string]error          // names that do not resolve
}

func alsoProtected(p *policy.Policy, list protectedFile) (b besides, err error) {
	b.named, b.failed = resolveAll(p.ProtectedNames(), func(name string) ([]netip.Addr, error) {
		return resolve(net.DefaultResolver, name, resolveTimeout)
	})
	b.users, err = list.prefixes()
	return b, err
}

func (b besides) prefixes() []netip.Prefix {
	out := slices.Clone(b.users)
	for _, name := range slices.Sorted(maps.Keys(b.named)) {
		out = append(out, b.named[name]...)
	}
	return out
}

func (b besides) warnings() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(b.failed)) {
		out = append(out, fmt.Sprintf("fw.protect %q protects nobody yet: %v; the daemon goes on trying", name, b.failed[name]))
	}
	return out
}
