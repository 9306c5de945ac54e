package session

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/procfs"
)

// TestServed tells who is logged in from who only tries, by processes as they were seen: those of proc, with
// titles, and each with a socket whose number is its pid.
func TestServed(t *testing.T) {
	const listener = "900 sshd 1 900 0\n"
	for name, tt := range map[string]struct {
		processes string
		titles    map[int]string
		want      []int // the processes whose peers are logged in
	}{
		"OpenSSH, a user": {listener + "10 sshd 900 10 0\n11 sshd 10 10 0\n12 bash 11 12 0\n",
			map[int]string{900: "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", 10: "sshd: ann [priv]", 11: "sshd: ann@pts/0"}, []int{10, 11}},
		"OpenSSH, root, without a terminal": {listener + "10 sshd 900 10 0\n", map[int]string{10: "sshd: root@notty"}, []int{10}},
		"OpenSSH 10":                        {listener + "10 sshd-session 900 10 0\n11 sshd-session 10 10 0\n", map[int]string{10: "sshd-session: ann [priv]", 11: "sshd-session: ann@notty"}, []int{10, 11}},
		"before the password":               {listener + "10 sshd 900 10 0\n11 sshd 10 10 0\n", map[int]string{10: "sshd: [accepted]", 11: "sshd: [net]"}, nil},
		"before the password, of a domain":  {listener + "10 sshd 900 10 0\n11 sshd 10 10 0\n", map[int]string{10: "sshd: ann@example.net [priv]", 11: "sshd: ann@example.net [net]"}, nil},
		"a helper runs before the password": {listener + "10 sshd 900 10 0\n11 authorized-keys 10 10 0\n", map[int]string{10: "sshd: unknown [priv]"}, nil},
		"dropbear":                          {"900 dropbear 1 900 0\n10 dropbear 900 10 0\n11 sh 10 11 0\n20 dropbear 900 20 0\n", nil, []int{10}},
		"no login service":                  {"10 nginx 1 10 0\n11 sh 10 10 0\n", map[int]string{10: "nginx: ann@example"}, nil},
		"a program with sshd's name in it":  {"10 notsshd 1 10 0\n", map[int]string{10: "sshd: ann@pts/0"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			root := procDir(t, tt.processes)
			fs, err := procfs.NewFS(root)
			must(t, err)
			peers := map[uint32]netip.Addr{}
			for line := range strings.Lines(tt.processes) {
				var pid int
				fmt.Sscan(line, &pid)
				dir := filepath.Join(root, fmt.Sprint(pid))
				must(t, os.WriteFile(filepath.Join(dir, "cmdline"), []byte(tt.titles[pid]+"\x00\x00"), 0o600))
				must(t, os.Mkdir(filepath.Join(dir, "fd"), 0o700))
				must(t, os.Symlink(fmt.Sprintf("socket:[%d]", pid), filepath.Join(dir, "fd", "3")))
				must(t, os.Symlink("/dev/null", filepath.Join(dir, "fd", "0")))
				if pid != 900 { // which only listens
					peers[uint32(pid)] = addrOf(pid)
				}
			}
			want := map[netip.Addr]bool{}
			for _, pid := range tt.want {
				want[addrOf(pid)] = true
			}
			got := map[netip.Addr]bool{}
			for _, a := range served(fs, peers) {
				got[a] = true
			}
			if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func addrOf(pid int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(pid)}) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLoggedIn reads the files of systemd-logind.
func TestLoggedIn(t *testing.T) {
	file := func(lines string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(lines)} }
	got, err := loggedIn(fstest.MapFS{
		"1":      file("# This is private data. Do not parse.\nUID=1000\nACTIVE=1\nSTATE=active\nREMOTE=1\nREMOTE_HOST=192.0.2.7\nSERVICE=sshd\n"),
		"2":      file("STATE=online\nREMOTE_HOST=2001:db8::7\n"),
		"3":      file("REMOTE_HOST=192.0.2.8\nSTATE=closing\n"),
		"4":      file("STATE=active\nREMOTE=0\n"),
		"5":      file("STATE=active\nREMOTE_HOST=admin.example.net\n"),
		"6":      file("STATE=active\nREMOTE_HOST=::ffff:192.0.2.9\n"),
		"7":      file("\x00\xff"),
		"8.ref":  {Mode: os.ModeNamedPipe},
		"folder": {Mode: os.ModeDir},
	})
	must(t, err)
	if diff := cmp.Diff([]string{"192.0.2.7", "2001:db8::7", "192.0.2.9"}, texts(got)); diff != "" {
		t.Error(diff)
	}
	if got, err := loggedIn(os.DirFS(filepath.Join(t.TempDir(), "none"))); len(got) != 0 || err != nil {
		t.Errorf("without logind: %v, %v", got, err)
	}
}

func texts(addrs []netip.Addr) []string {
	var out []string
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}
