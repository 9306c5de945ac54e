package engine

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"moonlatch/engine/policy"
)

// besides is what is protected where a policy is applied, besides what it says and what this host needs. To find
// it may take as long as a resolver does.
type besides struct {
	users  []netip.Prefix            // of moonlatch protect
	named  map[string][]netip.Prefix // what the policy's names resolve to
	failed map[string]error          // names that do not resolve
	last   map[string]answer         // what these resolved to last, where that is known
	unread error                     // why it is not
}

func alsoProtected(p *policy.Policy, list protectedFile, kept namesFile) (b besides, err error) {
	b.named, b.failed = resolveAll(p.ProtectedNames(), func(name string) ([]netip.Addr, error) {
		return resolve(net.DefaultResolver, name, resolveTimeout)
	})
	if len(b.failed) > 0 {
		b.last, b.unread = kept.read(time.Now())
	}
	b.users, err = list.prefixes()
	return b, err
}

func (b besides) prefixes() []netip.Prefix {
	out := slices.Clone(b.users)
	for _, name := range slices.Sorted(maps.Keys(b.named)) {
		out = append(out, b.named[name]...)
	}
	for _, name := range slices.Sorted(maps.Keys(b.failed)) {
		out = append(out, b.last[name].prefixes()...)
	}
	return out
}

func (b besides) warnings() []string {
	var out []string
	if b.unread != nil {
		out = append(out, b.unread.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(b.failed)) {
		who := "nobody yet"
		if a, ok := b.last[name]; ok {
			who = fmt.Sprintf("what it resolved to last, %s ago", time.Since(a.Resolved).Round(time.Second))
		}
		out = append(out, fmt.Sprintf("fw.protect %q protects %s: %v; the daemon goes on trying", name, who, b.failed[name]))
	}
	return out
}
