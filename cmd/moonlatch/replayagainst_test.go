package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestReplayAgainst compares two policies on one capture.
func TestReplayAgainst(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	one := w.policy("one.lua", scanned)
	two := w.policy("two.lua", strings.NewReplacer("over = 10", "over = 5", "tcp = { 80, 443 }", "tcp = 80").Replace(scanned))
	packets := append(scanFrom("203.0.113.9", 0, 1000, 12), scanFrom("203.0.113.8", 5e9, 2000, 7)...)
	packets = append(packets, written{after: 10e9, src: "192.0.2.5", dport: 443, flags: "S"})
	path := w.writeCapture("against.pcap", packets...)
	r, errs, code := w.replay(path, one, "--against", two)
	if code != exitDifferences || r.Differences == nil {
		t.Fatalf("code %d, %s", code, errs)
	}
	d := r.Differences
	if len(d.Only) != 0 || len(d.Missing) != 1 || d.Missing[0].Target != "203.0.113.8" || d.Missing[0].Packet != 18 {
		t.Errorf("bans of one only: %+v and %+v", d.Only, d.Missing)
	}
	if len(d.Moved) != 1 || d.Moved[0].Target != "203.0.113.9" || d.Moved[0].Bans[0].Packet != 11 || d.Moved[0].Other[0].Packet != 6 {
		t.Errorf("bans that differ: %+v", d.Moved)
	}
	if len(d.Verdicts) != 1 || d.Verdicts[0].Packets != 1 || d.Verdicts[0].Number != 20 || d.Verdicts[0].Was.Rule != "web" || d.Verdicts[0].Is.Rule != "closed" ||
		!strings.HasPrefix(d.Verdicts[0].Example, "tcp 192.0.2.5:40000 -> 198.51.100.1:443 syn") {
		t.Errorf("verdicts that differ: %+v", d.Verdicts)
	}
	text, _, _ := w.run("replay", path, one, "--against", two)
	for _, want := range []string{"+ only " + two + " bans 203.0.113.8 at", "~ both ban 203.0.113.9, otherwise", "~ 1 packet: accept by input \"web\", with " + two + " drop by input \"closed\"", "such as packet 20, tcp 192.0.2.5:40000"} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q:\n%s", want, text)
		}
	}
	if text, errs, code := w.run("replay", path, one, "--against", one); code != 0 || !strings.Contains(text, "make the same of it: 1 ban") {
		t.Errorf("against itself: code %d, %s%s", code, text, errs)
	}
}

// TestReplayDirections sends what the host itself sends as such, so that connections become established, and
// forwards what is not the host's.
func TestReplayDirections(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	policy := w.policy("web.lua", scanned+`
local forward = fw.chain "forward" { hook = "forward", policy = "drop" }
local output = fw.chain "output" { hook = "output" }
output { "sent", accept }
`)
	path := w.writeCapture("directions.pcap",
		written{src: "192.0.2.5", dport: 443, flags: "S"},
		written{after: 1e6, src: replayHost, dst: "192.0.2.5", dport: 443, flags: "SA"},
		written{after: 2e6, src: "192.0.2.5", dport: 443, flags: "A", cut: 20}, // of an established connection, and cut in its payload
		written{after: 3e6, src: "192.0.2.6", dport: 443, flags: "A"},          // of none, but the rule takes it
		written{after: 4e6, src: "192.0.2.5", dst: "192.0.2.99", dport: 80, flags: "S"},
		written{after: 5e6, src: "192.0.2.5", dport: 22, flags: "R"},
	)
	r, errs, code := w.replay(path, policy)
	if code != 0 {
		t.Fatal(errs)
	}
	got := map[string]int{}
	for _, v := range r.Policy.Verdicts {
		got[string(v.Verdict)+" "+v.Chain+" "+v.Rule] = v.Packets
	}
	if diff := cmp.Diff(map[string]int{"accept input web": 2, "accept output sent": 1, "accept input replies": 1, "drop forward policy": 1, "drop input policy": 1}, got); diff != "" {
		t.Error(diff)
	}
	r, _, _ = w.replay(path, policy, "--host", "192.0.2.99")
	if v := r.Policy.Verdicts; len(v) != 1+1 || r.Hosts.By != "--host" {
		t.Errorf("with another host: %+v %+v", r.Hosts, v)
	}
}

// TestReplaySpares tells who would have been banned if they were not protected, or the detector not a shadow.
func TestReplaySpares(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	policy := w.policy("web.lua", scanned+`fw.protect { "203.0.113.9" }
fw.detect "careful" { on = closed, over = 3, within = "60s", ban = "1h", shadow = true }
fw.on(closed, { tcp = 1001 }, function(ev) fw.ban(ev.src, "1h", "handler"); local x = nil; x.y = 1 end)
`)
	r, errs, code := w.replay(w.writeCapture("spare.pcap", scanFrom("203.0.113.9", 0, 1000, 12)...), policy)
	if code != 0 || len(r.Policy.Bans) != 0 {
		t.Fatalf("code %d, %s, %+v", code, errs, r.Policy.Bans)
	}
	got := map[string][3]int{}
	for _, s := range r.Policy.Spared {
		if s.Target != "203.0.113.9" {
			t.Errorf("%+v", s)
		}
		got[strings.SplitN(s.By, " ", 2)[0]] = [3]int{s.Times, s.First, s.Last}
	}
	if diff := cmp.Diff(map[string][3]int{"portscan": {1, 11, 11}, "careful": {3, 4, 12}, "handler": {1, 2, 2}}, got); diff != "" {
		t.Error(diff)
	}
	if len(r.Policy.Failures) != 1 || !strings.Contains(r.Policy.Failures[0], "web.lua:11") {
		t.Errorf("failures: %q", r.Policy.Failures)
	}
}

// TestReplayOfLogged hands packets to the listeners of a stream without asking the rules.
func TestReplayOfLogged(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	policy := w.policy("web.lua", `local fw = require "moonlatch"
local closed = fw.stream "closed"
fw.detect "portscan" { on = closed, count = "distinct dport", over = 10, within = "60s", ban = "1h" }
`)
	path := w.writeCapture("logged.pcap", scanFrom("203.0.113.9", 0, 1000, 15)...)
	r, errs, code := w.replay(path, policy, "--logged", "closed")
	if code != 0 || len(r.Policy.Bans) != 1 || r.Policy.Bans[0].Packet != 11 {
		t.Fatalf("code %d, %s, %+v", code, errs, r.Policy.Bans)
	}
	got := map[string]int{}
	for _, v := range r.Policy.Verdicts {
		got[string(v.Verdict)+" "+v.Chain+v.Rule] = v.Packets
	}
	if diff := cmp.Diff(map[string]int{"logged closed": 11, "drop banned": 4}, got); diff != "" {
		t.Error(diff)
	}
	_, errs, code = w.replay(path, policy, "--logged", "close")
	if code != exitUsage || !strings.Contains(errs, `has no stream \"close\" (did you mean \"closed\"?)`) {
		t.Errorf("a stream that is not: code %d, %s", code, errs)
	}
}

// TestReplayMistakes names what is wrong with captures and arguments.
func TestReplayMistakes(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	policy := w.policy("web.lua", scanned)
	whole, err := os.ReadFile(w.writeCapture("whole.pcap", scanFrom("203.0.113.9", 0, 1000, 20)...))
	must(t, err)
	file := func(name string, b []byte) string {
		path := filepath.Join(w.dir, name)
		must(t, os.WriteFile(path, b, 0o600))
		return path
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
		bans int
	}{
		{[]string{file("cut.pcap", whole[:len(whole)-10]), policy}, exitFailure, "cut.pcap: packet 20: the capture ends in the middle of it: unexpected EOF; what came before it has been played", 1},
		{[]string{file("empty.pcap", nil), policy}, exitFailure, "empty.pcap: the capture is empty", 0},
		{[]string{policy, policy}, exitFailure, "web.lua: no capture that can be read: pcap and pcapng can", 0},
		{[]string{filepath.Join(w.dir, "none.pcap"), policy}, exitFailure, "none.pcap: no such file", 0},
		{[]string{file("whole.pcap", whole), filepath.Join(w.dir, "none.lua")}, exitPolicy, "none.lua", 0},
		{[]string{file("whole.pcap", whole), w.policy("bad.lua", "fw.chian()")}, exitPolicy, "bad.lua:1", 0},
		{[]string{file("whole.pcap", whole), policy, "--against", w.policy("bad.lua", "fw.chian()")}, exitPolicy, "bad.lua:1", 0},
		{[]string{file("whole.pcap", whole), policy, "--host", "192.0.2.0/24"}, exitUsage, `--host \"192.0.2.0/24\" is no address`, 0},
		{[]string{file("whole.pcap", whole)}, exitFailure, "nothing of Moonlatch is in force", 0},
		{nil, exitUsage, "accepts between 1 and 2 arg", 0},
	} {
		r, errs, code := w.replay(tt.args...)
		if code != tt.code || !strings.Contains(errs, tt.want) || len(r.Policy.Bans) != tt.bans {
			t.Errorf("%v: code %d, %s, %d bans; want %d, %q, %d", tt.args, code, errs, len(r.Policy.Bans), tt.code, tt.want, tt.bans)
		}
	}
	header := file("header.pcap", whole[:24])
	if r, errs, code := w.replay(header, policy); code != 0 || r.Packets != 0 {
		t.Errorf("a capture of no packets: code %d, %s, %+v", code, errs, r)
	}
}

// TestReplayOfWhatIsInForce plays to the confirmed generation, and changes nothing.
func TestReplayOfWhatIsInForce(t *testing.T) {
	t.Parallel()
	w := newReplayWorld(t)
	w.ok("apply", w.policy("web.lua", scanned))
	w.ok("confirm")
	path := w.writeCapture("scan.pcap", scanFrom("203.0.113.9", 0, 1000, 12)...)
	r, errs, code := w.replay(path)
	if code != 0 || len(r.Policy.Bans) != 1 || r.Policy.Name != "web.lua" {
		t.Errorf("code %d, %s, %+v", code, errs, r.Policy)
	}
	if bans := w.bans(); len(bans) != 0 {
		t.Errorf("the replay banned for real: %v", bans)
	}
}
