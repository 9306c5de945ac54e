package nft

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// An Image is everything that nf_tables holds in a network namespace, in the kernel's own words: unlike nft's listing, which
// nft cannot always read again, it loses nothing, not even the rules of iptables-nft. [Client.Replace] puts it back. It is not
// changed once it is made.
type Image struct {
	tables     []record
	chains     []record
	objects    []record
	flowtables []record
	sets       []record
	rules      []record
}

// A record is one thing in a table: what the message that makes it says, and what of that matters here.
type record struct {
	typ   uint16 // NFT_MSG_NEWTABLE and so on
	table Table
	name  string // of the thing, "" for a table; of its chain for a rule
	attrs []byte // without what the kernel alone decides, such as handles
	flags uint32 // of a table, chain or set

	owner    uint32   // of a table: the port of the socket that owns it, 0 if none does
	hook     *Hook    // of a base chain
	devices  []string // of a base chain or a flowtable
	kind     uint32   // of an object
	elements [][]byte // of a set: the attributes of each
}

// Image reads everything that nf_tables holds, of all families and programs. ErrInterrupted means that others kept changing it.
//
// The time is that of listing every set, see [Client.Elements].
func (c *Client) Image() (*Image, error) {
	var im *Image
	pause := 10 * time.Millisecond
	err := c.steady(func() error {
		im = &Image{}
		err := im.read(c.read)
		if errors.Is(err, ErrInterrupted) { // the kernel is enlarging a hash set
			pause *= 2
			time.Sleep(pause)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the ruleset: %w", err)
	}
	return im, nil
}

func (im *Image) read(c *conn) error {
	if err := im.readOutline(c); err != nil {
		return err
	}
	for i := range im.sets {
		if err := im.sets[i].readElements(c); err != nil {
			return err
		}
	}
	return nil
}

// readElements lists a set.
func (s *record) readElements(c *conn) error {
	err := c.elements(s.table, s.name, func(b []byte) error {
		s.elements = append(s.elements, bytes.Clone(b))
		return nil
	})
	if err != nil {
		return fmt.Errorf("list elements of set %s in table %s: %w", s.name, s.table, err)
	}
	return s.order()
}

// add takes in one message of the kernel, or of a file that holds an image.
func (im *Image) add(a answer) error {
	r := record{typ: a.typ & 0xff, table: Table{Family: a.family}}
	if a.typ>>8 != unix.NFNL_SUBSYS_NFTABLES {
		return fmt.Errorf("%w: of type %#x", errMalformed, a.typ)
	}
	switch r.typ {
	case unix.NFT_MSG_NEWTABLE:
		return add(&im.tables, r, a.attrs)
	case unix.NFT_MSG_NEWCHAIN:
		return add(&im.chains, r, a.attrs)
	case unix.NFT_MSG_NEWOBJ:
		return add(&im.objects, r, a.attrs)
	case unix.NFT_MSG_NEWFLOWTABLE:
		return add(&im.flowtables, r, a.attrs)
	case unix.NFT_MSG_NEWSET:
		return add(&im.sets, r, a.attrs)
	case unix.NFT_MSG_NEWRULE:
		return add(&im.rules, r, a.attrs)
	case unix.NFT_MSG_NEWSETELEM:
		return im.addElements(a)
	}
	return fmt.Errorf("%w: of type %#x", errMalformed, a.typ)
}

func add(to *[]record, r record, attrs []byte) error {
	if err := r.decode(attrs); err != nil {
		return err
	}
	*to = append(*to, r)
	return nil
}

// addElements adds a message of elements to the set that came last.
func (im *Image) addElements(a answer) error {
	if len(im.sets) == 0 {
		return fmt.Errorf("%w: elements without a set", errMalformed)
	}
	s := &im.sets[len(im.sets)-1]
	return eachElement(a, func(b []byte) error {
		_, err := decodeKey(b)
		s.elements = append(s.elements, bytes.Clone(b))
		return err
	})
}

// Empty reports whether there is no table at all.
func (im *Image) Empty() bool { return len(im.tables) == 0 }

// keep returns the records for which drop reports false.
func keep(records []record, drop func(*record) bool) []record {
	var out []record
	for i := range records {
		if !drop(&records[i]) {
			out = append(out, records[i])
		}
	}
	return out
}
