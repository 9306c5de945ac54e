package lab

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// step is one trace message of the kernel's: a rule that matched, a return from a
// base chain, or the policy of one.
type step struct {
	family       uint8 // NFPROTO_*
	table, chain string
	kind         uint32 // traceRule, traceReturn or tracePolicy
	handle       uint64
	verdict      int32  // one of the kernel's, of a rule or of a policy
	target       string // of a jump or a goto
	headerReader        // the packet, once a base chain
}

// linux/netfilter/nf_tables.h: enum nft_trace_types.
const (
	tracePolicy = 1
	traceReturn = 2
	traceRule   = 3
)

// Verdicts: linux/netfilter.h, and enum nft_verdicts of linux/netfilter/nf_tables.h.
const (
	verdictDrop   = 0
	verdictAccept = 1
	verdictStolen = 2
	verdictQueue  = 3
	verdictJump   = -3
	verdictGoto   = -4
	verdictReturn = -5
)

// Attributes: linux/netfilter/nf_tables.h, enum nft_trace_attributes.
const (
	traceTable   = 1
	traceChain   = 2
	traceHandle  = 3
	traceKind    = 4
	traceVerdict = 5
	tracePolicyV = 16

	verdictCode  = 1 // enum nft_verdict_attributes
	verdictChain = 2
)

const genmsgSize = 4 // linux/netfilter/nfnetlink.h: struct nfgenmsg

// parseStep reads a netlink message; other messages than traces are not ok.
func parseStep(messageType uint16, b []byte) (s step, ok bool, err error) {
	if messageType != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_TRACE {
		return s, false, nil
	}
	if len(b) < genmsgSize {
		return s, false, fmt.Errorf("a trace of %d bytes", len(b))
	}
	s.family = b[0]
	d, err := netlink.NewAttributeDecoder(b[genmsgSize:])
	if err != nil {
		return s, false, err
	}
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		switch d.Type() {
		case traceTable:
			s.table = d.String()
		case traceChain:
			s.chain = d.String()
		case traceHandle:
			s.handle = d.Uint64()
		case traceKind:
			s.kind = d.Uint32()
		case traceVerdict:
			d.Nested(s.readVerdict)
		case tracePolicyV:
			s.verdict = int32(d.Uint32())
		default:
			s.attribute(d)
		}
	}
	return s, d.Err() == nil, d.Err()
}

func (s *step) readVerdict(d *netlink.AttributeDecoder) error {
	d.ByteOrder = binary.BigEndian
	for d.Next() {
		switch d.Type() {
		case verdictCode:
			s.verdict = int32(d.Uint32())
		case verdictChain:
			s.target = d.String()
		}
	}
	return nil
}
