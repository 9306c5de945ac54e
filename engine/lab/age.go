package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/nft"
)

// agedElement is an element of a set whose elements expire.
type agedElement struct {
	table  nft.Table
	set    string
	prefix netip.Prefix
}

// age is how much of an element's time the lab has let pass.
type age struct {
	passed time.Duration
	left   time.Duration // by the kernel, when it was looked at last
}

// Age lets time pass for the elements of sets: those that would have expired are
// taken out. The kernel's own clock stays as it is, so what is left has its own time there.
func (l *Lab) Age(ctx context.Context, d time.Duration, table nft.Table, sets ...string) error {
	var script strings.Builder
	for _, set := range sets {
		elements, err := l.NFT.Elements(table, set)
		if err != nil {
			return fmt.Errorf("age set %s: %w", set, err)
		}
		for _, e := range elements {
			if e.Expires == 0 {
				continue
			}
			k := agedElement{table, set, e.Prefix}
			a := l.ages[k]
			if e.Expires > a.left { // it is new, or was put in again
				a.passed = 0
			}
			a.passed, a.left = a.passed+d, e.Expires
			if a.passed < e.Expires {
				l.ages[k] = a
				continue
			}
			delete(l.ages, k)
			fmt.Fprintf(&script, "delete element %s %s { %s }\n", table, set, elementText(e.Prefix))
		}
	}
	if script.Len() == 0 {
		return nil
	}
	return l.NFT.Run(ctx, []byte(script.String()))
}

func elementText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
