package detect

import (
	"fmt"
	"strings"
)

// Count is what a detector counts.
type Count uint8

// What a detector can count.
const (
	Events        Count = iota + 1 // packets
	Bytes                          // their lengths, IP header included
	DistinctDport                  // different destination ports
	DistinctDst                    // different destination addresses
	DistinctSrc                    // different source addresses, those of IPv6 by /64
)

func counts() []Count { return []Count{Events, Bytes, DistinctDport, DistinctDst, DistinctSrc} }

// String returns the word that a policy uses.
func (c Count) String() string {
	switch c {
	case Events:
		return "events"
	case Bytes:
		return "bytes"
	case DistinctDport:
		return "distinct dport"
	case DistinctDst:
		return "distinct dst"
	case DistinctSrc:
		return "distinct src"
	}
	return fmt.Sprintf("Count(%d)", uint8(c))
}

// Noun says what a number of this count is a number of.
func (c Count) Noun() string {
	switch c {
	case Bytes:
		return "bytes"
	case DistinctDport:
		return "ports"
	case DistinctDst:
		return "destinations"
	case DistinctSrc:
		return "sources"
	}
	return "packets"
}

func (c Count) distinct() bool  { return c >= DistinctDport }
func (c Count) addresses() bool { return c == DistinctDst || c == DistinctSrc }

// Counts lists the words for what a detector can count.
func Counts() []string {
	var out []string
	for _, c := range counts() {
		out = append(out, c.String())
	}
	return out
}

// ParseCount is the inverse of Count.String.
func ParseCount(s string) (Count, error) {
	for _, c := range counts() {
		if s == c.String() {
			return c, nil
		}
	}
	return 0, fmt.Errorf(`count = %.40q: must be "%s"`, s, strings.Join(Counts(), `", "`))
}
