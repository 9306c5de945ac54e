package nft

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A Family is an nf_tables address family.
type Family uint8

// The families, with the numbers of linux/netfilter.h (NFPROTO_*).
const (
	Inet   Family = unix.NFPROTO_INET
	IPv4   Family = unix.NFPROTO_IPV4
	ARP    Family = unix.NFPROTO_ARP
	Netdev Family = unix.NFPROTO_NETDEV
	Bridge Family = unix.NFPROTO_BRIDGE
	IPv6   Family = unix.NFPROTO_IPV6
)

// String returns the family's name in nft's language.
func (f Family) String() string {
	switch f {
	case Inet:
		return "inet"
	case IPv4:
		return "ip"
	case ARP:
		return "arp"
	case Netdev:
		return "netdev"
	case Bridge:
		return "bridge"
	case IPv6:
		return "ip6"
	}
	return fmt.Sprintf("family %d", uint8(f))
}

// ParseFamily returns the family that has the name in nft's language.
func ParseFamily(name string) (Family, error) {
	for _, f := range []Family{Inet, IPv4, ARP, Netdev, Bridge, IPv6} {
		if f.String() == name {
			return f, nil
		}
	}
	return 0, fmt.Errorf("unknown family %q: want inet, ip, ip6, arp, bridge or netdev", name)
}

// A Table names a table.
type Table struct {
	Family Family
	Name   string
}

// String returns the table as nft writes it, such as "inet moonlatch".
func (t Table) String() string { return t.Family.String() + " " + t.Name }
