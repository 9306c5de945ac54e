package nft

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FuzzParseImage reads anything as an image, and writes what it takes as a transaction that is never sent.
func FuzzParseImage(f *testing.F) {
	var w writer
	add := func(typ uint16, fill func()) {
		start := w.begin(message(typ), 0, 0, Inet, 0)
		fill()
		w.end(start)
	}
	f.Add([]byte(nil))
	add(unix.NFT_MSG_NEWTABLE, func() { w.string(unix.NFTA_TABLE_NAME, "t"); w.uint32(unix.NFTA_TABLE_FLAGS, tableOwner) })
	f.Add(append([]byte(nil), w.b...))
	add(unix.NFT_MSG_NEWCHAIN, func() {
		w.string(unix.NFTA_CHAIN_TABLE, "t")
		hook := w.nest(unix.NFTA_CHAIN_HOOK)
		w.uint32(unix.NFTA_HOOK_HOOKNUM, 0)
		devs := w.nest(nftaHookDevs)
		w.string(nftaDeviceName, "left")
		w.endNest(devs)
		w.endNest(hook)
		w.string(unix.NFTA_CHAIN_NAME, "c")
		w.uint32(nftaChainFlags, chainBinding)
	})
	add(unix.NFT_MSG_NEWSET, func() {
		w.string(unix.NFTA_SET_TABLE, "t")
		w.string(unix.NFTA_SET_NAME, "s")
		w.uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_INTERVAL|unix.NFT_SET_ANONYMOUS)
	})
	f.Add(append([]byte(nil), w.b...))
	add(unix.NFT_MSG_NEWSETELEM, func() {
		list := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		e := w.nest(unix.NFTA_LIST_ELEM)
		w.bytes(unix.NFTA_SET_ELEM_KEY, []byte{8, 0, 1, 0, 192, 0, 2, 1})
		w.uint64(unix.NFTA_SET_ELEM_EXPIRATION, 5000)
		w.endNest(e)
		w.endNest(list)
	})
	add(unix.NFT_MSG_NEWRULE, func() {
		w.string(unix.NFTA_RULE_TABLE, "t")
		w.string(unix.NFTA_RULE_CHAIN, "c")
		list := w.nest(unix.NFTA_RULE_EXPRESSIONS)
		for _, name := range []string{"match", "target", "immediate", "lookup", "cmp"} {
			e := w.nest(unix.NFTA_LIST_ELEM)
			w.string(unix.NFTA_EXPR_NAME, name)
			data := w.nest(unix.NFTA_EXPR_DATA)
			w.string(unix.NFTA_MATCH_NAME, "set")
			w.bytes(unix.NFTA_MATCH_INFO, []byte{1, 0, 1, 0, 2, 0, 2, 0})
			w.endNest(data)
			w.endNest(e)
		}
		w.endNest(list)
	})
	f.Add(w.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		im, err := ParseImage(b)
		if err != nil {
			return
		}
		for _, v := range []*Image{im, im.WithoutDevices(im.Devices()), im.WithIPSets(map[uint16]uint16{1: 2}), im.WithoutIPSets([]uint16{1}), im.WithoutOffload()} {
			v.Tables()
			tx := (&Client{}).Begin()
			v.write(tx, time.Second)
			checkMessages(t, tx.w.b)
		}
		again, err := im.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := ParseImage(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		} else if err := im.Diff(read); err != nil {
			t.Fatalf("what was written reads as something else: %v", err)
		}
	})
}

// TestOrderNoticesDoubles takes a listing in which an element came twice for one that another did not come for.
func TestOrderNoticesDoubles(t *testing.T) {
	element := func(last byte) []byte {
		var w writer
		w.bytes(unix.NFTA_SET_ELEM_KEY, []byte{8, 0, 1, 0, 192, 0, 2, last})
		return w.b
	}
	s := record{elements: [][]byte{element(2), element(1), element(3)}}
	if err := s.order(); err != nil {
		t.Error(err)
	}
	s.elements = append(s.elements, element(2))
	if err := s.order(); err != ErrInterrupted {
		t.Errorf("got %v, want %v", err, ErrInterrupted)
	}
}

// checkMessages makes sure that a transaction consists of whole messages.
func checkMessages(t *testing.T, b []byte) {
	t.Helper()
	for len(b) > 0 {
		size := binary.NativeEndian.Uint32(b)
		if size < headerLen || int(size) > len(b) {
			t.Fatalf("a message of %d bytes in %d", size, len(b))
		}
		b = b[min(align(int(size)), len(b)):]
	}
}
