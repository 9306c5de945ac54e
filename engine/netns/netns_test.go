package netns_test

import (
	"context"
	"errors"
	"net"
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

func TestVethCarriesPackets(t *testing.T) {
	for _, tt := range []struct{ name, a, b, network string }{
		{"IPv4", "192.0.2.1/24", "192.0.2.2/24", "udp4"},
		{"IPv6", "2001:db8::1/64", "2001:db8::2/64", "udp6"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := netnstest.New(t), netnstest.New(t)
			must(t, netns.Veth(a, "eth0", b, "eth0"))
			must(t, a.AddAddr("eth0", tt.a))
			must(t, b.AddAddr("eth0", tt.b))
			ip, _, _ := strings.Cut(tt.b, "/")
			echo(t, a, b, tt.network, ip)
		})
	}
}

func TestVethDetectsNoDuplicateAddresses(t *testing.T) {
	n := netnstest.New(t)
	must(t, netns.Veth(n, "left", n, "right"))
	read := func(file string) (content string) {
		must(t, n.Do(func() error {
			b, err := os.ReadFile("/proc/thread-self/net/" + file)
			content = string(b)
			return err
		}))
		return content
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		ready := 0
		for line := range strings.Lines(read("if_inet6")) {
			fields := strings.Fields(line)              // address, index, prefix length, scope, flags, link
			if fields[5] != "lo" && fields[4] == "80" { // linux/if_addr.h: IFA_F_PERMANENT alone, not IFA_F_TENTATIVE
				ready++
			}
		}
		if ready == 2 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the links have no addresses that are ready:\n%s", read("if_inet6"))
		}
	}
	for _, link := range []string{"left", "right"} {
		for line := range strings.Lines(read("dev_snmp6/" + link)) {
			if fields := strings.Fields(line); fields[0] == "Icmp6OutNeighborSolicits" && fields[1] != "0" {
				t.Errorf("%s asked %s times whether somebody has its address", link, fields[1])
			}
		}
	}
}

func TestAddedAddressIsReadyAtOnce(t *testing.T) {
	n := netnstest.New(t)
	must(t, netns.Veth(n, "left", n, "right"))
	must(t, n.Sysctl("net/ipv6/conf/left/accept_dad", "1"))
	must(t, n.AddAddr("left", "2001:db8::1/64"))
	must(t, n.Do(func() error {
		c, err := net.ListenPacket("udp6", "[2001:db8::1]:0") // refused for a tentative address
		if err == nil {
			c.Close()
		}
		return err
	}))
}

func TestNewHasLoopback(t *testing.T) {
	n := netnstest.New(t)
	echo(t, n, n, "udp4", "127.0.0.1")
	echo(t, n, n, "udp6", "::1")
}

func TestRouterForwards(t *testing.T) {
	a, router, b := netnstest.New(t), netnstest.New(t), netnstest.New(t)
	must(t, netns.Veth(a, "eth0", router, "left"))
	must(t, netns.Veth(router, "right", b, "eth0"))
	must(t, a.AddAddr("eth0", "192.0.2.1/24"))
	must(t, router.AddAddr("left", "192.0.2.254/24"))
	must(t, router.AddAddr("right", "198.51.100.254/24"))
	must(t, b.AddAddr("eth0", "198.51.100.1/24"))
	must(t, a.AddRoute("0.0.0.0/0", "192.0.2.254"))
	must(t, b.AddRoute("192.0.2.0/24", "198.51.100.254"))
	must(t, router.Sysctl("net/ipv4/ip_forward", "1"))
	echo(t, a, b, "udp4", "198.51.100.1")
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

// echo sends a datagram from a to ip in b and waits for it to come back.
func echo(t *testing.T, a, b *netns.Namespace, network, ip string) {
	t.Helper()
	var server net.PacketConn
	must(t, b.Do(func() (err error) {
		server, err = net.ListenPacket(network, net.JoinHostPort(ip, "0"))
		return err
	}))
	defer server.Close()
	go func() {
		buf := make([]byte, 64)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			server.WriteTo(buf[:n], from)
		}
	}()
	var client net.Conn
	must(t, a.Do(func() (err error) {
		client, err = net.Dial(network, server.LocalAddr().String())
		return err
	}))
	defer client.Close()
	must(t, client.SetDeadline(time.Now().Add(10*time.Second)))
	if _, err := client.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	n, err := client.Read(buf)
	if err != nil || string(buf[:n]) != "ping" {
		t.Fatalf("got %q, %v, want the datagram back", buf[:n], err)
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
