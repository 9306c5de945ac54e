package netns_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"moonlatch/engine/netns"
	"moonlatch/engine/netns/netnstest"
)

func TestMain(m *testing.M) { netnstest.Main(m) }

func TestAvailable(t *testing.T) {
	netnstest.Kernel(t)
	if err := netns.Available(); err != nil {
		t.Error(err)
	}
}

func TestAvailableSaysWhichSwitchForbids(t *testing.T) {
	netnstest.Kernel(t)
	// A limit belongs to the user namespace it is set in, so a private one may forbid itself everything.
	cmd := netns.Command(context.Background(), "/proc/self/exe", "-test.run=^TestAvailableWithoutUserNamespaces$", "-test.v")
	cmd.Env = append(os.Environ(), "FORBID_USER_NAMESPACES=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !strings.Contains(string(out), "checked without user namespaces") {
		t.Errorf("nothing was checked:\n%s", out)
	}
}

// TestAvailableWithoutUserNamespaces checks something only in the process that the test above starts.
func TestAvailableWithoutUserNamespaces(t *testing.T) {
	if os.Getenv("FORBID_USER_NAMESPACES") == "" {
		return
	}
	write := func(key string) {
		t.Helper()
		if err := os.WriteFile("/proc/sys/user/"+key, []byte("0"), 0); err != nil {
			t.Fatal(err)
		}
	}
	write("max_user_namespaces")
	if err := netns.Available(); err != nil {
		t.Errorf("root needs no user namespace: %v", err)
	}
	if out, err := netns.Command(t.Context(), "true").CombinedOutput(); err != nil {
		t.Errorf("root needs no user namespace: %v %s", err, out)
	}
	write("max_net_namespaces")
	err := netns.Available()
	if err == nil || !strings.Contains(err.Error(), "user.max_user_namespaces is 0") {
		t.Errorf("got error %v, want one that names user.max_user_namespaces", err)
	}
	t.Log("checked without user namespaces")
}

func TestCommandIsRootInAnotherNamespace(t *testing.T) {
	netnstest.Kernel(t)
	out, err := netns.Command(t.Context(), "sh", "-c", "id -u; id -g; readlink /proc/self/ns/net /proc/self/ns/user /proc/self/ns/mnt").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	got := strings.Fields(string(out))
	if len(got) != 5 || got[0] != "0" || got[1] != "0" {
		t.Fatalf("got %q, want uid 0, gid 0 and three namespaces", got)
	}
	for i, kind := range []string{"net", "user", "mnt"} {
		here, err := os.Readlink("/proc/self/ns/" + kind)
		if err != nil {
			t.Fatal(err)
		}
		if got[2+i] == here {
			t.Errorf("the command runs in this process's %s namespace", kind)
		}
	}
}

func TestRulesetOfTheParentIsNotVisible(t *testing.T) {
	n := netnstest.New(t)
	nft := func(cmd *exec.Cmd, run func(*exec.Cmd) error) string {
		t.Helper()
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := run(cmd); err != nil {
			t.Fatalf("%v: %v: %s", cmd.Args, err, out.String())
		}
		return out.String()
	}
	inside := func(cmd *exec.Cmd) error { return n.Do(cmd.Run) }
	nft(exec.Command("nft", "add table inet of_the_child"), inside)
	if got := nft(exec.Command("nft", "list ruleset"), inside); !strings.Contains(got, "of_the_child") {
		t.Errorf("the namespace lost its own table: %q", got)
	}
	if got := nft(exec.Command("nft", "list ruleset"), (*exec.Cmd).Run); strings.Contains(got, "of_the_child") {
		t.Errorf("a table of the namespace shows outside: %q", got)
	}
	nft(exec.Command("nft", "add table inet of_the_parent"), (*exec.Cmd).Run)
	t.Cleanup(func() { exec.Command("nft", "delete table inet of_the_parent").Run() })
	if got := nft(netns.Command(t.Context(), "nft", "list ruleset"), (*exec.Cmd).Run); got != "" {
		t.Errorf("a private namespace starts with rules: %q", got)
	}
}

func TestDo(t *testing.T) {
	n := netnstest.New(t)
	want, err := n.ID()
	if err != nil {
		t.Fatal(err)
	}
	home := threadNamespace(t)
	if home == want {
		t.Fatal("New returned the namespace of the process")
	}
	fnErr := errors.New("what fn returns")
	err = n.Do(func() error {
		if got := threadNamespace(t); got != want {
			t.Errorf("fn runs in namespace %d, want %d", got, want)
		}
		return fnErr
	})
	if err != fnErr {
		t.Errorf("Do returned %v, want %v", err, fnErr)
	}
}

func TestDoLeavesNoThreadInTheWrongNamespace(t *testing.T) {
	n := netnstest.New(t)
	home := threadNamespace(t)
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range 20 {
				err := n.Do(func() error {
					runtime.Gosched()
					if got := namespaceOf(t, "/proc/self"); got != home {
						t.Errorf("the process as a whole shows namespace %d, want %d", got, home)
					}
					return nil
				})
				if err != nil {
					t.Error(err)
				}
				if got := threadNamespace(t); got != home {
					t.Errorf("a goroutine runs in namespace %d, want %d", got, home)
				}
			}
		})
	}
	wg.Wait()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	there, err := n.ID()
	if err != nil {
		t.Fatal(err)
	}
	// A thread that could not be moved back is ending, not lost, so give it time.
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		var lost []string
		for _, task := range tasks {
			if ns := namespaceOf(t, "/proc/self/task/"+task.Name()); ns == there {
				lost = append(lost, task.Name())
			}
		}
		if len(lost) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("threads %v stayed in the other namespace", lost)
		}
	}
}

func TestDoEndsTheCallersGoroutineWithFns(t *testing.T) {
	n := netnstest.New(t)
	returned, done := false, make(chan struct{})
	go func() {
		defer close(done)
		n.Do(func() error { runtime.Goexit(); return nil })
		returned = true
	}()
	<-done
	if returned {
		t.Error("Do returned although fn ended its goroutine")
	}
}

func TestStartInside(t *testing.T) {
	n := netnstest.New(t)
	cmd := exec.Command("cat", "/proc/net/dev")
	var out strings.Builder
	cmd.Stdout = &out
	if err := netns.Veth(n, "left", n, "right"); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, link := range []string{"lo:", "left:", "right:"} {
		if !strings.Contains(out.String(), link) {
			t.Errorf("the process does not see %s in\n%s", link, out.String())
		}
	}
}

func TestSysctlIsPerNamespace(t *testing.T) {
	n, other := netnstest.New(t), netnstest.New(t)
	read := func(n *netns.Namespace) (value string) {
		must(t, n.Do(func() error {
			b, err := os.ReadFile("/proc/sys/net/ipv4/ip_default_ttl")
			value = strings.TrimSpace(string(b))
			return err
		}))
		return value
	}
	must(t, n.Sysctl("net/ipv4/ip_default_ttl", "77"))
	if got := read(n); got != "77" {
		t.Errorf("the sysctl reads %s, want 77", got)
	}
	if got := read(other); got == "77" {
		t.Error("the sysctl changed in another namespace")
	}
}

func TestErrorsNameWhatFailed(t *testing.T) {
	n := netnstest.New(t)
	for want, err := range map[string]error{
		"set link nosuch up":        n.Up("nosuch"),
		"192.0.2.1":                 n.AddAddr("lo", "192.0.2.1"),
		"192.0.2.1/24 to nosuch":    n.AddAddr("nosuch", "192.0.2.1/24"),
		"10.0.0.0/8 via 192.0.2.99": n.AddRoute("10.0.0.0/8", "192.0.2.99"),
		"net/ipv4/nosuch":           n.Sysctl("net/ipv4/nosuch", "1"),
		"pair lo, x":                netns.Veth(n, "lo", n, "x"),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got error %v, want one that names %q", err, want)
		}
	}
}

func threadNamespace(t *testing.T) uint64 {
	t.Helper()
	n, err := netns.Current()
	if err != nil {
		t.Error(err)
		return 0
	}
	defer n.Close()
	id, err := n.ID()
	if err != nil {
		t.Error(err)
	}
	return id
}

// namespaceOf returns the namespace of a task, 0 if the task has ended.
func namespaceOf(t *testing.T, task string) uint64 {
	t.Helper()
	link, err := os.Readlink(task + "/ns/net")
	if err != nil {
		return 0
	}
	var id uint64
	for _, r := range link {
		if r >= '0' && r <= '9' {
			id = 10*id + uint64(r-'0')
		}
	}
	return id
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
