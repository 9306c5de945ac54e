package nft

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// SetInfo describes a set.
type SetInfo struct {
	// Interval means that elements are prefixes (or ranges) and may not overlap. Otherwise they are single keys.
	Interval bool
	// HasTimeout means that elements may have a timeout.
	HasTimeout bool
	// Dynamic means that rules may add elements.
	Dynamic bool
	// Timeout is what elements that state none get, 0 if they then stay.
	Timeout time.Duration
	// Size is the most elements that the set holds, 0 if it has no limit.
	Size int
	// Count is the number of elements now, with those that have expired and are not cleaned up yet. It is -1 where
	// the kernel does not tell (before Linux 6.16): then only a listing counts.
	Count int

	keyType uint32
	keyLen  uint32
}

// The numbers by which nft tells apart what a key means (nftables: include/datatype.h). The kernel only keeps them.
const (
	typeIPv4Addr = 7
	typeIPv6Addr = 8
)

// linux/netfilter/nf_tables.h, enum nft_set_attributes, newer than our copy.
const nftaSetCount = 20

// addrLen returns how many bytes an address in the set has, an error if the keys are no addresses.
func (s SetInfo) addrLen() (int, error) {
	switch {
	case s.keyType == typeIPv4Addr && s.keyLen == 4:
		return 4, nil
	case s.keyType == typeIPv6Addr && s.keyLen == 16:
		return 16, nil
	}
	return 0, fmt.Errorf("the set's elements are no addresses (nft data type %d, %d bytes)", s.keyType, s.keyLen)
}

// Fits reports whether the set's elements are addresses of the family of a.
func (s SetInfo) Fits(a netip.Addr) bool {
	n, err := s.addrLen()
	return err == nil && n == a.BitLen()/8
}

// SetInfo describes a set without listing it. ErrNotExist means that there is no such table or set.
func (c *Client) SetInfo(t Table, set string) (SetInfo, error) {
	info, err := c.read.setInfo(t, set)
	if err != nil {
		return info, fmt.Errorf("look up set %s in table %s: %w", set, t, err)
	}
	return info, nil
}

// NamedSet is a set of a table's.
type NamedSet struct {
	Name string
	SetInfo
}

// Sets describes the sets and maps of a table without listing what they hold. Errors are as those of [Client.Rules].
func (c *Client) Sets(t Table) ([]NamedSet, error) {
	all, err := list(c, unix.NFT_MSG_GETSET, t.Family, func(w *writer) { w.string(unix.NFTA_SET_TABLE, t.Name) }, decodeNamedSet)
	if err == nil && len(all) == 0 {
		err = c.exists(t)
	}
	if err != nil {
		return all, fmt.Errorf("list sets of table %s: %w", t, err)
	}
	return all, nil
}

func decodeNamedSet(a answer) (s NamedSet, err error) {
	for r := (reader{b: a.attrs}); r.next(); {
		if r.typ == unix.NFTA_SET_NAME {
			s.Name = text(r.data)
		}
	}
	s.SetInfo, err = decodeSet(a)
	return s, err
}

func (c *conn) setInfo(t Table, set string) (SetInfo, error) {
	var info SetInfo
	err := c.query(unix.NFT_MSG_GETSET, 0, t.Family, func(w *writer) {
		w.string(unix.NFTA_SET_TABLE, t.Name)
		w.string(unix.NFTA_SET_NAME, set)
	}, func(a answer) (err error) {
		info, err = decodeSet(a)
		return err
	})
	return info, err
}

func decodeSet(a answer) (SetInfo, error) {
	info := SetInfo{Count: -1}
	r := reader{b: a.attrs}
	for r.next() {
		switch r.typ {
		case unix.NFTA_SET_FLAGS:
			flags := r.uint32()
			info.Interval = flags&unix.NFT_SET_INTERVAL != 0
			info.HasTimeout = flags&unix.NFT_SET_TIMEOUT != 0
			info.Dynamic = flags&unix.NFT_SET_EVAL != 0
		case unix.NFTA_SET_KEY_TYPE:
			info.keyType = r.uint32()
		case unix.NFTA_SET_KEY_LEN:
			info.keyLen = r.uint32()
		case unix.NFTA_SET_TIMEOUT:
			info.Timeout = milliseconds(r.uint64())
		case nftaSetCount:
			info.Count = int(r.uint32())
		case unix.NFTA_SET_DESC:
			desc := reader{b: r.data}
			for desc.next() {
				if desc.typ == unix.NFTA_SET_DESC_SIZE {
					info.Size = int(desc.uint32())
				}
			}
			if desc.err != nil {
				return info, desc.err
			}
		}
	}
	return info, r.err
}

// milliseconds returns a duration that the kernel gives, the longest there is if it does not fit.
func milliseconds(n uint64) time.Duration {
	const longest = time.Duration(1<<63 - 1)
	if n > uint64(longest/time.Millisecond) {
		return longest
	}
	return time.Duration(n) * time.Millisecond
}
