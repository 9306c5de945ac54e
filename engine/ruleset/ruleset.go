// Package ruleset is the typed ruleset that a policy generates: chains, rules,
// sets and streams, each knowing its place in the policy, and their rendering
// as nft text. It does no I/O: the same policy gives the same ruleset anywhere.
package ruleset

import (
	"fmt"
	"net/netip"
	"time"
)

// Ruleset is everything one policy declares for the kernel. Build it, call
// Validate once, then treat it as immutable; it is then safe for concurrent use.
type Ruleset struct {
	Policy  string // the entry file's name, for people
	Chains  []*Chain
	Sets    []*Set
	Streams []*Stream
	Maps    []*Map
	Tuples  []*TupleSet
	Objects []*Object
	Raw     []Raw
	// Protected is never put into a trap's kernel set.
	Protected []netip.Prefix
}

// Pos is a place in a policy. The zero Pos is unknown.
type Pos struct {
	File string
	Line int
}

func (p Pos) String() string {
	if p.File == "" {
		return "policy"
	}
	return fmt.Sprintf("%s:%d", p.File, p.Line)
}

// Error is one mistake in a policy, with its place.
type Error struct {
	Pos Pos
	Msg string
}

func (e *Error) Error() string { return e.Pos.String() + ": " + e.Msg }

// Errorf returns an *Error at pos.
func Errorf(pos Pos, format string, args ...any) *Error {
	return &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)}
}

// Family is an nftables family in which a chain can stand.
type Family string

// The families a policy can use; a generation has one table in each that it uses.
const (
	Inet   Family = "inet"
	Bridge Family = "bridge"
	ARP    Family = "arp"
	Netdev Family = "netdev"
)

// Chain is a base chain (with a hook) or, without one, a chain to jump to.
type Chain struct {
	Name     string
	Family   Family // empty means Inet
	Hook     string // empty for a chain to jump to
	Type     string // filter, nat or route
	Priority string // a number or nft's words: "filter", "raw - 10"
	Policy   string // accept or drop
	Device   string // for ingress and egress hooks
	Rules    []*Rule
	Pos      Pos
}

// Base reports whether the kernel calls the chain itself, by its hook.
func (c *Chain) Base() bool { return c.Hook != "" }

// Rule is one rule: every field must match, then the items are carried out in
// order. One Rule may become several kernel rules, all with its name as comment.
type Rule struct {
	Name   string // unique in its chain; the comment, the counter and the metric label
	Fields []Field
	Items  []Item
	Pos    Pos
}

// Stream is a named flow of packet events.
type Stream struct {
	Name    string
	Snaplen int   // bytes copied of each packet, up to MaxSnaplen; 0 means DefaultSnaplen
	Rate    *Rate // events let through; nil means all
	Pos     Pos
}

// DefaultSnaplen is the number of bytes copied of a logged packet: enough for
// IPv6, a few extension headers and a TCP header with options.
const DefaultSnaplen = 128

// MaxSnaplen bounds what a stream can ask for: every event that waits for a
// handler holds so much.
const MaxSnaplen = 1024

// Group is the NFLOG group of all streams.
const Group = 71

// Route tells where a log prefix came from.
type Route struct {
	Prefix string
	Stream *Stream // nil for a trap
	Chain  string
	Rule   *Rule
	Trap   time.Duration // of a trap, how long it bans
}

// Routes lists every log prefix that the ruleset's packets can carry.
func (r *Ruleset) Routes() []Route {
	var routes []Route
	for _, c := range r.Chains {
		for _, rule := range c.Rules {
			for _, item := range rule.Items {
				switch it := item.(type) {
				case Log:
					routes = append(routes, Route{Prefix: logPrefix(it.Stream.Name, c, rule), Stream: it.Stream, Chain: c.Name, Rule: rule})
				case Trap:
					routes = append(routes, Route{Prefix: logPrefix(trapStream, c, rule), Chain: c.Name, Rule: rule, Trap: it.Timeout})
				}
			}
		}
	}
	return routes
}

// trapStream stands for the stream in the log prefix of a trap; no stream can
// be named so, because it is not an identifier.
const trapStream = "!trap"

func logPrefix(stream string, c *Chain, r *Rule) string {
	return stream + ":" + c.Name + ":" + r.Name
}

// Table is the name of the tables of generation n.
func Table(n uint64) string { return fmt.Sprintf("%s_%d", CoreTable, n) }

// CoreTable is the table of bans and protected addresses. It outlives generations.
const CoreTable = "moonlatch"
