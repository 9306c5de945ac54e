package netnstest_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	case "kill":
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		self.Kill()
		select {}
	}
}

func TestKernelRefusesTheMachinesNamespace(t *testing.T) {
	netnstest.Kernel(t)
	id, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	// The marker of a process that is still in the namespace which the marker names: somebody set it by hand.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestTestsAreRootInAPrivateNamespace$", "-test.v")
	cmd.Env = append(environ(), "MOONLATCH_TEST_OUTSIDE_NETNS="+strings.Trim(id, "net:[]"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "--- PASS") {
		t.Errorf("the tests did not move to a private namespace:\n%s", out)
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
