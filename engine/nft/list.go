package nft

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// attempts is how often a listing is tried when others change the ruleset meanwhile, unless it takes longer than patience.
const (
	attempts = 5
	patience = time.Second
)

// A Rule is what a listing tells about a rule besides its expressions.
type Rule struct {
	Chain   string
	Handle  uint64
	Comment string
	// Packets and Bytes are the sums over the rule's own counters, if it has any (not over counters that it names).
	Packets, Bytes uint64
	HasCounter     bool
}

// A Counter is a named counter.
type Counter struct {
	Name           string
	Packets, Bytes uint64
}

// Tables lists the tables of all families.
func (c *Client) Tables() ([]Table, error) {
	tables, err := list(c, unix.NFT_MSG_GETTABLE, unix.NFPROTO_UNSPEC, nil, decodeTable)
	if err != nil {
		return tables, fmt.Errorf("list tables: %w", err)
	}
	return tables, nil
}

// Rules lists the rules of a table in the order of their chains and places. ErrNotExist means that there is no such table.
//
// ErrInterrupted means that transactions kept coming while the kernel listed. The rules are returned nevertheless:
// they miss or repeat some if one of those transactions was about them.
func (c *Client) Rules(t Table) ([]Rule, error) {
	rules, err := list(c, unix.NFT_MSG_GETRULE, t.Family, func(w *writer) {
		w.string(unix.NFTA_RULE_TABLE, t.Name)
	}, decodeRule)
	if err == nil && len(rules) == 0 {
		err = c.exists(t)
	}
	if err != nil {
		return rules, fmt.Errorf("list rules of table %s: %w", t, err)
	}
	return rules, nil
}

// Counters lists the named counters of a table. Errors are as those of [Client.Rules].
func (c *Client) Counters(t Table) ([]Counter, error) {
	counters, err := list(c, unix.NFT_MSG_GETOBJ, t.Family, func(w *writer) {
		w.string(unix.NFTA_OBJ_TABLE, t.Name)
		w.uint32(unix.NFTA_OBJ_TYPE, unix.NFT_OBJECT_COUNTER)
	}, decodeCounter)
	if err == nil && len(counters) == 0 {
		err = c.exists(t)
	}
	if err != nil {
		return counters, fmt.Errorf("list counters of table %s: %w", t, err)
	}
	return counters, nil
}

// exists returns ErrNotExist if there is no such table. The kernel lists the rules of a missing table as none.
func (c *Client) exists(t Table) error {
	return c.read.query(unix.NFT_MSG_GETTABLE, 0, t.Family, func(w *writer) {
		w.string(unix.NFTA_TABLE_NAME, t.Name)
	}, func(answer) error { return nil })
}

// list collects, decoded, what there is. The result is returned with ErrInterrupted, too.
func list[T any](c *Client, typ uint16, family Family, fill func(*writer), decode func(answer) (T, error)) ([]T, error) {
	var all []T
	err := c.steady(func() error {
		all = all[:0]
		return c.read.query(typ, unix.NLM_F_DUMP, family, fill, func(a answer) error {
			v, err := decode(a)
			if err == nil {
				all = append(all, v)
			}
			return err
		})
	})
	if err != nil && !errors.Is(err, ErrInterrupted) {
		return nil, err
	}
	return all, err
}

// steady calls read again while the ruleset changes under it, and returns ErrInterrupted if that does not end. The kernel's own
// mark, NLM_F_DUMP_INTR, is not enough: it is set only if the change came between two datagrams of a listing, while within
// one, too, the kernel may list neither an element nor what the same transaction replaced it with.
func (c *Client) steady(read func() error) error {
	var err error
	start := time.Now()
	for i := 0; i == 0 || i < attempts && time.Since(start) < patience; i++ {
		before, genErr := c.GenID()
		if genErr != nil {
			return genErr
		}
		err = read()
		if err == nil {
			after, genErr := c.GenID()
			if genErr != nil {
				return genErr
			}
			if after == before {
				return nil
			}
			err = ErrInterrupted
		}
		if !errors.Is(err, ErrInterrupted) {
			return err
		}
	}
	return err
}

func decodeTable(a answer) (Table, error) {
	t := Table{Family: a.family}
	r := reader{b: a.attrs}
	for r.next() {
		if r.typ == unix.NFTA_TABLE_NAME {
			t.Name = r.string()
		}
	}
	return t, r.err
}

func decodeRule(a answer) (Rule, error) {
	var rule Rule
	r := reader{b: a.attrs}
	for r.next() {
		switch r.typ {
		case unix.NFTA_RULE_CHAIN:
			rule.Chain = r.string()
		case unix.NFTA_RULE_HANDLE:
			rule.Handle = r.uint64()
		case unix.NFTA_RULE_USERDATA:
			comment, _ := userdata(r.data, 0) // libnftnl/udata.h: NFTNL_UDATA_RULE_COMMENT
			rule.Comment = text(comment)
		case unix.NFTA_RULE_EXPRESSIONS:
			if err := rule.count(r.data); err != nil {
				return rule, err
			}
		}
	}
	return rule, r.err
}

// count adds up the counters among a rule's expressions.
func (rule *Rule) count(expressions []byte) error {
	list := reader{b: expressions}
	for list.next() {
		isCounter := false
		r := reader{b: list.data}
		for r.next() {
			switch r.typ {
			case unix.NFTA_EXPR_NAME: // the kernel puts the name before the data
				isCounter = strings.TrimRight(string(r.data), "\x00") == "counter"
			case unix.NFTA_EXPR_DATA:
				if !isCounter {
					continue
				}
				packets, bytes, err := decodeCounts(r.data)
				if err != nil {
					return err
				}
				rule.HasCounter = true
				rule.Packets += packets
				rule.Bytes += bytes
			}
		}
		if r.err != nil {
			return r.err
		}
	}
	return list.err
}

func decodeCounter(a answer) (Counter, error) {
	var counter Counter
	r := reader{b: a.attrs}
	for r.next() {
		var err error
		switch r.typ {
		case unix.NFTA_OBJ_NAME:
			counter.Name = r.string()
		case unix.NFTA_OBJ_DATA:
			counter.Packets, counter.Bytes, err = decodeCounts(r.data)
		}
		if err != nil {
			return counter, err
		}
	}
	return counter, r.err
}

func decodeCounts(b []byte) (packets, bytes uint64, err error) {
	r := reader{b: b}
	for r.next() {
		switch r.typ {
		case unix.NFTA_COUNTER_PACKETS:
			packets = r.uint64()
		case unix.NFTA_COUNTER_BYTES:
			bytes = r.uint64()
		}
	}
	return packets, bytes, r.err
}
