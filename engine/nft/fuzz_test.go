package nft

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// seeds are messages of every kind that the decoders read, in one datagram each.
func seeds() [][]byte {
	var out [][]byte
	add := func(typ uint16, fill func(*writer)) {
		var w writer
		start := w.begin(message(typ), 0, 1, Inet, 0)
		fill(&w)
		w.end(start)
		out = append(out, w.b)
	}
	add(unix.NFT_MSG_NEWTABLE, func(w *writer) { w.string(unix.NFTA_TABLE_NAME, "t") })
	add(unix.NFT_MSG_NEWCHAIN, func(w *writer) {
		w.string(unix.NFTA_CHAIN_TABLE, "t")
		w.string(unix.NFTA_CHAIN_NAME, "c")
		w.endNest(w.nest(unix.NFTA_CHAIN_HOOK))
	})
	add(unix.NFT_MSG_NEWRULE, func(w *writer) {
		w.string(unix.NFTA_RULE_TABLE, "t")
		w.string(unix.NFTA_RULE_CHAIN, "c")
		w.uint64(unix.NFTA_RULE_HANDLE, 7)
		list := w.nest(unix.NFTA_RULE_EXPRESSIONS)
		item := w.nest(unix.NFTA_LIST_ELEM)
		w.string(unix.NFTA_EXPR_NAME, "counter")
		data := w.nest(unix.NFTA_EXPR_DATA)
		w.uint64(unix.NFTA_COUNTER_PACKETS, 1)
		w.uint64(unix.NFTA_COUNTER_BYTES, 100)
		w.endNest(data)
		w.endNest(item)
		w.endNest(list)
		w.bytes(unix.NFTA_RULE_USERDATA, []byte{0, 2, 'x', 0})
	})
	add(unix.NFT_MSG_NEWSET, func(w *writer) {
		w.uint32(unix.NFTA_SET_FLAGS, unix.NFT_SET_INTERVAL|unix.NFT_SET_TIMEOUT)
		w.uint32(unix.NFTA_SET_KEY_TYPE, typeIPv4Addr)
		w.uint32(unix.NFTA_SET_KEY_LEN, 4)
		w.uint64(unix.NFTA_SET_TIMEOUT, 1000)
		desc := w.nest(unix.NFTA_SET_DESC)
		w.uint32(unix.NFTA_SET_DESC_SIZE, 10)
		w.endNest(desc)
		w.uint32(nftaSetCount, 3)
	})
	add(unix.NFT_MSG_NEWSETELEM, func(w *writer) {
		list := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		info := SetInfo{Interval: true, HasTimeout: true, keyType: typeIPv4Addr, keyLen: 4}
		w.element(Element{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Timeout: time.Hour, Comment: "c"}, info)
		w.element(Element{Prefix: netip.MustParsePrefix("255.0.0.0/8")}, info)
		w.endNest(list)
	})
	add(unix.NFT_MSG_NEWOBJ, func(w *writer) {
		w.string(unix.NFTA_OBJ_NAME, "n")
		data := w.nest(unix.NFTA_OBJ_DATA)
		w.uint64(unix.NFTA_COUNTER_PACKETS, 1)
		w.endNest(data)
	})
	add(unix.NFT_MSG_DELFLOWTABLE, func(w *writer) {
		w.string(1, "t") // NFTA_FLOWTABLE_TABLE
		w.string(2, "f") // NFTA_FLOWTABLE_NAME
	})
	add(unix.NFT_MSG_NEWGEN, func(w *writer) {
		w.uint32(unix.NFTA_GEN_ID, 5)
		w.uint32(unix.NFTA_GEN_PROC_PID, 1)
		w.string(unix.NFTA_GEN_PROC_NAME, "nft")
	})
	return out
}

// FuzzMessages reads a datagram as everything that it could be.
func FuzzMessages(f *testing.F) {
	var all []byte
	for _, seed := range seeds() {
		f.Add(seed)
		all = append(all, seed...)
	}
	f.Add(all)
	f.Add(all[:len(all)-1])
	f.Add(all[:headerLen-1])
	f.Add(all[:3])
	var short writer
	short.b = append(short.b, headerLen, 0, 0, 0, 1, byte(message(0)>>8), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) // a header alone
	f.Add(short.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)[:len(b):len(b)] // so that reading past its end panics
		messages(b, func(a answer) error {
			decodeTable(a)
			decodeChain(a)
			decodeRule(a)
			decodeCounter(a)
			decodeEvent(a)
			info, _ := decodeSet(a)
			eachElement(a, func(b []byte) error { decodeBound(b, info); return nil })
			new(Change).decodeGen(a)
			a.refusal()
			op{addrs: true}.element(b, int(a.seq&0xffff))
			return nil
		})
		m := Monitor{c: &Client{}}
		m.take(b)
		if len(m.change.Events) > maxEvents {
			t.Errorf("%d events", len(m.change.Events))
		}
	})
}

// FuzzRefusal reads a message as the kernel's answer to a transaction.
func FuzzRefusal(f *testing.F) {
	f.Add([]byte{0xfe, 0xff, 0xff, 0xff}, uint16(0), uint16(unix.NLMSG_ERROR))
	f.Add([]byte{0, 0, 0, 0}, uint16(0), uint16(unix.NLMSG_DONE))
	withTLV := append([]byte{0xef, 0xff, 0xff, 0xff}, make([]byte, headerLen)...)
	withTLV = append(withTLV, 8, 0, unix.NLMSGERR_ATTR_OFFS, 0, 20, 0, 0, 0)
	f.Add(withTLV, uint16(unix.NLM_F_ACK_TLVS), uint16(unix.NLMSG_ERROR))
	f.Fuzz(func(t *testing.T, body []byte, flags, typ uint16) {
		a := answer{typ: typ, flags: flags, body: body}
		if err := a.refusal(); err != nil {
			_ = err.Error()
		}
	})
}

// FuzzElements writes elements, reads them back as a set's listing, and compares.
func FuzzElements(f *testing.F) {
	f.Add([]byte{192, 0, 2, 1}, uint8(32), int64(time.Hour), "comment", false)
	f.Add([]byte{0, 0, 0, 0}, uint8(0), int64(0), "", true)
	f.Add([]byte{255, 255, 255, 255}, uint8(32), int64(1), "x", true)
	f.Add(make([]byte, 16), uint8(64), int64(time.Minute), "", true)
	f.Fuzz(func(t *testing.T, addr []byte, bits uint8, timeout int64, comment string, interval bool) {
		ip, _ := netip.AddrFromSlice(addr)
		want := Element{Prefix: netip.PrefixFrom(ip, int(bits)), Timeout: time.Duration(timeout), Comment: Comment(comment)}
		info := SetInfo{Interval: interval, HasTimeout: true, keyType: typeIPv4Addr, keyLen: 4}
		if len(addr) == 16 {
			info.keyType, info.keyLen = typeIPv6Addr, 16
		}
		var w writer
		list := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		if err := w.element(want, info); err != nil {
			if want.Prefix.IsValid() && timeout >= 0 && (interval || want.Prefix.IsSingleIP()) {
				t.Fatalf("%+v: %v", want, err)
			}
			return
		}
		w.endNest(list)
		var bounds []bound
		err := eachElement(answer{attrs: w.b}, func(b []byte) error {
			got, err := decodeBound(b, info)
			bounds = append(bounds, got)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := join(bounds, info)
		if err != nil || len(got) != 1 {
			t.Fatalf("%+v: got %+v, %v", want, got, err)
		}
		e := got[0]
		if e.Prefix != want.Prefix.Masked() || e.Comment != want.Comment {
			t.Errorf("got %+v, want %+v", e, want)
		}
		if d := want.Timeout - e.Timeout; timeout > int64(shortest) && (d < 0 || d >= time.Millisecond) || (timeout == 0) != (e.Timeout == 0) {
			t.Errorf("got timeout %v, want %v", e.Timeout, want.Timeout)
		}
	})
}

// FuzzComment checks that what Comment makes is always accepted.
func FuzzComment(f *testing.F) {
	f.Add("say \"no\"\n")
	f.Add("\xff\xfe")
	f.Fuzz(func(t *testing.T, text string) {
		c := Comment(text)
		if err := checkComment(c); err != nil {
			t.Error(err)
		}
		if Comment(c) != c {
			t.Errorf("%q changes again, to %q", c, Comment(c))
		}
	})
}

func FuzzUserdata(f *testing.F) {
	f.Add([]byte{0, 2, 'x', 0}, byte(0))
	f.Add([]byte{1, 4, 1, 0, 0, 0, 0, 200}, byte(0))
	f.Fuzz(func(t *testing.T, b []byte, typ byte) {
		if v, ok := userdata(b, typ); ok && len(v) > 255 {
			t.Errorf("got %d bytes", len(v))
		}
	})
}
