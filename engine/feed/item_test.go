package feed

import (
	"encoding/json"
	"net/netip"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"moonlatch/engine/packet"
)

// examples has one item of every kind, with everything set that it can have.
func examples() []Item {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	later := at.Add(time.Hour)
	b := &Ban{Target: Target{netip.MustParsePrefix("203.0.113.9/32")}, Until: later, By: "portscan", Why: "11 ports in 60s", Origin: "local"}
	ended := &Ban{Target: b.Target, Reason: "expired"}
	refused := &Ban{Target: b.Target, By: "portscan", Why: "11 ports", Origin: "local", Reason: "no room"}
	g := &Generation{Number: 8, Policy: "web.lua", By: "ann (uid 0, pid 1)", Until: later, Fallback: "previous", Session: "unknown", Why: "no peer", Bans: 3}
	items := []Item{
		{Kind: KindEvent, Event: Event{
			Stream: "closed", Chain: "input", Rule: "knock", Verdict: "drop", Iif: "eth0", Oif: "eth1",
			Packet: packet.Packet{
				Time: at, Src: netip.MustParseAddr("203.0.113.9"), Dst: netip.MustParseAddr("192.0.2.1"), Proto: 6, HasProto: true,
				Sport: 40000, Dport: 0, HasPorts: true, Flags: packet.SYN, HasFlags: true, TTL: 55, Length: 60, Mark: 7,
				MAC: [6]byte{2, 0, 0, 0, 0, 1}, HasMAC: true, UID: 0, GID: 1000, HasOwner: true,
			},
		}},
		{Kind: KindBan, Ban: b}, {Kind: KindUnban, Ban: ended}, {Kind: KindWouldBan, Ban: b}, {Kind: KindRefused, Ban: refused},
		{Kind: KindApply, Generation: g}, {Kind: KindExtend, Generation: g}, {Kind: KindConfirm, Generation: g},
		{Kind: KindRollback, Generation: g}, {Kind: KindTrialEnd, Generation: g}, {Kind: KindReset, Generation: g},
		{Kind: KindDrift, Drift: &Drift{What: "chain input is gone", Done: DriftHealed, Process: "nft", PID: 42}},
		{Kind: KindLease, Lease: &Lease{Generation: 8, State: LeaseFailing, Seconds: 10, Why: "check failed", Traceback: "web.lua:3"}},
		{Kind: KindFault, Fault: &Fault{Callback: "web.lua:9", Kind: "handler", Place: "web.lua:10", Reason: "runtime", Message: "nil", Traceback: "web.lua:10", Off: true}},
		{Kind: KindBrake, Notice: &Notice{By: "brake", Title: "bans are held back", Fields: []Field{{"reason", "rate"}}}},
		{Kind: KindList, Notice: &Notice{By: "drop", Title: "a list is refused"}},
		{Kind: KindHistory, Notice: &Notice{By: "history", Title: "the history cannot be written", Text: "no space left on device", Fields: []Field{{"since", "x"}, {"missing", "3"}}}},
		{Kind: KindNotice, Notice: &Notice{To: "ops", By: "web.lua:12", Title: "hello", Text: "world", Fields: []Field{{"src", "203.0.113.9"}}}},
	}
	for i := range items {
		items[i].ID, items[i].Time = uint64(i+1), at
	}
	return items
}

// TestRoundTrip brings every kind through JSON.
func TestRoundTrip(t *testing.T) {
	seen := map[Kind]bool{}
	for _, it := range examples() {
		seen[it.Kind] = true
		text, err := json.Marshal(it)
		if err != nil {
			t.Fatal(err)
		}
		var back Item
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(it, back, cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{})); diff != "" {
			t.Errorf("%s: %s\n%s", it.Kind, text, diff)
		}
	}
	for _, k := range Kinds() {
		if !seen[k] {
			t.Errorf("no example of %s", k)
		}
	}
}

// TestEventJSON keeps the keys, which are those of events in policies.
func TestEventJSON(t *testing.T) {
	got, err := json.Marshal(examples()[0])
	want := `{"id":1,"time":"2026-11-23T10:00:00Z","kind":"event","event":{"time":"2026-11-23T10:00:00Z","stream":"closed","chain":"input","rule":"knock","verdict":"drop",` +
		`"family":"ipv4","src":"203.0.113.9","dst":"192.0.2.1","proto":"tcp","sport":40000,"dport":0,"flags":"syn","ttl":55,"length":60,` +
		`"iif":"eth0","oif":"eth1","mark":7,"mac":"02:00:00:00:00:01","uid":0,"gid":1000}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s (%v)", got, want, err)
	}
	icmp := Event{Stream: "ping", Packet: packet.Packet{Src: netip.MustParseAddr("2001:db8::1"), Proto: 58, HasProto: true, ICMPType: 128, HasICMP: true}}
	text, _ := json.Marshal(icmp)
	for _, part := range []string{`"icmp_type":"echo-request"`, `"icmp_code":0`, `"family":"ipv6"`} {
		if !strings.Contains(string(text), part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
	for _, bad := range []string{`{"proto":"tpc"}`, `{"flags":"nys"}`, `{"icmp_type":"pong"}`, `{"src":1}`} {
		if err := json.Unmarshal([]byte(bad), &Event{}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}

func TestText(t *testing.T) {
	items := examples()
	for i, want := range map[int]string{
		0: "drop knock: 203.0.113.9:40000 > 192.0.2.1:0 tcp syn on eth0>eth1",
		1: `banned target=203.0.113.9 until=2026-11-23T11:00:00Z by=portscan why="11 ports in 60s" origin=local`,
		9: "trial ended: it was not confirmed in time, and the kernel has put the fallback in force generation=8 policy=web.lua fallback=previous",
	} {
		if got := items[i].Text(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	forever := Item{Kind: KindBan, Ban: &Ban{Target: Target{netip.MustParsePrefix("2001:db8::/64")}}}
	if got := forever.Text(); !strings.Contains(got, "target=2001:db8::/64 until=never") {
		t.Errorf("a ban without an end: %s", got)
	}
}

func FuzzTarget(f *testing.F) {
	for _, s := range []string{"", "203.0.113.9", "2001:db8::/64", "::ffff:192.0.2.1", "fe80::1%eth0", "1/2/3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var a, b Target
		if a.UnmarshalText([]byte(s)) != nil {
			return
		}
		if err := b.UnmarshalText([]byte(a.String())); err != nil || a != b {
			t.Errorf("%q is %v, whose text is %v (%v)", s, a, b, err)
		}
	})
}

// TestDocumentedKeys holds the log to the table in docs/observing.md, in both directions.
func TestDocumentedKeys(t *testing.T) {
	page, err := os.ReadFile("../../docs/observing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| kind | level | keys |")
	documented := map[string]string{}
	word := regexp.MustCompile("`([a-z_]+)`")
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) != 5 {
			continue
		}
		var keys []string
		for _, m := range word.FindAllStringSubmatch(cells[3], -1) {
			keys = append(keys, m[1])
		}
		for _, m := range word.FindAllStringSubmatch(cells[1], -1) {
			documented[m[1]] = strings.TrimSpace(cells[2]) + " " + strings.Join(keys, " ")
		}
	}
	for _, it := range examples() {
		level, message, attrs := it.Line()
		if it.Kind == KindEvent || it.Kind == KindNotice { // the one is not logged, the other has the keys that the policy gives it
			continue
		}
		var keys []string
		for _, a := range attrs[1:] {
			keys = append(keys, a.Key)
		}
		if got := strings.ToLower(level.String()) + " " + strings.Join(keys, " "); got != documented[string(it.Kind)] || attrs[0].Key != "kind" || message == "" {
			t.Errorf("%s: logged as %q, documented as %q", it.Kind, got, documented[string(it.Kind)])
		}
		delete(documented, string(it.Kind))
	}
	for kind := range documented {
		t.Errorf("%s is documented, but there is no such line", kind)
	}
}
