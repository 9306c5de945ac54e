package nft_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/nft"
)

// next returns the next change, which must come soon.
func next(t *testing.T, m *nft.Monitor) nft.Change {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	change, err := m.Next(ctx)
	must(t, err)
	return change
}

// quiet fails if there is another change.
func quiet(t *testing.T, m *nft.Monitor) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if change, err := m.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got change %+v, error %v, want none", change, err)
	}
}

func monitor(t *testing.T, c *nft.Client) *nft.Monitor {
	t.Helper()
	m, err := c.Monitor()
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMonitorSeesAForeignFlush(t *testing.T) {
	c := open(t, sets+"\ntable ip x { chain c { accept; }; }")
	m := monitor(t, c)
	cmd := exec.Command("nft", "flush", "ruleset")
	must(t, cmd.Run())
	change := next(t, m)
	id, err := c.GenID()
	must(t, err)
	if change.PID != cmd.Process.Pid || change.Process != "nft" || change.Own || change.Overrun || change.GenID != id {
		t.Errorf("got %+v, want a change by process %d, nft, that made generation %d", change, cmd.Process.Pid, id)
	}
	deleted := make(map[nft.Event]bool)
	for _, e := range change.Events {
		deleted[e] = true
	}
	x := nft.Table{Family: nft.IPv4, Name: "x"}
	for _, want := range []nft.Event{
		{Object: "table", Deleted: true, Table: table}, {Object: "table", Deleted: true, Table: x},
		{Object: "set", Deleted: true, Table: table, Name: "host4"}, {Object: "chain", Deleted: true, Table: x, Name: "c"},
		{Object: "rule", Deleted: true, Table: x, Name: "c"},
	} {
		if !deleted[want] {
			t.Errorf("%+v is not among %+v", want, change.Events)
		}
	}
	quiet(t, m)
}

func TestMonitorKinds(t *testing.T) {
	c := open(t, "table inet t { set s { type ipv4_addr; }; chain c { }; counter n { }; }")
	m := monitor(t, c)
	for _, tt := range []struct {
		command string
		want    []nft.Event
	}{
		{"add element inet t s { 192.0.2.1 }", []nft.Event{{Object: "element", Table: table, Name: "s"}}},
		{"delete element inet t s { 192.0.2.1 }", []nft.Event{{Object: "element", Deleted: true, Table: table, Name: "s"}}},
		{"add rule inet t c accept", []nft.Event{{Object: "rule", Table: table, Name: "c"}}},
		{"flush chain inet t c", []nft.Event{{Object: "rule", Deleted: true, Table: table, Name: "c"}}},
		{"add chain inet t d", []nft.Event{{Object: "chain", Table: table, Name: "d"}}},
		{"delete chain inet t d", []nft.Event{{Object: "chain", Deleted: true, Table: table, Name: "d"}}},
		{"add set inet t x { type mark; }", []nft.Event{{Object: "set", Table: table, Name: "x"}}},
		{"delete set inet t x", []nft.Event{{Object: "set", Deleted: true, Table: table, Name: "x"}}},
		{"add counter inet t y", []nft.Event{{Object: "object", Table: table, Name: "y"}}},
		{"delete counter inet t y", []nft.Event{{Object: "object", Deleted: true, Table: table, Name: "y"}}},
		{"add table arp a", []nft.Event{{Object: "table", Table: nft.Table{Family: nft.ARP, Name: "a"}}}},
		{"delete table arp a", []nft.Event{{Object: "table", Deleted: true, Table: nft.Table{Family: nft.ARP, Name: "a"}}}},
		{"add table ip6 b; add chain ip6 b c", []nft.Event{
			{Object: "table", Table: nft.Table{Family: nft.IPv6, Name: "b"}},
			{Object: "chain", Table: nft.Table{Family: nft.IPv6, Name: "b"}, Name: "c"},
		}},
	} {
		command(t, "", tt.command)
		if diff := cmp.Diff(tt.want, next(t, m).Events); diff != "" {
			t.Errorf("%s: %s", tt.command, diff)
		}
	}
}

func TestMonitorTellsOwnChanges(t *testing.T) {
	c := open(t, sets)
	m := monitor(t, c)
	for i := range 40 { // more than the client remembers
		must(t, c.Run(t.Context(), fmt.Appendf(nil, "add table inet own%d", i)))
		if change := next(t, m); !change.Own || change.Process != "nft" || len(change.Events) != 1 {
			t.Fatalf("got %+v, want an own change", change)
		}
	}
	// Transactions are not even delivered.
	add(t, c, "host4", hosts(1000))
	quiet(t, m)
	command(t, "", "add table inet foreign")
	if change := next(t, m); change.Own || change.Events[0].Table.Name != "foreign" {
		t.Errorf("got %+v, want a foreign change", change)
	}
	// Those of another client are.
	other, err := nft.Open(nft.Config{})
	must(t, err)
	defer other.Close()
	add(t, other, "host6", elements("2001:db8::1"))
	if change := next(t, m); change.Own || change.Events[0].Name != "host6" {
		t.Errorf("got %+v, want the other client's change", change)
	}
}

func TestMonitorBoundsEvents(t *testing.T) {
	c := open(t, sets)
	m := monitor(t, c)
	var b bytes.Buffer
	for i := range 3000 {
		fmt.Fprintf(&b, "add element inet t host4 { 10.0.%d.%d }\n", i/256, i%256)
	}
	command(t, b.String(), "-f", "-")
	change := next(t, m)
	if len(change.Events) != 1000 || change.More != 2000 || change.Overrun {
		t.Errorf("got %d events and %d more, overrun %v, want 1000 and 2000", len(change.Events), change.More, change.Overrun)
	}
}

func TestMonitorOverrun(t *testing.T) {
	c := open(t, sets)
	m := monitor(t, c)
	other, err := nft.Open(nft.Config{})
	must(t, err)
	defer other.Close()
	for range 3 {
		add(t, other, "host4", hosts(60_000))
		tx := other.Begin()
		tx.FlushSet(table, "host4")
		must(t, tx.Commit())
	}
	for !next(t, m).Overrun {
	}
	// From the moment that it was told, nothing is missed any more.
	command(t, "", "add table inet after")
	if change := next(t, m); len(change.Events) == 0 || change.Events[0].Table.Name != "after" {
		t.Errorf("got %+v, want the change after the overrun", change)
	}
	quiet(t, m)
}

func TestMonitorEnds(t *testing.T) {
	c := open(t, sets)
	m := monitor(t, c)
	cause := errors.New("the cause")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(20*time.Millisecond, func() { cancel(cause) })
	if _, err := m.Next(ctx); err != cause {
		t.Errorf("got error %v, want the context's cause", err)
	}
	if _, err := m.Next(ctx); err != cause {
		t.Errorf("got error %v, want the context's cause again", err)
	}
	// An ended context is no end of the monitor.
	command(t, "", "add table inet later")
	if change := next(t, m); len(change.Events) != 1 {
		t.Errorf("got %+v, want a change", change)
	}
	time.AfterFunc(20*time.Millisecond, func() { m.Close() })
	if _, err := m.Next(t.Context()); err == nil || strings.Contains(err.Error(), "deadline") {
		t.Errorf("got error %v, want one about the closed monitor", err)
	}
}
