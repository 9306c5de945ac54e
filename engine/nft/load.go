package nft

import (
	"cmp"
	"iter"
	"math"

	"golang.org/x/sys/unix"
)

// loadSize is how many bytes go into one transaction of Load, if the process may send so many: enough that neither its cost
// matters nor, on a busy machine, how long the threads of a Load wait for each other.
const loadSize = 2 << 20

// firstSize is how many bytes go into the first transaction, for the kernel to begin soon. Each is twice as large as the one before, up to loadSize.
const firstSize = loadSize / 8

// Load adds any number of addresses or prefixes to a set, in as many transactions as they take, and returns how many it added. While
// the kernel is busy with one, Load writes the next ones. Of an error it returns the first; some of the elements are in the
// set then, so it is for a set that nobody relies on before it is full. Errors are as those of [Tx.AddElements] and [Tx.Commit].
//
// Commits of other goroutines come in between. elements is called by the goroutine that called Load.
func (c *Client) Load(t Table, set string, elements iter.Seq[Element]) (added int, err error) {
	buffers, _ := c.buffers.Get().(*loadBuffers)
	if buffers == nil {
		buffers = new(loadBuffers)
	}
	l := loader{
		op:   op{verb: "add to set", table: t, name: set, addrs: true},
		want: firstSize,
		full: make(chan loaded, len(buffers)),
		done: make(chan loaded, len(buffers)),
	}
	l.tx = c.beginIn(buffers[0])
	if l.size, err = c.write.offer(loadSize); err != nil {
		return 0, err
	}
	if l.info, err = l.tx.info(t, set); err != nil {
		l.tx.fail(l.op, err)
		return 0, l.tx.err
	}
	for _, b := range buffers[1:] {
		l.done <- loaded{tx: c.beginIn(b)}
	}
	go l.commit()
	for e := range elements {
		if err = l.add(e); err != nil {
			break
		}
	}
	if err == nil {
		l.handOver()
	}
	close(l.full)
	*buffers = loadBuffers{}
	for i := 0; ; i++ {
		d, more := <-l.done
		if !more {
			break
		}
		err = cmp.Or(err, l.count(d))
		buffers[i] = d.tx.w.b
	}
	c.buffers.Put(buffers)
	return l.added, err
}

// loadBuffers is the memory of a Load's transactions, for the next Load: one is committed, one waits for that, one is written.
type loadBuffers [3][]byte

// beginIn is Begin in memory that nobody else uses.
func (c *Client) beginIn(buffer []byte) *Tx {
	tx := c.Begin()
	tx.w.b = append(buffer[:0], tx.w.b...)
	return tx
}

// A loader is a Load under way: transactions are written while another one is committed.
type loader struct {
	op    op
	info  SetInfo
	size  int // of a transaction at most
	want  int // of the transaction that is written
	tx    *Tx // that is written to
	n     int // elements in it
	list  int // where its list of elements begins, 0 for none
	added int
	full  chan loaded // to be committed
	done  chan loaded // to be written to
}

// loaded is a transaction with n elements, and what its commit came to.
type loaded struct {
	tx  *Tx
	n   int
	err error
}

// commit carries out what is handed over, up to the first error.
func (l *loader) commit() {
	defer close(l.done)
	var err error
	for d := range l.full {
		if err == nil {
			err = d.tx.Commit()
		}
		d.err = err
		l.done <- d
	}
}

// count counts what a transaction has added.
func (l *loader) count(d loaded) error {
	if d.err == nil {
		l.added += d.n
	}
	return d.err
}

func (l *loader) add(e Element) error {
	if l.list == 0 {
		l.list = l.tx.beginList(unix.NFT_MSG_NEWSETELEM, l.op)
	}
	if err := l.tx.w.element(e, l.info); err != nil {
		l.tx.fail(l.op, err)
		return l.tx.err
	}
	l.n++
	if len(l.tx.w.b)-l.list < maxList {
		return nil
	}
	l.endList()
	if len(l.tx.w.b) < min(l.want, l.size)-math.MaxUint16 {
		return nil
	}
	l.want = min(2*l.want, loadSize)
	return l.turn()
}

func (l *loader) endList() {
	if l.list != 0 {
		l.tx.endList(l.list)
	}
	l.list = 0
}

// handOver has what is written committed.
func (l *loader) handOver() {
	l.endList()
	l.full <- loaded{tx: l.tx, n: l.n}
}

// turn hands what is written over, and goes on with another transaction that was committed, or waits for one.
func (l *loader) turn() error {
	l.handOver()
	d := <-l.done
	l.tx, l.n = d.tx, 0
	l.tx.reset()
	return l.count(d)
}
