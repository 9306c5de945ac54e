package demo

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"moonlatch/engine/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

// good is a report of which every promise holds.
func good() Report {
	return Report{
		Scan:    Scan{Probes: 1000, Through: 40, BanMS: 0.5, Why: "11 ports in 2ms", WebBlocked: true, StillBanned: true},
		Client:  Client{OK: 300},
		LockOut: LockOut{NewFailed: true, Stalled: true, Killed: []int{7}, Seconds: 3, LateMS: 2, ClosedMS: -1, OpenCarriesData: true, Previous: true},
	}
}

func TestJudgeHolds(t *testing.T) {
	r := good()
	r.judge()
	if !r.Held {
		t.Errorf("broken: %+v", r.Promises)
	}
	r = good()
	r.LockOut.LateMS = 400 // nobody tried for so long
	if r.judge(); !r.Held {
		t.Errorf("a busy machine breaks a promise: %+v", r.Promises)
	}
}

func TestJudgeTellsWhatIsBroken(t *testing.T) {
	const (
		cutOff, blink, everyPort = "a port scan is cut off", "the ban comes in the blink of an eye", "it holds for every port, open ones too"
		others, lockedOut        = "others notice nothing", "a mistake locks the administrator out"
		dead, onTime             = "nothing of Moonlatch need be alive", "the kernel lets them in again, on time"
		goOn, back, neverEnded   = "open connections go on", "the policy confirmed before is back", "and its bans never ended"
	)
	tests := []struct {
		name   string
		spoil  func(r *Report)
		broken []string
	}{
		{"no ban", func(r *Report) { r.Scan.Why = "" }, []string{cutOff, blink}},
		{"slow ban", func(r *Report) { r.Scan.Through = 500 }, []string{cutOff}},
		{"no scan", func(r *Report) { r.Scan.Probes, r.Scan.Through = 0, 0 }, []string{cutOff}},
		{"late ban", func(r *Report) { r.Scan.BanMS = 3000 }, []string{blink}},
		{"leak", func(r *Report) { r.Scan.WebBlocked = false }, []string{everyPort}},
		{"victim", func(r *Report) { r.Client.Failed = 1 }, []string{others}},
		{"no client", func(r *Report) { r.Client.OK = 0 }, []string{others}},
		{"no lock-out", func(r *Report) { r.LockOut.NewFailed = false }, []string{lockedOut}},
		{"half a lock-out", func(r *Report) { r.LockOut.Stalled = false }, []string{lockedOut}},
		{"survivor", func(r *Report) { r.LockOut.Left = []int{8} }, []string{dead}},
		{"nobody killed", func(r *Report) { r.LockOut.Killed = nil }, []string{dead}},
		{"late", func(r *Report) { r.LockOut.ClosedMS, r.LockOut.LateMS = 260, 262 }, []string{onTime}},
		{"dead connection", func(r *Report) { r.LockOut.OpenCarriesData = false }, []string{goOn}},
		{"open", func(r *Report) { r.LockOut.Previous = false }, []string{back}},
		{"amnesty", func(r *Report) { r.Scan.StillBanned = false }, []string{neverEnded}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := good()
			tt.spoil(&r)
			r.judge()
			var broken []string
			for _, p := range r.Promises {
				if !p.Held {
					broken = append(broken, p.Text)
				}
			}
			if diff := cmp.Diff(tt.broken, broken); diff != "" || r.Held {
				t.Errorf("held %v, broken (-want +got):\n%s", r.Held, diff)
			}
		})
	}
}

func TestParseHistogram(t *testing.T) {
	const text = `# TYPE x_seconds histogram
x_seconds_bucket{le="+Inf"} 3
x_seconds_sum 0.0125
x_seconds_count 3
x_seconds_count_of_something_else 9
`
	h, err := parseHistogram(strings.NewReader(text), "x_seconds")
	if err != nil || h != (histogram{0.0125, 3}) {
		t.Errorf("got %+v, %v", h, err)
	}
	for _, bad := range []string{"", "x_seconds_sum 1\n", "x_seconds_sum 1\nx_seconds_count many\n"} {
		if h, err := parseHistogram(strings.NewReader(bad), "x_seconds"); err == nil {
			t.Errorf("%q gives %+v", bad, h)
		}
	}
}

// closeWay drops what comes to the server for a while, by a kernel timeout.
func closeWay(t *testing.T, d time.Duration) {
	t.Helper()
	cmd := exec.Command("nft", "-f", "-")
	cmd.Stdin = strings.NewReader(`table inet way {
	set closed { typeof meta nfproto; flags timeout; elements = { ipv4 timeout ` + d.String() + ` } }
	chain input { type filter hook input priority 0; meta nfproto @closed drop; }
}`)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { exec.Command("nft", "delete", "table", "inet", "way").Run() })
}

// unplug removes cables of this process's namespace.
func unplug(t *testing.T, links ...string) {
	t.Helper()
	for _, name := range links {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkDel(l)
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAwaitOpening(t *testing.T) {
	netnstest.Kernel(t)
	s, err := build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	defer unplug(t, "attacker", "admin") // the kernel would take its time, and the next test needs the names
	ssh := netip.MustParseAddrPort(net.JoinHostPort(serverToAdmin, sshPort))
	const closed = 2 * time.Second
	earliest := time.Now().Add(closed)
	closeWay(t, closed)
	latest := time.Now().Add(closed)
	if reaches(s.admin, serverToAdmin, sshPort) && time.Now().Before(earliest) {
		t.Fatal("the way is not closed")
	}
	o, err := awaitOpening(t.Context(), s.admin, ssh)
	if err != nil {
		t.Fatal(err)
	}
	const tick = 10 * time.Millisecond // the kernel's, at HZ=100
	if o.Closed.After(latest.Add(blinkMS*time.Millisecond)) || o.Open.Before(earliest.Add(-tick)) || !o.Closed.Before(o.Open) {
		t.Errorf("closed at %s, open at %s, want it to open between %s and %s", o.Closed, o.Open, earliest, latest)
	}
	if !reaches(s.admin, serverToAdmin, sshPort) {
		t.Error("the way is closed again")
	}

	closeWay(t, time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if o, err := awaitOpening(ctx, s.admin, ssh); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a closed way opened: %+v, %v", o, err)
	}
}

func TestOthers(t *testing.T) {
	netnstest.Kernel(t)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(exe, "-test.run=^TestOthersChild$")
	child.Env = append(os.Environ(), "MOONLATCH_TEST_OTHER=1")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	alive, err := others()
	if err != nil || len(alive) != 1 || alive[0] != child.Process.Pid {
		t.Errorf("got %v, %v, want %d", alive, err, child.Process.Pid)
	}
	in.Close()
	child.Wait()
	if left, err := others(); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v, want nobody", left, err)
	}
}

// TestOthersChild waits for the end of its input, in the process that TestOthers starts.
func TestOthersChild(t *testing.T) {
	if os.Getenv("MOONLATCH_TEST_OTHER") != "" {
		os.Stdin.Read(make([]byte, 1))
	}
}

func TestScreenIsPlainOffTheTerminal(t *testing.T) {
	var out bytes.Buffer
	s := newScreen(&out)
	s.title("1  title")
	s.command("first\nsecond\n", "check", "web.lua")
	s.promises([]Promise{{"one", "1 ms", true}, {"other", "2 ms", false}})
	start := time.Now()
	s.pause(t.Context(), time.Minute)
	if time.Since(start) > 50*time.Second {
		t.Error("nobody is there to read, and yet it pauses")
	}
	text := out.String()
	if strings.Contains(text, "\x1b") {
		t.Errorf("escape codes in %q", text)
	}
	for _, want := range []string{"── 1  title ─", "$ moonlatch check web.lua\n     first\n     second\n", "1 ms", "held\n", "BROKEN\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	newScreen(nil).line("nowhere")
}
