package nft

import (
	"iter"
	"math"

	"golang.org/x/sys/unix"
)

// loadSize is how many bytes go into one transaction of Load, if the process may send so many: enough that neither its cost
// matters nor, on a busy machine, how long the threads of a Load wait for each other.
const loadSize = 2 << 20

// Load adds any number of addresses or prefixes to a set, in as many transactions as they take. While the kernel is busy with
// one, Load takes the elements of the next. Of an error it returns the first; some of the elements are in the set then, so
// it is for a set that nobody relies on before it is full. Errors are as those of [Tx.AddElements] and [Tx.Commit].
//
// Commits of other goroutines come in between. elements is called by the goroutine that called Load.
func (c *Client) Load(t Table, set string, elements iter.Seq[Element]) error {
	l := loader{
		op:     op{verb: "add to set", table: t, name: set, addrs: true},
		tx:     c.Begin(),
		full:   make(chan *Tx),
		result: make(chan loaded, 1),
	}
	var err error
	if l.size, err = c.write.offer(loadSize); err != nil {
		return err
	}
	if l.info, err = l.tx.info(t, set); err != nil {
		l.tx.fail(l.op, err)
		return l.tx.err
	}
	l.result <- loaded{tx: c.Begin()} // the second of the two that take turns
	go l.commit()
	for e := range elements {
		if err = l.add(e); err != nil {
			break
		}
	}
	if err == nil {
		err = l.turn()
	}
	close(l.full)
	last := <-l.result
	if err == nil {
		err = last.err
	}
	return err
}

// A loader is a Load under way: one transaction is written while another one is committed.
type loader struct {
	op     op
	info   SetInfo
	size   int // of a transaction
	tx     *Tx // that is written to
	list   int // where its list of elements begins, 0 for none
	full   chan *Tx
	result chan loaded
}

// loaded is a transaction that was committed, to be used again.
type loaded struct {
	tx  *Tx
	err error
}

// commit carries out what turn hands over.
func (l *loader) commit() {
	for tx := range l.full {
		err := tx.Commit()
		l.result <- loaded{tx, err}
	}
}

func (l *loader) add(e Element) error {
	if l.list == 0 {
		l.list = l.tx.beginList(unix.NFT_MSG_NEWSETELEM, l.op)
	}
	if err := l.tx.w.element(e, l.info); err != nil {
		l.tx.fail(l.op, err)
		return l.tx.err
	}
	if len(l.tx.w.b)-l.list < maxList {
		return nil
	}
	l.endList()
	if len(l.tx.w.b) < l.size-math.MaxUint16 {
		return nil
	}
	return l.turn()
}

func (l *loader) endList() {
	if l.list != 0 {
		l.tx.endList(l.list)
	}
	l.list = 0
}

// turn waits for the commit under way and hands the written transaction over.
func (l *loader) turn() error {
	l.endList()
	before := <-l.result
	if before.err != nil {
		l.result <- loaded{}
		return before.err
	}
	l.full <- l.tx
	l.tx = before.tx
	l.tx.reset()
	return nil
}
