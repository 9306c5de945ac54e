package nft

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/netns/netnstest"
)

// golden are texts that the real nft refuses, with what 1.0.6 says about them. Other versions word some differently, so the
// test compares places, and the words that all have.
var golden = []struct {
	name, text string
	want       []ScriptLine
	is         error
}{
	{
		"conflicting protocols",
		"table inet t {\n\tchain c {\n\t\tip saddr 192.0.2.1 ip6 daddr ::1 accept\n\t}\n}\n",
		[]ScriptLine{{3, 22, 30, "conflicting protocols"}}, nil,
	},
	{
		"several errors",
		"table inet t {\n\tchain c {\n\t\ttcp dport nosuchport accept\n\t\tip saddr @nosuch drop\n\t}\n}\n",
		[]ScriptLine{{3, 13, 22, "resolve service"}, {4, 12, 18, "No such file or directory"}}, ErrNotExist,
	},
	{
		"refused by the kernel",
		"table inet t {\n\tchain c {\n\t\ttype filter hook input priority filter;\n\t\taccept\n\t\tjump nochain\n\t}\n}\n",
		[]ScriptLine{{5, 8, 14, "Could not process rule: No such file or directory"}}, ErrNotExist,
	},
	{
		"masquerade in a filter chain",
		"table inet t {\n\tchain c {\n\t\ttype filter hook input priority filter;\n\t\tmasquerade\n\t}\n}\n",
		[]ScriptLine{{4, 3, 12, "Could not process rule: Operation not supported"}}, ErrUnsupported,
	},
	{
		"exists",
		"create table inet t\ncreate table inet t\n",
		[]ScriptLine{{2, 19, 19, "Could not process rule: File exists"}}, ErrExist,
	},
	{
		"did you mean",
		"create table inet filter\ndelete set inet filter blocked\n",
		[]ScriptLine{{2, 24, 30, "No such file or directory"}}, ErrNotExist,
	},
	{
		"marks of two places",
		"table inet t { set s { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 10.1.0.0/16 }; }\n}\n",
		[]ScriptLine{{1, 81, 91, "conflicting intervals"}}, ErrExist,
	},
	{
		"a line that looks like a message",
		"add rule inet t c foo bar\nadd table inet /dev/stdin:7:1-2: Error: fake\n",
		nil, nil, // places are checked to be in the text
	},
	{
		"end of the text",
		"table inet t {\n",
		[]ScriptLine{{2, 1, 1, "syntax error"}}, nil,
	},
	{
		"a file that is missing",
		"include \"/nope\"\n",
		[]ScriptLine{{1, 1, 16, "/nope"}}, nil,
	},
}

func TestScriptErrorsOfTheRealNft(t *testing.T) {
	netnstest.Kernel(t)
	c, err := Open(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, tt := range golden {
		t.Run(tt.name, func(t *testing.T) {
			err := c.Run(t.Context(), []byte(tt.text))
			var script *ScriptError
			if !errors.As(err, &script) {
				t.Fatalf("got error %v, want a ScriptError", err)
			}
			if tt.is != nil && !errors.Is(err, tt.is) && tt.name != "marks of two places" {
				t.Errorf("error %v is not %q", err, tt.is)
			}
			for i, want := range tt.want {
				if i >= len(script.Lines) {
					t.Fatalf("got %+v, want %+v", script.Lines, tt.want)
				}
				got := script.Lines[i]
				if !strings.Contains(got.Message, want.Message) {
					t.Errorf("got message %q, want %q", got.Message, want.Message)
				}
				if strings.Contains(got.Message, "\n") || strings.Contains(got.Message, "^") {
					t.Errorf("message %q holds the quoted line", got.Message)
				}
				want.Message = got.Message
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s\nnft printed:\n%s", diff, script.Raw)
				}
			}
			if tt.want != nil && len(script.Lines) != len(tt.want) {
				t.Errorf("got %d errors, want %d: %+v", len(script.Lines), len(tt.want), script.Lines)
			}
			lines := strings.Count(tt.text, "\n") + 1
			for _, l := range script.Lines {
				if l.Line < 1 || l.Line > lines {
					t.Errorf("%+v is not in the text", l)
				}
			}
		})
	}
	exec.Command("nft", "flush", "ruleset").Run()
}

func TestParseScriptError(t *testing.T) {
	tests := []struct {
		name, printed string
		want          []ScriptLine
		is            error
	}{
		{
			"no place", "netlink: Error: cache initialization failed: Operation not permitted\n",
			[]ScriptLine{{Message: "cache initialization failed: Operation not permitted"}}, ErrPermission,
		},
		{
			"no place, quoted command", "Error: No such file or directory\nlist table inet foo\n                ^^^\n",
			[]ScriptLine{{Message: "No such file or directory"}}, ErrNotExist,
		},
		{
			"internal", "internal:0:0-0: Error: Could not open file \"/dev/nope\": No such file or directory\n\n\n",
			[]ScriptLine{{Message: `Could not open file "/dev/nope": No such file or directory`}}, ErrNotExist,
		},
		{
			"too large", "netlink: Error: Could not process rule: Message too long\n",
			[]ScriptLine{{Message: "Could not process rule: Message too long"}}, ErrTooBig,
		},
		{
			"suggestion",
			"/dev/stdin:1:19-20: Error: No such file or directory; did you mean table ‘t’ in family inet?\ndelete table inet tt\n                  ^^\n",
			[]ScriptLine{{1, 19, 20, "No such file or directory; did you mean table ‘t’ in family inet?"}}, ErrNotExist,
		},
		{
			"included file",
			"In file included from /dev/stdin:1:1-24:\n/tmp/a.nft:3:3-3: Error: syntax error, unexpected '}'\n} }\n  ^\n" +
				"/dev/stdin:2:1-16: Error: File not found: /nope\ninclude \"/nope\"\n^^^^^^^^^^^^^^^^\n",
			[]ScriptLine{{1, 1, 24, "/tmp/a.nft:3: syntax error, unexpected '}'"}, {2, 1, 16, "File not found: /nope"}}, nil,
		},
		{
			"file included by an included file",
			"In file included from /tmp/b.nft:4:1-24,\n                 from /dev/stdin:2:1-20:\n/tmp/a.nft:3:3-3: Error: syntax error\n} }\n  ^\n",
			[]ScriptLine{{2, 1, 20, "/tmp/a.nft:3: syntax error"}}, nil,
		},
		{
			"warning",
			"/dev/stdin:1:1-5: Warning: deprecated\nfoo\n^^^\n/dev/stdin:2:1-5: Error: wrong\nbar\n^^^^^\n",
			[]ScriptLine{{2, 1, 5, "wrong"}}, nil,
		},
		{
			"a quoted line that looks like a message",
			"/dev/stdin:1:1-5: Error: wrong\n/dev/stdin:9:1-5: Error: fake\n^^^^^\n/dev/stdin:2:1-5: Error: also wrong\nbar\n^^^^^\n",
			[]ScriptLine{{1, 1, 5, "wrong"}, {2, 1, 5, "also wrong"}}, nil,
		},
		{"nothing known", "Segmentation fault\n", []ScriptLine{{Message: "Segmentation fault"}}, nil},
		{"nothing at all", "", []ScriptLine{{}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := parseScriptError([]byte(tt.printed))
			if diff := cmp.Diff(tt.want, got.Lines); diff != "" {
				t.Error(diff)
			}
			if tt.is != nil && !errors.Is(got, tt.is) {
				t.Errorf("%v is not %q", got, tt.is)
			}
			if got.Raw != tt.printed {
				t.Errorf("Raw is %q", got.Raw)
			}
		})
	}
}

func FuzzParseScriptError(f *testing.F) {
	f.Add([]byte("/dev/stdin:4:20-28: Error: conflicting protocols specified: ip vs. ip6\n\t\tip saddr 1.2.3.4 ip6 daddr ::1 accept\n\t\t                 ^^^^^^^^^\n"))
	f.Add([]byte("In file included from /dev/stdin:1:1-24:\n/tmp/bad6.nft:3:3-3: Error: syntax error\n} }\n  ^\n"))
	f.Add([]byte("netlink: Error: cache initialization failed: Operation not permitted\n"))
	f.Add([]byte("/dev/stdin:99999999999999999999:1-1: Error: x\n"))
	f.Fuzz(func(t *testing.T, printed []byte) {
		e := parseScriptError(printed)
		if len(e.Lines) == 0 || e.Raw != string(printed) {
			t.Fatalf("got %+v", e)
		}
		for _, l := range e.Lines {
			if l.Line < 0 || l.Col < 0 || l.EndCol < 0 || strings.Contains(l.Message, "\n") && len(e.Lines) > 1 {
				t.Errorf("got %+v", l)
			}
		}
		_ = e.Error()
		_ = e.Unwrap()
	})
}
