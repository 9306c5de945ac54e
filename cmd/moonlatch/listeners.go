package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/procfs"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// listener is a port that some program listens on, for others than this machine.
type listener struct {
	proto   string // tcp or udp
	port    uint16
	process string // empty where it cannot be known
	inode   uint64
}

func (l listener) String() string { return fmt.Sprintf("%s:%d", l.proto, l.port) }

func (l listener) same(o listener) bool { return l.proto == o.proto && l.port == o.port }

// listeners lists the ports that are open to others, in order.
func listeners() ([]listener, error) {
	var out []listener
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		tcp, err := netlink.SocketDiagTCP(family)
		if err != nil {
			return nil, fmt.Errorf("list TCP sockets: %w", err)
		}
		udp, err := netlink.SocketDiagUDP(family)
		if err != nil {
			return nil, fmt.Errorf("list UDP sockets: %w", err)
		}
		// A datagram socket that is not connected is in the state of a closed one.
		out = appendListeners(out, "tcp", tcp, netlink.TCP_LISTEN)
		out = appendListeners(out, "udp", udp, netlink.TCP_CLOSE)
	}
	nameProcesses(out)
	slices.SortFunc(out, func(a, b listener) int { return cmp.Or(cmp.Compare(a.proto, b.proto), cmp.Compare(a.port, b.port)) })
	return out, nil
}

// appendListeners appends the sockets that are in the state, except those that only
// this machine reaches.
func appendListeners(out []listener, proto string, sockets []*netlink.Socket, state uint8) []listener {
	for _, s := range sockets {
		l := listener{proto: proto, port: s.ID.SourcePort, inode: uint64(s.INode)}
		if s.State == state && !s.ID.Source.IsLoopback() && !slices.ContainsFunc(out, l.same) {
			out = append(out, l)
		}
	}
	return out
}

// nameProcesses finds whose the sockets are, as far as this user may know.
func nameProcesses(all []listener) {
	procs, err := procfs.AllProcs()
	if err != nil {
		return
	}
	for _, proc := range procs {
		targets, err := proc.FileDescriptorTargets()
		if err != nil {
			continue // somebody else's, or gone
		}
		for i := range all {
			if all[i].process == "" && slices.Contains(targets, fmt.Sprintf("socket:[%d]", all[i].inode)) {
				name, _ := proc.Comm()
				all[i].process = strings.Map(printable, name)
			}
		}
	}
}

// printable keeps a process's name, which anybody chooses, within one comment.
func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}
