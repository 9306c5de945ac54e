package foreign

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"moonlatch/engine/nft"
)

// linux/netfilter/ipset/ip_set.h.
const (
	ipsetProtocol     = 7 // IPSET_PROTOCOL
	ipsetList         = 7 // IPSET_CMD_LIST
	ipsetGetByName    = 14
	ipsetAttrProtocol = 1
	ipsetAttrSetName  = 2
	ipsetAttrFlags    = 6
	ipsetAttrIndex    = 11
	ipsetListNames    = 1 << 1 // IPSET_FLAG_LIST_SETNAME
)

// ipsetModule is there once the kernel has ipsets. Asking for sets before would load it.
const ipsetModule = "/sys/module/ip_set"

// ipsetNumbers returns the names of all sets by their number in the kernel.
func ipsetNumbers() (map[uint16]string, error) {
	if _, err := os.Stat(ipsetModule); err != nil {
		return nil, nil
	}
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("list ipsets: %w", err)
	}
	defer conn.Close()
	names, err := ipsetAsk(conn, ipsetList, netlink.Dump, func(a *netlink.AttributeEncoder) {
		a.Uint32(ipsetAttrFlags|unix.NLA_F_NET_BYTEORDER, ipsetListNames)
	}, ipsetAttrSetName)
	if err != nil {
		return nil, fmt.Errorf("list ipsets: %w", err)
	}
	out := make(map[uint16]string, len(names))
	for _, name := range names {
		set := string(name[:max(len(name)-1, 0)]) // without its zero byte
		index, err := ipsetAsk(conn, ipsetGetByName, 0, func(a *netlink.AttributeEncoder) {
			a.String(ipsetAttrSetName, set)
		}, ipsetAttrIndex)
		if err != nil || len(index) != 1 || len(index[0]) != 2 {
			return nil, fmt.Errorf("look up ipset %s: %w", set, err)
		}
		out[binary.BigEndian.Uint16(index[0])] = set
	}
	return out, nil
}

// ipsetAsk sends a request and returns an attribute of each answer.
func ipsetAsk(conn *netlink.Conn, command uint16, flags netlink.HeaderFlags, fill func(*netlink.AttributeEncoder), attr uint16) ([][]byte, error) {
	a := netlink.NewAttributeEncoder()
	a.ByteOrder = binary.BigEndian
	a.Uint8(ipsetAttrProtocol, ipsetProtocol)
	fill(a)
	attrs, err := a.Encode()
	if err != nil {
		return nil, err
	}
	answers, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(unix.NFNL_SUBSYS_IPSET<<8 | command), Flags: netlink.Request | flags},
		Data:   append([]byte{unix.AF_UNSPEC, unix.NFNETLINK_V0, 0, 0}, attrs...),
	})
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, m := range answers {
		if len(m.Data) < 4 {
			continue
		}
		d, err := netlink.NewAttributeDecoder(m.Data[4:])
		if err != nil {
			return nil, err
		}
		for d.Next() {
			if d.Type() == attr {
				out = append(out, d.Bytes())
			}
		}
		if d.Err() != nil {
			return nil, d.Err()
		}
	}
	return out, nil
}

// numbered returns the snapshot's nf_tables part with the numbers that its ipsets have now. An error says that it comes without the rules
// that use an ipset which is not there.
func (s *Snapshot) numbered() (*nft.Image, error) {
	if s.ipsets == nil || len(s.ipsets.Numbers) == 0 {
		return s.nft, nil
	}
	now, err := ipsetNumbers()
	if err != nil {
		return s.nft, err
	}
	byName := make(map[string]uint16, len(now))
	for number, name := range now {
		byName[name] = number
	}
	numbers := make(map[uint16]uint16)
	var gone []uint16
	for was, name := range s.ipsets.Numbers {
		is, ok := byName[name]
		if !ok {
			gone = append(gone, was)
			err = errors.Join(err, fmt.Errorf("rules that use the ipset %s are left out: it is not there", name))
			continue
		}
		numbers[was] = is
	}
	return s.nft.WithoutIPSets(gone).WithIPSets(numbers), err
}
