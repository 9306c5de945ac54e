// Package nflog receives the packets that netfilter rules log to an NFLOG group
// (nft's "log group N", iptables' "-j NFLOG --nflog-group N").
//
// Open binds a group, Read waits and hands over each logged packet in the
// kernel's order. A Reader parses the netlink messages where the kernel put
// them and allocates nothing per packet; what an Event points to is only valid
// until the handler returns.
//
//	r, err := nflog.Open(nflog.Config{Group: 5})
//	...
//	for {
//		if err := r.Read(func(e *nflog.Event) { … }); err != nil {
//			return err // net.ErrClosed after Close
//		}
//	}
//
// It needs CAP_NET_ADMIN in the user namespace that owns the network namespace,
// and a kernel with nfnetlink_log. One program at a time can bind a group.
//
// # Latency and throughput
//
// With a queue threshold of 1 the kernel wakes the reader for each packet. With
// more, it gathers that many packets in one message, and no longer than the flush
// timeout, by default to its next timer tick: later, but at a small part of the
// cost per packet.
//
// By default the threshold adapts. It is 1 up to some 4,000 packets per second,
// and then grows with the rate, which a Reader measures as it reads: a message
// brings the packets of some 3 to 6 ms or of one tick, as many as fit into it and
// 256 at most. It grows within 20 ms and shrinks after 200 ms without need, also when
// no packet comes any more. No packet waits longer than a tick for the others of
// its batch, and those at a low rate do not wait at all.
//
// Config.QueueThreshold and Tune fix the threshold instead. A program that drops
// CAP_NET_ADMIN goes on reading, with the threshold of that moment.
//
// # What is lost, and how it is counted
//
// The kernel never waits for a reader: what does not fit into the socket's
// receive buffer is gone. It numbers the packets of a group from the bind on
// (NFULNL_CFG_F_SEQ), and a message that it has to drop has its numbers already.
// So the gaps in the numbers are exactly the packets lost:
//
//   - Stats.Lost counts those packets. Stats.Events + Stats.Lost is the number of
//     packets that the kernel logged, up to the last one received. Packets lost
//     after that are counted when the next one arrives.
//   - Stats.Overruns counts how often the kernel reported a full receive buffer
//     (ENOBUFS). It does so once at the first drop, and then drops everything
//     until the reader has emptied the buffer. It says nothing of how many
//     packets that were, arrives ahead of the packets still in the buffer, and is
//     not added to Lost. A growing Overruns tells of a loss before the gap does.
//   - Stats.Malformed counts messages that made no sense and were skipped. Their
//     packets, where the kernel numbered them, are part of Lost.
//
// Two things the kernel does not number, and nobody can count: packets logged
// while no program was bound to the group, and packets for which it had no memory
// left to build a message (nfulnl_log_packet: alloc_failure).
package nflog
