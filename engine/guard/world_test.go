package guard

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"moonlatch/engine/netns/netnstest"
)

// beWatchdog makes the test binary a watchdog, as the command's hidden
// subcommand is one: its value is the state directory.
const beWatchdog = "GUARD_TEST_BE_WATCHDOG"

func TestMain(m *testing.M) {
	if state := os.Getenv(beWatchdog); state != "" {
		w := At(state, "guard")
		err := errors.New("usage")
		switch os.Args[1] {
		case "keep":
			err = w.Keep(deed, "standby")
		case "standby":
			err = w.Standby(deed, "standby")
		}
		if err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Set("test.parallel", "8") // most of these tests wait; the command line may say otherwise
	netnstest.Main(m)
}

// deed appends a line to the file that the payload names. It fails while there is
// a file beside that is called fail, and hangs for as long as one is called hang.
func deed(dir string) (Try, error) {
	path, err := os.ReadFile(filepath.Join(dir, "deed"))
	return func(ctx context.Context) (string, error) {
		folder := filepath.Dir(string(path))
		for there(folder, "hang") {
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			time.Sleep(10 * time.Millisecond)
		}
		if there(folder, "fail") {
			return "", errors.New("told to fail")
		}
		f, err := os.OpenFile(string(path), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return "", err
		}
		defer f.Close()
		_, err = f.WriteString("done\n")
		return "wrote", err
	}, err
}

func there(folder, name string) bool {
	_, err := os.Stat(filepath.Join(folder, name))
	return err == nil
}

// generous is for things that take milliseconds on an idle machine.
const generous = time.Minute

// ample is a time in which a busy machine does what has to come before its end.
const ample = 6 * time.Second

// world is a state directory and what watchdogs did.
type world struct {
	t     *testing.T
	state string
	deed  string
	*Watch
}

func newWorld(t *testing.T) *world {
	t.Parallel()
	dir := t.TempDir()
	w := &world{t: t, state: filepath.Join(dir, "state"), deed: filepath.Join(dir, "deeds")}
	w.Watch = At(w.state, "guard")
	t.Cleanup(func() { w.kill(syscall.SIGKILL, w.pids()...) })
	return w
}

// save is the payload of every order here.
func (w *world) save(dir string) error {
	return os.WriteFile(filepath.Join(dir, "deed"), []byte(w.deed), 0o600)
}

// arm arms the watch and starts its watchdog.
func (w *world) arm(in time.Duration) Order {
	w.t.Helper()
	o, err := w.Arm(Order{What: "a test", Time: in}, w.save)
	must(w.t, err)
	w.start()
	return o
}

// start starts the watchdog as another process would, which then is gone.
func (w *world) start() {
	w.t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestStarter$")
	cmd.Env = append(os.Environ(), starter+"="+w.state)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
}

const starter = "GUARD_TEST_STARTER"

// TestStarter is the other half of start.
func TestStarter(t *testing.T) {
	state := os.Getenv(starter)
	if state == "" {
		return // this is not that process
	}
	os.Setenv(beWatchdog, state)
	must(t, At(state, "guard").Start(t.Context(), "keep"))
}

// deeds counts how often watchdogs did what was ordered.
func (w *world) deeds() int {
	b, err := os.ReadFile(w.deed)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// pids are the watchdog processes of this state directory, the standby last.
func (w *world) pids() (out []int) {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		env, _ := os.ReadFile(dir + "/environ")
		line, _ := os.ReadFile(dir + "/cmdline")
		role := strings.Split(string(line), "\x00")
		if !bytes.Contains(env, []byte(beWatchdog+"="+w.state+"\x00")) || len(role) < 2 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if role[1] == "keep" {
			out = append([]int{pid}, out...)
		} else if role[1] == "standby" {
			out = append(out, pid)
		}
	}
	return out
}

func (w *world) kill(s syscall.Signal, pids ...int) {
	if s == syscall.SIGKILL { // of several, none may see another die: it would start one more
		for _, pid := range pids {
			syscall.Kill(pid, syscall.SIGSTOP)
		}
	}
	for _, pid := range pids {
		syscall.Kill(pid, s)
	}
}

// until waits for something that must become true.
func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(generous); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(w.path("log"))
			w.t.Fatalf("still waiting: %s\nlog:\n%s", what, log)
		}
	}
}

// await waits for an order's result.
func (w *world) await(o Order) Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), generous)
	defer cancel()
	r, err := w.Await(ctx, o)
	must(w.t, err)
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(b []byte, s string) bool { return bytes.Contains(b, []byte(s)) }

func itoa(n int) string { return strconv.Itoa(n) }
