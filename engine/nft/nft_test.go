package nft_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"moonlatch/engine/netns/netnstest"
	"moonlatch/engine/nft"
)

func TestMain(m *testing.M) {
	if os.Getenv("FORBIDDEN") != "" {
		os.Exit(m.Run())
	}
	netnstest.Main(m)
}

var table = nft.Table{Family: nft.Inet, Name: "t"}

// open returns a client for the private namespace of the tests, with the ruleset loaded, which is gone after the test.
func open(t testing.TB, ruleset string) *nft.Client {
	t.Helper()
	netnstest.Kernel(t)
	c, err := nft.Open(nft.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		command(t, "", "flush", "ruleset")
	})
	command(t, ruleset, "-f", "-")
	return c
}

// command runs the real nft and returns what it prints.
func command(t testing.TB, stdin string, arg ...string) string {
	t.Helper()
	cmd := exec.Command("nft", arg...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("nft %s: %v\n%s", strings.Join(arg, " "), err, out)
	}
	return string(out)
}

// listed returns a set's elements as nft lists them, one a line.
func listed(t testing.TB, set string) []string {
	t.Helper()
	out := command(t, "", "list", "set", "inet", "t", set)
	_, out, ok := strings.Cut(out, "elements = {")
	if !ok {
		return nil
	}
	out, _, _ = strings.Cut(out, "}")
	var elements []string
	for e := range strings.SplitSeq(out, ",") {
		elements = append(elements, strings.Join(strings.Fields(e), " "))
	}
	return elements
}

func prefixes(text ...string) []netip.Prefix {
	out := make([]netip.Prefix, len(text))
	for i, p := range text {
		out[i] = prefix(p)
	}
	return out
}

// prefix parses a prefix or an address.
func prefix(text string) netip.Prefix {
	if strings.Contains(text, "/") {
		return netip.MustParsePrefix(text)
	}
	addr := netip.MustParseAddr(text)
	return netip.PrefixFrom(addr, addr.BitLen())
}

func elements(text ...string) []nft.Element {
	out := make([]nft.Element, len(text))
	for i, p := range text {
		out[i] = nft.Element{Prefix: prefix(p)}
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantErr(t testing.TB, err, target error, text ...string) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Fatalf("got error %v, want one that is %q", err, target)
	}
	for _, s := range text {
		if !strings.Contains(fmt.Sprint(err), s) {
			t.Errorf("got error %q, want it to name %q", err, s)
		}
	}
}

func TestFamilies(t *testing.T) {
	for _, f := range []nft.Family{nft.Inet, nft.IPv4, nft.IPv6, nft.ARP, nft.Bridge, nft.Netdev} {
		if got, err := nft.ParseFamily(f.String()); err != nil || got != f {
			t.Errorf("%s parses as %v, %v", f, got, err)
		}
	}
	if _, err := nft.ParseFamily("inett"); err == nil || !strings.Contains(err.Error(), "want inet") {
		t.Errorf("got error %v, want one that names the families", err)
	}
}

func TestOpenWithoutPermission(t *testing.T) {
	netnstest.Kernel(t)
	// A process in a user namespace of its own has no power over the network namespace around it.
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestOpenForbidden$", "-test.v")
	cmd.Env = append(os.Environ(), "FORBIDDEN=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "refused as it should be") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestOpenForbidden checks something only in the process that the test above starts.
func TestOpenForbidden(t *testing.T) {
	if os.Getenv("FORBIDDEN") == "" {
		return
	}
	_, err := nft.Open(nft.Config{})
	wantErr(t, err, nft.ErrPermission, "open nf_tables", "CAP_NET_ADMIN")
	t.Log("refused as it should be")
}

func TestOpenInAnotherNamespace(t *testing.T) {
	c := open(t, "add table inet t")
	n := netnstest.New(t)
	err := n.Do(func() error {
		err := c.Run(t.Context(), []byte("flush ruleset"))
		if err == nil || !strings.Contains(err.Error(), "another network namespace") {
			t.Errorf("nft ran in the wrong namespace: error %v", err)
		}
		if _, err := c.Monitor(); err == nil {
			t.Error("a monitor opened in the wrong namespace")
		}
		// Sockets keep their namespace.
		tables, err := c.Tables()
		if err != nil || len(tables) != 1 {
			t.Errorf("got tables %v, %v, want the one of the client's namespace", tables, err)
		}
		other, err := nft.Open(nft.Config{})
		if err != nil {
			return err
		}
		defer other.Close()
		if tables, err := other.Tables(); err != nil || len(tables) != 0 {
			t.Errorf("got tables %v, %v, want none in the other namespace", tables, err)
		}
		return other.Run(t.Context(), []byte("add table inet other"))
	})
	must(t, err)
	if got := command(t, "", "list", "tables"); strings.Contains(got, "other") {
		t.Errorf("a client of another namespace changed this one: %s", got)
	}
}
