package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// notifier makes a stage whose timer runs a text, and what it tells is kept.
func notifier(t *testing.T, text string) (*stage, *[]Notice) {
	t.Helper()
	s := newStage(t, "local ops = fw.target 'ops'\nfw.every('1m', function() "+text+" end)")
	told := &[]Notice{}
	s.env.Notify = func(n Notice) error {
		if n.To != "ops" {
			return UnknownTarget(n.To, []string{"ops"})
		}
		*told = append(*told, n)
		return nil
	}
	return s, told
}

func TestNotify(t *testing.T) {
	long := strings.Repeat("é", 3000)
	for text, want := range map[string]Notice{
		`fw.notify("ops", "two words")`:                             {Title: "two words"},
		`fw.notify(ops, "first\nsecond\27[2J")`:                     {Title: "first", Text: "first\nsecond?[2J"},
		`fw.notify(ops, { title = "a\nb", text = "c\nd\n" })`:       {Title: "a?b", Text: "c\nd\n"},
		`fw.notify(ops, { title = 5, z = true, a = 1.5, b = "x" })`: {Title: "5", Fields: []NoticeField{{"a", "1.5"}, {"b", "x"}, {"z", "true"}}},
		`local s = string.rep("é", 3000); fw.notify("ops", { title = s, text = s, field = s })`: {
			Title: long[:200], Text: long[:4096], Fields: []NoticeField{{"field", long[:200]}}},
		`fw.notify("ops", string.rep("x", 5000))`: {Title: strings.Repeat("x", 200), Text: strings.Repeat("x", 4096)},
	} {
		want.To, want.By = "ops", "policy.lua:6"
		s, told := notifier(t, text)
		if err := s.tick(t); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if diff := cmp.Diff([]Notice{want}, *told); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
}

func TestNotifyMistakes(t *testing.T) {
	for text, want := range map[string]string{
		`fw.notify()`:                                 `fw.notify("target", { title = "…", text = "…" }) is expected, not nothing`,
		`fw.notify("ops")`:                            "is expected, not nothing",
		`fw.notify("ops", 5)`:                         "is expected, not the number 5",
		`fw.notify("ops", {})`:                        "it has no title",
		`fw.notify("ops", { tilte = "x" })`:           `it has no title: is "tilte" meant?`,
		`fw.notify("ops", { title = {} })`:            `"title": a text, a number, true or false is expected, not a table`,
		`fw.notify("ops", { title = "x", "y" })`:      "its fields have names, and the number 1 is none",
		`fw.notify("ops", { title = "x", ["a b"]=1})`: `field name "a b" must start with a letter`,
		`fw.notify("ops", "x", 1)`:                    "argument 3 is one too many",
		`local t = { title = "x" }; for i = 1, 21 do t["f" .. i] = i end fw.notify("ops", t)`: "beside title and text it may have 20 fields",
	} {
		s, told := notifier(t, text)
		if err := s.tick(t); err == nil || !strings.Contains(err.Error(), want) || len(*told) > 0 {
			t.Errorf("%s: %v, %v, want %q", text, err, *told, want)
		}
	}
	s, told := notifier(t, `local t = { title = "x" }; for i = 1, 20 do t["f" .. i] = i end assert(fw.notify("ops", t))`)
	if err := s.tick(t); err != nil || len((*told)[0].Fields) != 20 {
		t.Errorf("20 fields: %v", err)
	}
}

// A policy that is driven by packets tells so many, and then is told why not, until time has passed.
func TestNotifyIsBounded(t *testing.T) {
	s, told := notifier(t, `for i = 1, 200 do local ok, why = fw.notify("ops", "x"); if not ok then log(why) end end`)
	now := time.Unix(1e9, 0)
	s.env.Now = func() time.Time { return now }
	if err := s.tick(t); err != nil || len(*told) != 50 || s.HeldNotices() != 150 {
		t.Errorf("%v, %d told, %d held", err, len(*told), s.HeldNotices())
	}
	lines := s.messages()
	said, answered := 0, 0
	for _, line := range lines {
		if strings.HasPrefix(line, "a notification is not sent") {
			said++
		} else if line == "too many notifications: a policy may send 10 a second" {
			answered++
		}
	}
	if said != 1 || answered != 150 {
		t.Errorf("said %d times, answered %d times: %v", said, answered, lines[:2])
	}
	now = now.Add(time.Second)
	if err := s.tick(t); err != nil || len(*told) != 60 {
		t.Errorf("a second later: %v, %d told, want 60", err, len(*told))
	}
}

// A name that is unknown, which a packet may have brought, is answered, and logged once as far as there are not too many.
func TestNotifyUnknown(t *testing.T) {
	s, _ := notifier(t, `for i = 1, 2 do local ok, why = fw.notify("osp", "x"); log(tostring(ok) .. " " .. why) end`)
	if err := s.tick(t); err != nil {
		t.Error(err)
	}
	want := []string{"a notification is not sent; this is said once", `false no target of notifications is called`, `false no target of notifications is called`}
	got := s.messages()
	if len(got) != 3 || got[0][:20] != want[0][:20] || !strings.Contains(got[1], want[1]) || !strings.Contains(got[2], want[2]) {
		t.Errorf("%q", got)
	}
	n := 0
	s, _ = notifier(t, `for i = 1, 40 do fw.notify("t" .. i, "x") end`)
	if err := s.tick(t); err != nil {
		t.Error(err)
	}
	if n = len(s.messages()); n != 32 {
		t.Errorf("%d lines of the log, want 32", n)
	}
	s.env.Notify = nil
	if err := s.send(Notice{}); !errors.Is(err, errNobodyTold) {
		t.Errorf("without anybody: %v", err)
	}
}

// What a policy declares is compared with what there is.
func TestUnknownTargets(t *testing.T) {
	s := newStage(t, "local a = fw.target 'ops'\nlocal b = fw.target 'phnoe'")
	if err := s.UnknownTargets([]string{"ops", "phone"}); fmt.Sprint(err) != `policy.lua:6: no target of notifications is called "phnoe" (did you mean "phone"?): there are ops, phone` {
		t.Error(err)
	}
	if err := s.UnknownTargets([]string{"ops", "phnoe"}); err != nil {
		t.Error(err)
	}
	if err := s.UnknownTargets(nil); err == nil || !strings.Contains(err.Error(), "moonlatch run --notify FILE names some") {
		t.Error(err)
	}
}

// What the source gives to fw.notify as a text is compared too, by whatever name it calls it, and nothing else.
func TestNotifiedInSource(t *testing.T) {
	s := newStage(t, `local tell = fw.notify
local other = { notify = function() end }
fw.every("1h", function() fw.notify("osp", "x"); tell("phnoe", "x"); other.notify("nobody", "x"); fw.notify("t" .. 1, "x") end)
local late = function() fw.notify("ops", { title = "x" }) end`)
	var got []string
	for _, target := range s.Targets() {
		got = append(got, fmt.Sprintf("%s: %s", target.Pos, target.Name))
	}
	if want := []string{"policy.lua:7: osp", "policy.lua:7: phnoe", "policy.lua:8: ops"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// A console that only reads tells nobody.
func TestNotifyInConsole(t *testing.T) {
	s, told := notifier(t, "")
	if _, err := s.eval(`fw.notify("ops", "x")`, false); err == nil || !strings.Contains(err.Error(), "start it with --write") || len(*told) > 0 {
		t.Errorf("read only: %v, %v", err, *told)
	}
	if out, err := s.eval(`fw.notify("ops", "x")`, true); err != nil || out != "true" || (*told)[0].By != "console:1" {
		t.Errorf("%s, %v, %v", out, err, *told)
	}
}
