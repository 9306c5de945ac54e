package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain makes the test binary the program itself where a measurement starts it again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == insideWord {
		main()
		return
	}
	var err error
	if builds, err = os.MkdirTemp("", "bench-test"); err != nil {
		panic(err)
	}
	flag.Set("test.parallel", "8") // most of these tests wait; the command line may say otherwise
	code := m.Run()
	os.RemoveAll(builds)
	os.Exit(code)
}

// The program under test is built once, in a folder of its own.
var (
	builds string
	built  sync.Once
)

// build builds the program under test.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("kernel test (-short)")
	}
	path := filepath.Join(builds, "moonlatch")
	built.Do(func() {
		if out, err := exec.Command("go", "build", "-o", path, "moonlatch/cmd/moonlatch").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEveryRow takes every measurement at small sizes.
func TestEveryRow(t *testing.T) {
	for _, m := range plan() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			measured(t, m.rows, "-only", m.name)
		})
	}
}

// TestSoak loads a daemon for a few seconds. What it may not get wrong, it gets
// right however busy the machine is.
func TestSoak(t *testing.T) {
	t.Parallel()
	got := measured(t, soakRows(), "-soak", "4s")
	for _, id := range []string{"soak.bans", "soak.lifted", "soak.uncounted"} {
		if f := got[id].Finding; f != nil && f.Measured != 0 {
			t.Errorf("%s: %+v", got[id].What, *f)
		}
	}
}

// measured runs the program at small sizes, and checks that exactly these rows come of it.
func measured(t *testing.T, want []row, args ...string) map[string]row {
	t.Helper()
	moonlatch := build(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	var out, errOut bytes.Buffer
	if err := run(t.Context(), append(args, "-quick", "-moonlatch", moonlatch, "-output", file), &out, &errOut); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	got := map[string]row{}
	for _, row := range r.Rows {
		got[row.ID] = row
	}
	for _, want := range want {
		row, ok := got[want.ID]
		switch {
		case !ok || !strings.Contains(out.String(), want.What):
			t.Errorf("row %s (%s) is not there", want.ID, want.What)
		case row.Finding == nil:
			t.Errorf("row %s was not measured: %s", want.ID, row.Missing)
		case want.MaxRatio > 0 && row.Finding.Anchor <= 0:
			t.Errorf("row %s has a ratio as its budget, and no anchor: %+v", want.ID, row.Finding)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d rows, want %d: %v", len(got), len(want), got)
	}
	if t.Failed() {
		t.Logf("%s\n%s", out.String(), errOut.String())
	}
	return got
}

// TestTimeIsOver tells what was not measured, and fails nothing.
func TestTimeIsOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	todo, err := options{}.choose("detector")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, err := measureAll(ctx, options{moonlatch: "/bin/true"}, todo, &out)
	if err != nil {
		t.Fatal(err)
	}
	r.conclude(&out)
	for _, want := range []string{"not measured\n", "the time was over", "0 budgets held, 0 did not, 3 could not be told"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

func TestMistakes(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-only", "nonsense"}, "they are nflog, detector, lua"},
		{[]string{"nonsense"}, "no arguments are expected"},
		{[]string{"-moonlatch", "/nowhere"}, "build it with make build"},
	} {
		err := run(t.Context(), tt.args, &bytes.Buffer{}, &bytes.Buffer{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestJudge(t *testing.T) {
	yes, no := true, false
	tests := []struct {
		name  string
		row   row
		held  *bool
		doubt bool
	}{
		{"no budget", row{Finding: &finding{Measured: 1}}, nil, false},
		{"not measured", row{MaxRatio: 2}, nil, false},
		{"ratio", row{MaxRatio: 2, Finding: &finding{Measured: 3, Anchor: 1.5}}, &yes, false},
		{"ratio missed", row{MaxRatio: 2, Finding: &finding{Measured: 3.1, Anchor: 1.5}}, &no, false},
		{"no anchor", row{MaxRatio: 2, Finding: &finding{Measured: 3}}, &no, false},
		{"most", row{Max: most(5), Finding: &finding{Measured: 5, Anchor: 9}}, &yes, false},
		{"most missed", row{Max: most(5), Finding: &finding{Measured: 6, Anchor: 2}}, &no, false},
		{"none allowed", row{Max: most(0), Finding: &finding{Measured: 1}}, &no, false},
		{"busy machine", row{Max: most(5), Finding: &finding{Measured: 20, Anchor: 3}}, nil, true},
		{"too few", row{MaxRatio: 2, Finding: &finding{Measured: 9, Anchor: 1, Reduced: true}}, nil, true},
		{"too few, no budget", row{Finding: &finding{Measured: 9, Reduced: true}}, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := tt.row
			r.judge()
			if (r.Held == nil) != (tt.held == nil) || r.Held != nil && *r.Held != *tt.held || (r.Doubt != "") != tt.doubt {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestQuantile(t *testing.T) {
	samples := []float64{5, 1, 4, 2, 3}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 0.99: 5, 1: 5} {
		if got := quantile(samples, q); got != want {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}

func TestQuantity(t *testing.T) {
	for want, got := range map[string]string{
		"0.43 ms": quantity(0.4321, milliseconds), "12.3 ms": quantity(12.34, milliseconds), "250000/s": quantity(250_000.4, perSecond),
		"7": quantity(7, count), "98.8%": quantity(98.76, percent),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestFrame checks both checksums the way a receiver does: with them in it, the sum is all ones.
func TestFrame(t *testing.T) {
	w := &wire{}
	w.prepare(make([]byte, 6), make([]byte, 6))
	w.fill(10<<24|7<<8|9, 4711)
	ip, tcp := w.frame[14:34], w.frame[34:]
	if got := checksum(sum(ip)); got != 0 {
		t.Errorf("IPv4 header: %#x", got)
	}
	pseudo := sum(ip[12:20]) + 6 + 20
	if got := checksum(pseudo + sum(tcp)); got != 0 {
		t.Errorf("TCP: %#x", got)
	}
	if port := binary.BigEndian.Uint16(tcp[2:]); port != 4711 {
		t.Errorf("port %d", port)
	}
}

func TestLongestGap(t *testing.T) {
	at := func(ms int) time.Time { return time.Unix(1, int64(ms)*int64(time.Millisecond)) }
	h := &heart{
		sent:    []time.Time{at(0), at(10), at(20), at(30), at(95), at(105)},
		arrived: []arrival{{0, at(0)}, {1, at(10)}, {4, at(95)}, {5, at(105)}}, // the client did nothing from 30 to 95
	}
	if gap, doubt := h.longestGap(); gap != 85*time.Millisecond || doubt != 75*time.Millisecond {
		t.Errorf("gap %s, doubt %s, want 85ms, 75ms", gap, doubt)
	}
}
