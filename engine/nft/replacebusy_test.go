package nft

import (
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"moonlatch/engine/netns/netnstest"
)

// TestReplaceWhileOthersChange replaces beside somebody who changes a table of their own without a pause.
func TestReplaceWhileOthersChange(t *testing.T) {
	err := netnstest.New(t).Do(func() error {
		c, err := Open(Config{})
		if err != nil {
			return err
		}
		defer c.Close()
		stop := churn(t, c)
		defer stop()
		var w writer
		for i := range 2000 { // listing them takes longer than the pauses between changes
			start := w.begin(message(unix.NFT_MSG_NEWTABLE), 0, 0, IPv4, 0)
			w.string(unix.NFTA_TABLE_NAME, fmt.Sprintf("t%d", i))
			w.end(start)
		}
		im, err := ParseImage(w.b)
		if err != nil {
			return err
		}
		for range 3 {
			if err := c.Replace(im, 0); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// churn makes a table that only it can change, and changes it until it is stopped.
func churn(t *testing.T, c *Client) (stop func()) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Run(t.Context(), []byte("add table inet owned; add set inet owned s { type ipv4_addr; flags timeout; }")))
	im, err := c.Image()
	must(err)
	im.tables[0].flags = tableOwner | tablePersist
	overwrite(im.tables[0].attrs, unix.NFTA_TABLE_FLAGS, im.tables[0].flags)
	other, err := Open(Config{})
	must(err)
	must(other.Replace(im, 0))
	end, ended := make(chan struct{}), make(chan error)
	go func() {
		for {
			select {
			case <-end:
				ended <- nil
				return
			default:
			}
			tx := other.Begin()
			tx.ReplaceElements(Table{Inet, "owned"}, "s", []Element{{Prefix: netip.MustParsePrefix("192.0.2.1/32")}})
			if err := tx.Commit(); err != nil {
				ended <- err
				return
			}
		}
	}()
	return func() {
		close(end)
		if err := <-ended; err != nil {
			t.Errorf("the table of another is not theirs alone: %v", err)
		}
		other.Close()
	}
}
