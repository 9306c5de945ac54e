package netnstest_test

import (
	"errors"
	"fmt"
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

func TestMain(m *testing.M) { netnstest.Main(m) }

func TestTestsAreRootInAPrivateNamespace(t *testing.T) {
	netnstest.Kernel(t)
	if uid := os.Getuid(); uid != 0 {
		t.Errorf("uid is %d, want 0", uid)
	}
	out, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("a private namespace starts without rules and nft may list them: got %v, %s", err, out)
	}
	links, err := exec.Command("ip", "-brief", "link").CombinedOutput()
	if err != nil || strings.Count(string(links), "\n") != 1 || !strings.Contains(string(links), "UP") {
		t.Errorf("want one link, lo, that is up, got %v\n%s", err, links)
	}
}

func TestExitCodeAndArgumentsPassThrough(t *testing.T) {
	netnstest.Kernel(t)
	profile := filepath.Join(t.TempDir(), "cpu.out")
	tests := []struct {
		name string
		mode string
		args []string
		code int
		want string
	}{
		{"pass", "pass", []string{"-test.cpuprofile=" + profile, "-test.count=2", "-test.v"}, 0, "PASS"},
		{"fail", "fail", nil, 1, "failed on purpose"},
		{"exit", "exit", nil, 42, ""},
		{"killed", "kill", nil, 1, "signal: killed"},
		{"panic", "panic", nil, 2, "panic: on purpose"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", append(tt.args, "-test.run=^TestVictim$")...)
			cmd.Env = append(environ(), "VICTIM="+tt.mode)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("got exit code %d, want %d with %q; output:\n%s", got, tt.code, tt.want, out)
			}
		})
	}
	if st, err := os.Stat(profile); err != nil || st.Size() == 0 {
		t.Errorf("the arguments did not reach the tests: %v, no CPU profile", err)
	}
}

// TestVictim does something only in the processes that the test above starts.
func TestVictim(t *testing.T) {
	switch os.Getenv("VICTIM") {
	case "fail":
		t.Error("failed on purpose")
	case "exit":
		os.Exit(42)
	case "panic":
		panic("on purpose")
	case "namespace":
		id, err := os.Readlink("/proc/self/ns/net")
		t.Log(id, err)
	case "wait":
		if err := os.WriteFile(os.Getenv("PID_FILE"), []byte(strconv.Itoa(os.Getpid())), 0o600); err != nil {
			t.Fatal(err)
		}
		select {}
	case "kill":
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		self.Kill()
		select {}
	}
}

// waiting starts a test that waits, and returns its process id besides that of the process that moved it.
func waiting(t *testing.T) (cmd *exec.Cmd, output *strings.Builder, pid int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pid")
	cmd = exec.Command("/proc/self/exe", "-test.run=^TestVictim$")
	cmd.Env = append(environ(), "VICTIM=wait", "PID_FILE="+file)
	output = new(strings.Builder)
	cmd.Stdout, cmd.Stderr = output, output
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the test starts", func() bool {
		b, err := os.ReadFile(file)
		if err == nil {
			pid, err = strconv.Atoi(string(b))
		}
		return err == nil
	})
	if pid == cmd.Process.Pid {
		t.Fatal("the tests run in the first process")
	}
	return cmd, output, pid
}

func TestTestsDoNotOutliveTheirParent(t *testing.T) {
	netnstest.Kernel(t)
	cmd, _, pid := waiting(t)
	cmd.Process.Kill()
	cmd.Wait()
	eventually(t, "the test ends", func() bool { return !running(pid) })
}

func TestSignalsPassThrough(t *testing.T) {
	netnstest.Kernel(t)
	cmd, output, pid := waiting(t)
	cmd.Process.Signal(syscall.SIGQUIT) // as go test does after its timeout
	cmd.Wait()
	if !strings.Contains(output.String(), "netnstest_test.TestVictim(") {
		t.Errorf("no stacks of the tests in the output:\n%s", output.String())
	}
	eventually(t, "the test ends", func() bool { return !running(pid) })
}

// running tells whether a process exists that is no zombie.
func running(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited 10 seconds until %s", what)
		}
	}
}

func TestTheMarkerAloneProvesNothing(t *testing.T) {
	netnstest.Kernel(t)
	id, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	// The marker of a process that is still in the namespace which the marker names: somebody set it by hand.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestVictim$", "-test.v")
	cmd.Env = append(environ(), "MOONLATCH_TEST_OUTSIDE_NETNS="+strings.Trim(id, "net:[]"), "VICTIM=namespace")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), id) || !strings.Contains(string(out), "net:[") {
		t.Errorf("the tests did not move to a private namespace, they run in %s:\n%s", id, out)
	}
}

// environ is the environment of a process that has not been moved to a private namespace yet.
func environ() []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "MOONLATCH_TEST_OUTSIDE_NETNS=") {
			env = append(env, v)
		}
	}
	return env
}
