package nft

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"

	"golang.org/x/sys/unix"

	"moonlatch/engine/ruleset"
)

// A Part is one thing that stands in a table, for telling whether somebody changed it since.
type Part struct {
	Object  string // "table", "chain", "rule", "set" or "object"
	Name    string // of the chain, set or object: for a rule its chain's, for a table ""
	Comment string // of a rule
	Base    bool   // of a chain: it has a hook
	Static  bool   // of a set: neither packets nor time change it
	// Sum is the same as long as nobody changes the part. What packets and time change does not count: counters, what is
	// used of quotas, elements that expire. Nor do handles. A set's own sum is with its elements only where it is static and
	// holds few; of more only their number counts, where the kernel tells it.
	Sum [sha256.Size]byte
}

// few is how many elements of a set Parts lists: the kernel takes some milliseconds for them, and a minute for a million.
const few = 1 << 13

// Parts lists everything that stands in a table, rules in the order of their chains and places. ErrNotExist means that there is
// no such table, and ErrInterrupted that others kept changing the ruleset.
func (c *Client) Parts(t Table) ([]Part, error) {
	var parts []Part
	err := c.steady(func() (err error) {
		parts, err = c.read.parts(t)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read what stands in table %s: %w", t, err)
	}
	return parts, nil
}

func (c *conn) parts(t Table) ([]Part, error) {
	var parts []Part
	for _, get := range []uint16{unix.NFT_MSG_GETTABLE, unix.NFT_MSG_GETCHAIN, unix.NFT_MSG_GETOBJ, unix.NFT_MSG_GETSET, unix.NFT_MSG_GETRULE} {
		var sets []countedSet
		err := c.query(get, unix.NLM_F_DUMP, t.Family, func(w *writer) {
			if get == unix.NFT_MSG_GETRULE {
				w.string(unix.NFTA_RULE_TABLE, t.Name)
			}
		}, func(a answer) error {
			r := record{typ: a.typ & 0xff, table: Table{Family: a.family}}
			if err := r.decode(a.attrs); err != nil || r.table != t {
				return err
			}
			if r.typ != unix.NFT_MSG_NEWSET {
				parts = append(parts, r.part())
				return nil
			}
			info, err := decodeSet(a)
			sets = append(sets, countedSet{r, info.Count})
			return err
		})
		if err != nil {
			return nil, err
		}
		for _, s := range sets {
			p, err := s.part(c)
			if err != nil {
				return nil, err
			}
			parts = append(parts, p)
		}
		if len(parts) == 0 {
			return nil, &kernelError{errno: unix.ENOENT}
		}
	}
	return parts, nil
}

// part is what a record that is no set says.
func (r *record) part() Part {
	p := Part{Name: r.name, Base: r.hook != nil, Sum: sha256.Sum256(r.lasting())}
	switch r.typ {
	case unix.NFT_MSG_NEWTABLE:
		p.Object = "table"
	case unix.NFT_MSG_NEWCHAIN:
		p.Object = "chain"
	case unix.NFT_MSG_NEWRULE:
		p.Object = "rule"
		comment, _ := userdata(attr(r.attrs, unix.NFTA_RULE_USERDATA), 0) // libnftnl/udata.h: NFTNL_UDATA_RULE_COMMENT
		p.Comment = text(comment)
	case unix.NFT_MSG_NEWOBJ:
		p.Object = "object"
	}
	return p
}

// udataSetComment is where a set has its comment (libnftnl/udata.h: NFTNL_UDATA_SET_COMMENT).
const udataSetComment = 7

// countedSet is a set and how many elements it holds, -1 where the kernel does not tell.
type countedSet struct {
	record
	count int
}

func (s *countedSet) part(c *conn) (Part, error) {
	comment, _ := userdata(attr(s.attrs, unix.NFTA_SET_USERDATA), udataSetComment)
	changes := s.flags&(unix.NFT_SET_EVAL|unix.NFT_SET_TIMEOUT) != 0 || text(comment) == ruleset.FeedComment
	p := Part{Object: "set", Name: s.name, Static: !changes}
	h := sha256.New()
	h.Write(s.lasting())
	if p.Static {
		if err := s.sum(c, h); err != nil {
			return p, err
		}
	}
	h.Sum(p.Sum[:0])
	return p, nil
}

// sum adds the elements, or how many there are.
func (s *countedSet) sum(c *conn, h hash.Hash) error {
	binary.Write(h, binary.BigEndian, int64(s.count))
	if s.count < 0 || s.count > few {
		return nil
	}
	if err := s.readElements(c); err != nil {
		return err
	}
	for _, e := range s.elements {
		_, content := s.lastingElement(e)
		h.Write(content.b)
	}
	return nil
}
