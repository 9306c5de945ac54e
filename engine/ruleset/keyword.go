package ruleset

import (
	"slices"
	"strings"
)

// keywords are the words that nft 1.0.6 does not take as the name of a chain or
// a set, and those that later versions added. (Most of nft's words are only
// special in their places; these are special everywhere.)
const keywords = `
	accept add ah all and arp auto-merge bridge cgroup chain comment comp
	constant continue counter cpu create ct day dccp define delete describe
	destroy device devices dnat drop dst dup dynamic ecn element elements esp
	ether exists expires exthdr fib flags flow flowtable flush frag fwd
	gc-interval geneve get goto gre gretap handle hbh hook hour ibriport ibrname
	icmp icmpv6 igmp iif iifgroup iifname iiftype include index inet insert
	interval ip ip6 ipsec jhash jump last limit list log lt map mark masquerade
	meta meter mh missing monitor netdev nftrace not notrack numgen obriport
	obrname offload oif oifgroup oifname oiftype or osf pkttype policy position
	priority queue quota random redefine redirect reject rename replace reset
	return rt rt0 rt2 rtclassid rule ruleset sctp secmark set size skgid skuid
	snat socket srh symhash synproxy table tcp th time timeout tproxy type typeof
	udp udplite undefine update vlan vmap vxlan xt`

// keyword reports whether nft takes the name for a word of its language.
func keyword(name string) bool { return slices.Contains(strings.Fields(keywords), name) }
