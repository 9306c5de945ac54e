package banlist

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/ban"
)

// now is the instant that every list here is read at.
func now() time.Time { return time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC) }

// told writes what a list yields as lines, for comparison.
func told(list iter.Seq2[Entry, error]) []string {
	var out []string
	for e, err := range list {
		if err != nil {
			out = append(out, err.Error())
			continue
		}
		line := fmt.Sprintf("%d %s", e.Line, e.Target)
		if !e.Since.IsZero() {
			line += " since " + e.Since.Sub(now()).String()
		}
		switch {
		case e.Endless:
			line += " endless"
		case !e.Until.IsZero():
			line += " for " + e.Until.Sub(now()).String()
		}
		out = append(out, line+strings.TrimRight(fmt.Sprintf(" [%s: %s] %s", e.By, e.Why, e.Origin), " "))
	}
	return out
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		name   string
		format Format
		text   string
		want   []string
	}{
		{"json", JSON, `{"apiVersion": "moonlatch/v1", "bans": [
			{"target": "192.0.2.1", "since": "2026-01-31T11:00:00Z", "until": "2026-01-31T13:00:00Z", "by": "portscan", "why": "11 ports", "origin": "local"},
			{"target": "2001:db8::/64"},
			{"target": "192.0.2.3", "untill": "2026-01-31T13:00:00Z"},
			{"target": "0.0.0.0/0"},
			{"target": 7},
			{"target": "192.0.2.4", "since": "2026-01-31T13:00:00Z", "until": "2026-01-31T12:30:00Z"},
			{"target": "192.0.2.5", "until": "2026-01-31T11:59:59Z"},
			{"target": "192.0.2.6", "until": "2046-01-31T11:59:59Z"},
			{"target": "192.0.2.7", "origin": "elsewhere"}
		]}`, []string{
			"2 192.0.2.1/32 since -1h0m0s for 1h0m0s [portscan: 11 ports] local",
			"3 2001:db8::/64 [: ]",
			`line 4: unknown field "untill"`,
			"line 5: 0.0.0.0/0 cannot be banned: it is everybody",
			`line 6: "target" is a number, and that it cannot be`,
			"line 7: 192.0.2.4: it ends before it begins",
			"line 8: left out: the ban of 192.0.2.5 has ended",
			"line 9: 192.0.2.6: it ends in more than ten years, longer than a ban can last",
			`line 10: the origin "elsewhere" is not known: it is "local" or "manual"`,
		}},
		{"json of another kind", JSON, `{"apiVersion": "moonlatch/v2", "bans": []}`, []string{`its apiVersion is "moonlatch/v2", and "moonlatch/v1" is expected`}},
		{"json of somebody else", JSON, `{"bans": [1]}`, []string{`it is not Moonlatch's: apiVersion "moonlatch/v1" is missing before the bans`}},
		{"json cut off", JSON, `{"apiVersion": "moonlatch/v1", "bans": [{"target": "192.0.2.1"},` + "\n" + `{"tar`, []string{"1 192.0.2.1/32 [: ]", "line 2: it is cut off: its JSON does not end"}},
		{"csv", CSV, "target,why,until\n192.0.2.1,\"a \"\"b\"\",\nc\",2026-01-31T13:00:00Z\n192.0.2.300,,\n192.0.2.2,x\n192.0.2.3,,soon\n10.1.0.0/16,,\n", []string{
			"2 192.0.2.1/32 for 1h0m0s [: a \"b\",\nc]",
			`line 4: "192.0.2.300" is no IP address, prefix or range`,
			"line 5: it has 2 values, and the first line names 3",
			`line 6: until: "soon" is no time: write it as 2026-01-31T12:00:00Z`,
			"7 10.1.0.0/16 [: ]",
		}},
		{"csv of something else", CSV, "name,age\nx,1\n", []string{`the column "name" is not known: the first line names columns, of target, since, until, by, why, origin`}},
		{"plain", Plain, "# a list\n192.0.2.1 # ssh\r\n\n198.51.100.0/24 ; SBL1\n192.0.2.8-192.0.2.10\n::ffff:192.0.2.77\n192.0.2.1/24\nfe80::1%eth0\nbad host\n127.0.0.1\n0.0.0.0/0\n", []string{
			"2 192.0.2.1/32 [: ssh]", "4 198.51.100.0/24 [: SBL1]",
			"5 192.0.2.8/31 [: ]", "5 192.0.2.10/32 [: ]", "6 192.0.2.77/32 [: ]",
			"line 7: 192.0.2.1/24 cannot be banned: it has bits set after its prefix length; write 192.0.2.0/24, or 192.0.2.1 for the address alone",
			`line 8: "fe80::1%eth0" is no IP address, prefix or range`, `line 9: "bad host" is no IP address, prefix or range`,
			"line 10: 127.0.0.1/32 cannot be banned: it holds loopback addresses, which this host talks to itself with",
			"line 11: 0.0.0.0/0 cannot be banned: it is everybody",
		}},
		{"nft listing", NFT, "table inet t {\n\tset bad {\n\t\ttype ipv4_addr\n\t\tflags interval,timeout\n\t\telements = { 192.0.2.1 timeout 2h expires 59m30s500ms comment \"a, {b}\",\n\t\t\t     192.0.2.8-192.0.2.9 counter packets 3 bytes 9 }\n\t}\n\tchain c { ip saddr { 203.0.113.1, 203.0.113.2 } drop; }\n}\nadd element ip x y { 198.51.100.0/24 timeout -5s }\nadd element ip x z { 192.0.2.5 . 80, 192.0.2.6 : 7 }\n", []string{
			"5 192.0.2.1/32 since -1h0m29.5s for 59m30.5s [nft bad: a, {b}]", "6 192.0.2.8/31 [nft bad: ]",
			`line 10: 198.51.100.0/24: the timeout "-5s" is no duration`,
			"line 11: 192.0.2.5 is only a part of its element, which is more than an address", "line 11: 192.0.2.6 is an element of a map, not an address",
		}},
		{"nft cut off", NFT, "add element ip x y { 192.0.2.1,\n", []string{"1 192.0.2.1/32 [nft y: ]", `line 2: the elements of the set "y" do not end: the text is cut off`}},
		{"nft without elements", NFT, "table ip x { }\n", []string{"it is no nft text with elements of a set"}},
		{"crowdsec", CrowdSec, `[{"created_at": "2026-01-31T11:00:00Z", "decisions": [
			{"duration":"3h59m59.5s","id":1,"origin":"crowdsec","scenario":"crowdsecurity/ssh-bf","scope":"Ip","simulated":false,"type":"ban","value":"192.0.2.1"},
			{"duration":"1h","origin":"cscli","scenario":"x","scope":"Country","type":"ban","value":"XX"},
			{"duration":"1h","origin":"cscli","scenario":"x","scope":"Ip","type":"captcha","value":"192.0.2.2"},
			{"duration":"-5s","origin":"cscli","scenario":"x","scope":"Ip","type":"ban","value":"192.0.2.3"},
			{"duration":"soon","origin":"cscli","scenario":"x","scope":"Ip","type":"ban","value":"192.0.2.4"}]},
			{"duration":"1h","origin":"lists","scenario":"drop","scope":"Range","type":"ban","value":"198.51.100.0/24"},
			{"a": 1}]`, []string{
			"1 192.0.2.1/32 since -1h0m0s for 3h59m59.5s [crowdsec crowdsec: crowdsecurity/ssh-bf]",
			`line 1: left out: the decision on XX is of scope "Country", and only addresses and ranges can be banned`,
			`line 1: left out: the decision on 192.0.2.2 is "captcha", no ban`,
			"line 1: left out: the ban of 192.0.2.3 has ended",
			`line 1: 192.0.2.4: "soon" is no duration`,
			"7 198.51.100.0/24 for 1h0m0s [crowdsec lists: drop]",
			`line 8: it is no alert of CrowdSec's: it has no "decisions"`,
		}},
		{"no decisions", CrowdSec, "null\n", nil},
		{"ipset", IPSet, "create f2b hash:ip family inet hashsize 1024 maxelem 65536 timeout 0 comment\ncreate ports hash:ip,port family inet\ncreate nets hash:net family inet\nadd f2b 192.0.2.1 timeout 600 comment \"ssh # 1\"\nadd f2b 192.0.2.2 timeout 0\nadd nets 198.51.100.0/24\nadd nets 198.51.100.7 nomatch\nadd ports 192.0.2.3,tcp:80\nadd f2b 192.0.2.4 timeout -1\nflush f2b\n", []string{
			"4 192.0.2.1/32 for 10m0s [ipset f2b: ssh # 1]", "5 192.0.2.2/32 endless [ipset f2b: ]", "6 198.51.100.0/24 [ipset nets: ]",
			"line 7: 198.51.100.7 is an exception (nomatch) from a larger prefix, which cannot be imported",
			"line 8: the set ports is of type hash:ip,port, which holds more or other than addresses",
			`line 9: 192.0.2.4: the timeout "-1" is no number of seconds`,
			`line 10: "flush f2b" is no line of ipset save: it begins with create or add`,
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, told(Read(tt.format, strings.NewReader(tt.text), now()))); diff != "" {
				t.Error(diff)
			}
			f, err := Detect([]byte(tt.text))
			if err != nil || f != tt.format && tt.name != "csv of something else" {
				t.Errorf("detected as %q, %v", f, err)
			}
		})
	}
}

func TestDetectRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"\n <!DOCTYPE html><html>": "HTML", "<rss/>": "HTML", "\x7fELF\x00\x01": "no text",
	} {
		if f, err := Detect([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q, %v", text, f, err)
		}
	}
}

func bans() []ban.Ban {
	at := func(d time.Duration) time.Time { return now().Add(d) }
	return []ban.Ban{
		{Target: netip.MustParsePrefix("192.0.2.1/32"), Since: at(-time.Hour), Until: at(time.Hour), By: "portscan", Why: `11 "ports", \ and more`, Origin: ban.Local},
		{Target: netip.MustParsePrefix("198.51.100.0/24"), Since: at(-time.Minute), Until: at(90 * time.Minute), By: "manual", Why: "", Origin: ban.Manual},
		{Target: netip.MustParsePrefix("198.51.100.128/25"), Until: at(3 * time.Hour), By: "manual", Why: "inside", Origin: ban.Manual},
		{Target: netip.MustParsePrefix("2001:db8::/64"), Since: at(-time.Second), Until: at(time.Second), By: "a b", Why: "x\ny", Origin: ban.Local},
	}
}

func written(t *testing.T, f Format) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(f, &b, slices.Values(bans()), now()); err != nil {
		t.Fatal(err)
	}
	if got, err := Detect(b.Bytes()); err != nil || got != f {
		t.Errorf("what is written as %s looks like %s, %v", f, got, err)
	}
	return b.String()
}

// Our own formats keep all of a ban.
func TestRoundTrip(t *testing.T) {
	for _, f := range []Format{JSON, CSV} {
		var got []ban.Ban
		for e, err := range Read(f, strings.NewReader(written(t, f)), now()) {
			if err != nil {
				t.Fatal(f, err)
			}
			got = append(got, ban.Ban{Target: e.Target, Since: e.Since, Until: e.Until, By: e.By, Why: e.Why, Origin: e.Origin})
		}
		if diff := cmp.Diff(bans(), got, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
			t.Errorf("%s: %s", f, diff)
		}
	}
	if got := told(Read(Plain, strings.NewReader(written(t, Plain)), now())); len(got) != len(bans()) {
		t.Errorf("plain: %q", got)
	}
	if got := told(Read(NFT, strings.NewReader(written(t, NFT)), now())); len(got) != len(bans())-1 {
		t.Errorf("nft: %q", got)
	}
}

// nft itself takes what is exported, and what it then prints is read back.
func TestNFTTakesTheExport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bans.nft")
	if err := os.WriteFile(file, []byte(written(t, NFT)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("unshare", "-Urn", "sh", "-c", "nft -f "+file+" && nft list ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	got := told(Read(NFT, bytes.NewReader(out), now()))
	if len(got) != 3 || strings.Contains(strings.Join(got, "\n"), "line ") {
		t.Errorf("%q\n%s", got, out)
	}
}

// database makes one with the schema of fail2ban 1.1.
func database(t testing.TB, schema string, rows ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fail2ban.sqlite3")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range append([]string{schema}, rows...) {
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

const fail2banSchema = `
CREATE TABLE fail2banDb(version INTEGER);
CREATE TABLE jails(name TEXT NOT NULL UNIQUE, enabled INTEGER NOT NULL DEFAULT 1);
CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, bancount INTEGER NOT NULL default 1, data JSON, FOREIGN KEY(jail) REFERENCES jails(name));
CREATE TABLE bips(ip TEXT NOT NULL, jail TEXT NOT NULL, timeofban INTEGER NOT NULL, bantime INTEGER NOT NULL, bancount INTEGER NOT NULL default 1, data JSON, PRIMARY KEY(ip, jail), FOREIGN KEY(jail) REFERENCES jails(name));
INSERT INTO fail2banDb VALUES (4);
INSERT INTO jails(name) VALUES ('sshd');`

func TestFail2ban(t *testing.T) {
	at := now().Unix()
	row := func(ip string, begin, length int64) string {
		return fmt.Sprintf("INSERT INTO bips(ip, jail, timeofban, bantime, data) VALUES ('%s', 'sshd', %d, %d, '{\"matches\": [], \"failures\": 5}')", ip, begin, length)
	}
	path := database(t, fail2banSchema,
		row("192.0.2.1", at-600, 3600), row("192.0.2.2", at-500, -1), row("192.0.2.3", at-400, 10),
		row("192.0.2.4", at-300, -7), row("nonsense", at-200, 3600), row("2001:db8::1", at-100, 3600))
	want := []string{
		"1 192.0.2.1/32 since -10m0s for 50m0s [fail2ban sshd: banned by fail2ban]",
		"2 192.0.2.2/32 since -8m20s endless [fail2ban sshd: banned by fail2ban]",
		"line 3: left out: the ban of 192.0.2.3 has ended",
		"line 4: 192.0.2.4: -7 seconds are no time to ban for",
		`line 5: "nonsense" is no IP address, prefix or range`,
		"6 2001:db8::1/128 since -1m40s for 58m20s [fail2ban sshd: banned by fail2ban]",
	}
	if diff := cmp.Diff(want, told(ReadFail2ban(t.Context(), path, now()))); diff != "" {
		t.Error(diff)
	}
	old := database(t, "CREATE TABLE bans(jail TEXT NOT NULL, ip TEXT, timeofban INTEGER NOT NULL, data JSON)",
		fmt.Sprintf("INSERT INTO bans VALUES ('sshd', '192.0.2.1', %d, ''), ('sshd', '192.0.2.1', %d, '')", at-100, at-50))
	if diff := cmp.Diff([]string{"1 192.0.2.1/32 since -50s [fail2ban sshd: banned by fail2ban]"}, told(ReadFail2ban(t.Context(), old, now()))); diff != "" {
		t.Error(diff)
	}
}

func TestFail2banRefuses(t *testing.T) {
	other := database(t, "CREATE TABLE users(name TEXT)")
	whole, err := os.ReadFile(database(t, fail2banSchema))
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut")
	if err := os.WriteFile(cut, whole[:len(whole)/2+100], 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		other: "it has no table bips or bans", cut: "malformed", filepath.Join(t.TempDir(), "none"): "unable to open",
	} {
		got := told(ReadFail2ban(context.Background(), path, now()))
		if len(got) != 1 || !strings.Contains(got[0], want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		`{"apiVersion": "moonlatch/v1", "bans": [{"target": "192.0.2.1"}]}`, "target,until\n192.0.2.1,2026-01-31T13:00:00Z\n",
		"192.0.2.1 # x\n10.0.0.1-10.0.0.9\n", "table inet t { set s { elements = { 192.0.2.1 timeout 1h comment \"x\" } } }",
		`[{"decisions": [{"duration": "1h", "scope": "Ip", "type": "ban", "value": "192.0.2.1"}]}]`,
		"create s hash:ip timeout 0\nadd s 192.0.2.1 timeout 5 comment \"x\"\n",
	} {
		for i := range Formats() {
			f.Add(uint8(i), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, text []byte) {
		Detect(text)
		all := Formats()
		for e, err := range Read(all[int(format)%len(all)], bytes.NewReader(text), now()) {
			switch {
			case err != nil:
			case ban.CheckTarget(e.Target) != nil || e.Line < 1 || e.Line > bytes.Count(text, []byte("\n"))+2:
				t.Errorf("%+v", e)
			case !e.Until.IsZero() && (!e.Until.After(now()) || e.Until.Sub(now()) > ban.MaxTime || e.Until.Before(e.Since)):
				t.Errorf("%+v", e)
			}
		}
	})
}

// Whatever a row of a database holds, only what can be banned comes of it.
func FuzzFail2ban(f *testing.F) {
	f.Add("192.0.2.1", "sshd", int64(1769860000), int64(360000))
	f.Add("2001:db8::1", "", int64(0), int64(-1))
	f.Add("0.0.0.0/0", "x", int64(1<<62), int64(1<<62))
	f.Fuzz(func(t *testing.T, ip, jail string, begin, length int64) {
		yield := func(e Entry, err error) bool {
			if err == nil && (ban.CheckTarget(e.Target) != nil || !e.Endless && (!e.Until.After(now()) || e.Until.Sub(now()) > ban.MaxTime)) {
				t.Errorf("%+v", e)
			}
			return true
		}
		o := &output{yield: yield, now: now()}
		o.fail2ban(Entry{Line: 1, By: jail}, ip, sql.NullInt64{Int64: begin, Valid: true}, sql.NullInt64{Int64: length, Valid: true})
	})
}
