package nflog

import (
	"fmt"
	"math"
	"time"
)

// Config says which group to bind and how. The zero value is group 0 with the
// defaults that the fields name.
type Config struct {
	// Group is the NFLOG group to bind.
	Group uint16

	// CopyRange is how many bytes of each packet the kernel copies, from the
	// network header on. 0 means DefaultCopyRange; MaxCopyRange is the most. A
	// rule's own snaplen lowers it for that rule.
	CopyRange uint32

	// QueueThreshold is how many packets the kernel gathers before it wakes the
	// reader: 1 means each packet at once, and 0, the default, as many as the
	// packet rate calls for. A rule's own queue-threshold lowers it for that
	// rule, and a full message buffer (some 32 KiB) is sent in any case.
	QueueThreshold uint32

	// FlushTimeout is how long the kernel gathers at most. It counts in steps of
	// 10 ms; anything below, so also 0, means its next timer tick (1 to 10 ms).
	FlushTimeout time.Duration

	// ReceiveBuffer is the size of the socket's receive buffer in bytes, which
	// has to hold what arrives while the program does something else. 0 means
	// DefaultReceiveBuffer. Without CAP_NET_ADMIN in the initial user namespace
	// net.core.rmem_max limits it; Reader.ReceiveBuffer tells what was granted.
	ReceiveBuffer int
}

// Defaults and limits of Config.
const (
	DefaultCopyRange     = 128
	DefaultReceiveBuffer = 8 << 20

	// MaxCopyRange is what the 16-bit length of a netlink attribute leaves
	// (NFULNL_COPY_RANGE_MAX of net/netfilter/nfnetlink_log.c).
	MaxCopyRange = math.MaxUint16 - attributeHeader
)

// Sizes of the kernel's message buffer (NFULA_CFG_NLBUFSIZ).
const (
	// minBatch is what the kernel starts with, and the least it takes
	// (NLMSG_GOODSIZE of linux/netlink.h: a page, less what an skb needs). A
	// buffer much larger than its contents costs the kernel a copy.
	minBatch = 4096 - skbOverhead
	// maxBatch fits the largest block that the page allocator hands out without
	// trouble in interrupt context (PAGE_ALLOC_COSTLY_ORDER: 8 pages of 4 KiB).
	maxBatch = 32768 - skbOverhead
	// skbOverhead is struct skb_shared_info on 64-bit machines.
	skbOverhead = 320
	// typicalMessage and maxMessage are what a packet needs beside its copied
	// bytes: usually, and with the longest prefix and link-layer header there are.
	typicalMessage = 256
	maxMessage     = 1024
)

// withDefaults returns c with its zero values replaced, or what is wrong with it.
func (c Config) withDefaults() (Config, error) {
	if c.CopyRange == 0 {
		c.CopyRange = DefaultCopyRange
	}
	if c.CopyRange > MaxCopyRange {
		return c, fmt.Errorf("nflog: CopyRange %d: at most %d bytes of a packet can be copied", c.CopyRange, MaxCopyRange)
	}
	if c.ReceiveBuffer == 0 {
		c.ReceiveBuffer = DefaultReceiveBuffer
	}
	if c.ReceiveBuffer < 0 || c.ReceiveBuffer > math.MaxInt32/2 {
		return c, fmt.Errorf("nflog: ReceiveBuffer %d: want 1 to %d bytes", c.ReceiveBuffer, math.MaxInt32/2)
	}
	return c, c.tuning().check()
}
