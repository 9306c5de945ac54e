package ruleset

import (
	"fmt"
	"strings"
	"time"
)

// A gate lets a table take part in filtering, or stand aside, by whether the
// elements of a set are there. The kernel takes expired elements away, so a
// gate opens or closes on time with no process alive.
//
// Its key must be the same for every packet that a family's chains see. In the
// inet family that is the packet's own family. The other families know no such
// key; there, the packet's mark with every bit masked away is always 0.
type gate struct {
	setType, key string
	elements     []string
}

func (f Family) gate() gate {
	if f == Inet {
		return gate{"typeof meta nfproto", "meta nfproto", []string{"ipv4", "ipv6"}}
	}
	return gate{"type mark", "meta mark & 0x0", []string{"0x0"}}
}

// The names of the gates: a generation on trial filters while its lease lasts; the
// generation it stands in for stands aside while its yield lasts; and one with a
// liveness lease filters while it is alive, on trial or not.
const (
	Lease = "lease"
	Yield = "yield"
	Alive = "alive"
)

// LeaseComment, YieldComment and AliveComment mark the rules of the gates, by which
// they are found again. No rule of an author's is named like them.
const (
	LeaseComment = ownComment + "lease"
	YieldComment = ownComment + "yield"
	AliveComment = ownComment + "alive"
)

// ownComment is how the comments of our own rules begin.
const ownComment = "moonlatch "

// DeclareGate is the nft command that adds the gate's set to a table.
func DeclareGate(f Family, table, name string) string {
	return fmt.Sprintf("add set %s %s %s { %s; flags timeout; }", f, table, name, f.gate().setType)
}

// FillGate is the nft command that puts the gate's elements in, for the given
// time or, where that is 0, for good.
func FillGate(f Family, table, name string, d time.Duration) string {
	timeout := ""
	if d > 0 {
		timeout = " timeout " + milliseconds(d)
	}
	elements := strings.Join(f.gate().elements, timeout+", ") + timeout
	return fmt.Sprintf("add element %s %s %s { %s }", f, table, name, elements)
}

// whileRule makes a table stand aside unless the gate's elements are there.
func (f Family) whileRule(name, comment string) string {
	return fmt.Sprintf("%s != @%s accept comment %s", f.gate().key, name, quote(comment))
}

// YieldRule is the nft command that makes a base chain stand aside while the
// table's yield lasts. It goes in front of every other rule of the chain.
func YieldRule(f Family, table, chain string) string {
	return fmt.Sprintf("insert rule %s %s %s %s @%s accept comment %s", f, table, chain, f.gate().key, Yield, quote(YieldComment))
}

// milliseconds is a duration in nft's syntax, exact to the millisecond, which
// is what the kernel keeps.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%ds%dms", d/time.Second, (d%time.Second)/time.Millisecond)
}
