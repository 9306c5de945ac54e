package nft

import (
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns/netnstest"
)

func TestQuerySkipsWhatAnEarlierOneLeftBehind(t *testing.T) {
	netnstest.Kernel(t)
	if out, err := exec.Command("nft", "add table inet a; add table inet b; add table inet c").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer exec.Command("nft", "flush ruleset").Run()
	c, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var w writer
	start := w.begin(message(unix.NFT_MSG_GETTABLE), unix.NLM_F_DUMP, c.read.seq, unix.NFPROTO_UNSPEC, 0)
	w.end(start)
	if err := c.read.send(w.b); err != nil {
		t.Fatal(err)
	}
	tables := 0
	err = c.read.query(unix.NFT_MSG_GETTABLE, 0, Inet, func(w *writer) { w.string(unix.NFTA_TABLE_NAME, "c") }, func(a answer) error {
		tables++
		table, err := decodeTable(a)
		if table.Name != "c" {
			t.Errorf("got table %q, which another request asked for", table.Name)
		}
		return err
	})
	if err != nil || tables != 1 {
		t.Errorf("got %d tables, error %v, want one", tables, err)
	}
}

// An element that expires within the next millisecond still expires.
func TestDecodeElementThatIsAboutToExpire(t *testing.T) {
	var w writer
	w.uint64(unix.NFTA_SET_ELEM_TIMEOUT, 1000)
	w.uint64(unix.NFTA_SET_ELEM_EXPIRATION, 0)
	e, err := decodeElement(w.b)
	if err != nil || e.expires <= 0 || e.expires > time.Millisecond {
		t.Errorf("got %v left, error %v, want a moment", e.expires, err)
	}
}

func TestMilliseconds(t *testing.T) {
	for n, want := range map[uint64]time.Duration{
		0: 0, 1500: 1500 * time.Millisecond, 1<<64 - 1: 1<<63 - 1, 9223372036855: 1<<63 - 1, 9223372036854: 9223372036854 * time.Millisecond,
	} {
		if got := milliseconds(n); got != want {
			t.Errorf("milliseconds(%d) = %v, want %v", n, got, want)
		}
	}
}

// TestLoadWithLittleRoom: where the process may send little at once, as with the usual net.core.wmem_max in a user
// namespace, a load takes more transactions.
func TestLoadWithLittleRoom(t *testing.T) {
	netnstest.Kernel(t)
	const n = 50_000
	if out, err := exec.Command("nft", "add table inet t; add set inet t s { type ipv4_addr; flags timeout; size 65536; }").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	defer exec.Command("nft", "flush ruleset").Run()
	c, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.write.sock.SetWriteBuffer(212_992); err != nil { // the usual net.core.wmem_max
		t.Fatal(err)
	}
	c.write.room = 1 << 30 // and there is no more to be had
	table := Table{Family: Inet, Name: "t"}
	_, err = c.Load(table, "s", func(yield func(Element) bool) {
		for i := range uint32(n) {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if !yield(Element{Prefix: netip.PrefixFrom(addr, 32), Timeout: time.Hour}) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if all, err := c.Elements(table, "s"); err != nil || len(all) != n {
		t.Errorf("the set holds %d elements, %v; want %d", len(all), err, n)
	}
}
