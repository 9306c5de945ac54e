package session

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"

	"moonlatch/engine/boottime"
)

// applied is when the ruleset was put in force, in the chains below.
var applied = boottime.Instant{Boot: "this", Since: 1000 * time.Second}

// Chains of processes as they were seen, from the one that asks upwards: pid,
// name, parent, session, start in hundredths of a second.
const (
	listener = "900 sshd 1 900 5000\n1 systemd 0 1 20\n"

	opensshUser = "3 moonlatch 2 2 130000\n2 bash 11 2 120010\n11 sshd 10 10 120005\n10 sshd 900 10 120000\n" + listener
	opensshRoot = "3 moonlatch 2 2 130000\n2 bash 10 2 120010\n10 sshd 900 10 120000\n" + listener
	openssh10   = "3 moonlatch 2 2 130000\n2 bash 11 2 120010\n11 sshd-session 10 10 120005\n10 sshd-session 900 10 120000\n" + listener
	socketUnit  = "3 moonlatch 2 2 130000\n2 bash 11 2 120010\n11 sshd 10 10 120005\n10 sshd 1 10 120000\n1 systemd 0 1 20\n"
	dropbear    = "3 moonlatch 2 2 130000\n2 sh 10 2 120010\n10 dropbear 900 10 120000\n900 dropbear 1 900 5000\n1 init 0 1 20\n"
	odd         = "3 moonlatch 2 2 130000\n2 a) 0 0 (x 10 2 120010\n10 sshd 900 10 120000\n" + listener

	sudoPTY = "6 moonlatch 5 5 130010\n5 sudo 4 5 130005\n4 sudo 3 3 130000\n3 bash 11 3 80010\n11 sshd 10 10 80005\n10 sshd 900 10 80000\n" + listener
	shared  = "3 moonlatch 2 2 130000\n2 bash 11 2 129990\n11 sshd 10 10 80005\n10 sshd 900 10 80000\n" + listener
	slow    = "3 moonlatch 2 2 130000\n2 bash 11 2 120010\n11 sshd 10 10 120005\n10 sshd 900 10 99999\n" + listener

	tmux      = "3 moonlatch 2 2 130000\n2 bash 1001 2 120010\n1001 tmux: server 1 1001 120000\n1 systemd 0 1 20\n"
	setsid    = "3 moonlatch 1 3 130000\n1 systemd 0 1 20\n"
	console   = "3 moonlatch 2 2 130000\n2 bash 10 2 120010\n10 login 1 10 5000\n1 systemd 0 1 20\n"
	container = "3 moonlatch 2 2 130000\n2 bash 0 2 120010\n"
	pid1      = "1 moonlatch 0 1 130000\n"
	debugging = "3 moonlatch 2 2 130000\n2 bash 10 2 120010\n10 sshd 9 9 120000\n9 bash 1 9 20\n1 systemd 0 1 20\n"
	hidden    = "3 moonlatch 2 2 130000\n2 bash 10 2 120010\n"
	noLeader  = "3 moonlatch 2 2 130000\n2 bash 10 2 120010\n10 sshd 1 0 120000\n1 systemd 0 1 20\n"
	circle    = "3 moonlatch 2 2 130000\n2 bash 3 2 120010\n"
)

// TestAges judges what was seen of real hosts.
func TestAges(t *testing.T) {
	for name, tt := range map[string]struct {
		chain string
		want  Age
		why   string
	}{
		"OpenSSH, a user":                      {opensshUser, New, ""},
		"OpenSSH, root":                        {opensshRoot, New, ""},
		"OpenSSH 10":                           {openssh10, New, ""},
		"OpenSSH started by a socket unit":     {socketUnit, New, ""},
		"dropbear":                             {dropbear, New, ""},
		"a shell with an odd name":             {odd, New, ""},
		"sudo makes a session of its own":      {sudoPTY, Old, ""},
		"a new shell over a shared connection": {shared, Old, ""},
		"connected before, logged in after":    {slow, Old, ""},
		"tmux":                                 {tmux, Unknown, `"tmux: server" (pid 1001)`},
		"setsid":                               {setsid, Unknown, `"moonlatch" (pid 3)`},
		"the console":                          {console, Unknown, `"login" (pid 10)`},
		"docker exec":                          {container, Unknown, "outside of this container"},
		"a container's only process":           {pid1, Unknown, `"moonlatch" (pid 1)`},
		"sshd -d":                              {debugging, Unknown, `shares a session with "bash"`},
		"/proc mounted with hidepid":           {hidden, Unknown, "process 10 cannot be seen"},
		"a session of another pid namespace":   {noLeader, Unknown, "process 0 cannot be seen"},
		"processes that come and go":           {circle, Unknown, "no end"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := of(proc(t, tt.chain), "this", int(tt.chain[0]-'0'))
			if got := s.Compared(applied); got != tt.want {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
			if (err == nil) != (tt.why == "") || err != nil && !strings.Contains(err.Error(), tt.why) {
				t.Errorf("why: %v; want %q", err, tt.why)
			}
		})
	}
	if _, err := of(proc(t, opensshUser), "this", 0); err == nil {
		t.Error("a peer of another pid namespace has a session")
	}
}

// proc is procDir as what reads it.
func proc(t *testing.T, chain string) procfs.FS {
	t.Helper()
	fs, err := procfs.NewFS(procDir(t, chain))
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// procDir makes a directory that looks like /proc with the processes of a chain.
func procDir(t *testing.T, chain string) string {
	dir := t.TempDir()
	for line := range strings.Lines(chain) {
		f := strings.Fields(line)
		comm := strings.Join(f[1:len(f)-3], " ")
		ppid, sid, start := f[len(f)-3], f[len(f)-2], f[len(f)-1]
		text := fmt.Sprintf("%s (%s) S %s 1 %s%s %s%s\n", f[0], comm, ppid, sid, strings.Repeat(" 0", 15), start, strings.Repeat(" 0", 30))
		if err := os.Mkdir(filepath.Join(dir, f[0]), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, f[0], "stat"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestCompared keeps boots apart, and believes no record that is not there.
func TestCompared(t *testing.T) {
	s := Session{Start: boottime.Instant{Boot: "this", Since: time.Hour}}
	for _, tt := range []struct {
		with boottime.Instant
		want Age
	}{
		{boottime.Instant{Boot: "this", Since: time.Hour}, New},
		{boottime.Instant{Boot: "this", Since: time.Hour + 1}, Old},
		{boottime.Instant{Boot: "other", Since: time.Minute}, Unknown},
		{boottime.Instant{}, Unknown},
	} {
		if got := s.Compared(tt.with); got != tt.want {
			t.Errorf("compared with %v: %q, want %q", tt.with, got, tt.want)
		}
	}
	if got := (Session{}).Compared(boottime.Instant{}); got != Unknown {
		t.Errorf("nothing compared with nothing: %q", got)
	}
}

// TestStartTimes compares the start of a process with the clock around it.
func TestStartTimes(t *testing.T) {
	before, err := boottime.Now()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess("/bin/sleep", []string{"sleep", "60"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Wait()
	defer p.Kill()
	after, err := boottime.Now()
	if err != nil {
		t.Fatal(err)
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		t.Fatal(err)
	}
	st, err := stat(proc, p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Duration(st.Starttime) * tick
	if start < before.Since-tick || start > after.Since {
		t.Errorf("sleep (pid %d) started at %s, not between %s and %s", p.Pid, start, before.Since, after.Since)
	}
}
