package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/netns"
)

// marker is the environment variable that every process of a host has.
const marker = "MOONLATCH_FAULTS_HOST="

// patience is how long a command may take before somebody kills it.
const patience = 6 * time.Second

// program is the moonlatch command on one host, with files of its own.
type program struct {
	path   string
	name   string // of the host, in the marker
	folder string
	host   *netns.Namespace
	clock  time.Duration // how far the next processes' clocks are ahead

	wrapping sync.Mutex // held while the wrapper is told how nft works
	daemon   *exec.Cmd
	ended    chan struct{} // closed when the daemon has ended
}

func newProgram(cfg config, name, folder string) (*program, error) {
	p := &program{path: cfg.moonlatch, name: name, folder: folder}
	return p, p.wrap(nftWorks, 0, 0)
}

// How nft works or fails. The wrapper in the host's PATH reads it at each start.
const (
	nftWorks   = "works"
	nftFails   = "fails"      // before it does anything
	nftHangs   = "hangs"      // so does this one
	nftSlow    = "is slow"    // and then works
	nftDies    = "dies late"  // when the kernel has taken everything
	nftStays   = "stays on"   // when the kernel has taken everything, it does not end
	nftKilled  = "is killed"  // at some instant
	nftStopped = "is stopped" // at some instant, for some time
)

// wrapper is the nft of the host. Its processes keep the environment, and it notes that it was used.
// What it leaves in the background does not hold the lock, which is file 3.
const wrapper = `#!/bin/sh
IFS=, read -r how after lasts < %[1]q
[ "$how" = works ] || echo >> %[1]q.used
case $how in
fails) echo "Error: a fault, on purpose" >&2; exit 1 ;;
hangs) exec sleep 1000 ;;
"is slow") sleep 0.4 ;;
"dies late") %[2]q "$@"; kill -9 $$ ;;
"stays on") %[2]q "$@"; exec sleep 1000 ;;
"is killed") (sleep $after; kill -9 $$) 3>&- & ;;
"is stopped") (sleep $after; kill -STOP $$; sleep $lasts; kill -CONT $$) 3>&- & ;;
esac
exec %[2]q "$@"
`

func (p *program) bin() string { return filepath.Join(p.folder, "bin") }

// wrap says how nft works from now on: in one of the ways, with the instant and the time that it is about.
func (p *program) wrap(how string, after, lasts time.Duration) error {
	p.wrapping.Lock()
	defer p.wrapping.Unlock()
	mode := filepath.Join(p.bin(), "how")
	if _, err := os.Stat(p.bin()); err != nil {
		nft, err := lookPath("nft")
		if err != nil {
			return err
		}
		err = errors.Join(os.Mkdir(p.bin(), 0o700), os.WriteFile(filepath.Join(p.bin(), "nft"), fmt.Appendf(nil, wrapper, mode, nft), 0o700))
		if err != nil {
			return err
		}
	}
	// By rename: a process that starts meanwhile must not read half of it.
	line := fmt.Sprintf("%s,%.4f,%.4f\n", how, after.Seconds(), lasts.Seconds())
	if err := os.WriteFile(mode+".new", []byte(line), 0o600); err != nil {
		return err
	}
	return os.Rename(mode+".new", mode)
}

// unwrap has nft work again, and reports whether it was used since wrap.
func (p *program) unwrap() (used bool, err error) {
	if err := p.wrap(nftWorks, 0, 0); err != nil {
		return false, err
	}
	err = os.Remove(filepath.Join(p.bin(), "how.used"))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return true, err
}

// lookPath finds a command of the system administrator's.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return exec.LookPath(filepath.Join("/usr/sbin", name))
	}
	return path, nil
}

func (p *program) environ() []string {
	return append(os.Environ(), marker+p.name, "PATH="+p.bin()+":"+os.Getenv("PATH"), "NOTIFY_SOCKET=", "SSH_CONNECTION=")
}

func (*program) arguments(arg ...string) []string {
	return append([]string{"--state", "state", "--socket", "control.sock"}, arg...)
}

func (p *program) command(ctx context.Context, arg ...string) *exec.Cmd {
	argv := append([]string{p.path}, p.arguments(arg...)...)
	if p.clock != 0 {
		s := strconv.Itoa(int(p.clock.Seconds()))
		argv = append([]string{"unshare", "--time", "--boottime", s, "--monotonic", s, "--"}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = p.folder, p.environ()
	return cmd
}

// result is how a command ended.
type result struct {
	args   []string
	code   int // -1 if it was killed
	out    []byte
	err    string
	began  time.Time
	ended  time.Time
	failed error // to start at all
}

func (r result) ok() bool { return r.code == 0 && r.failed == nil }

func (r result) String() string {
	s := "moonlatch " + strings.Join(r.args, " ") + ": "
	switch {
	case r.failed != nil:
		return s + r.failed.Error()
	case r.code < 0:
		return s + "killed"
	case r.code == 0:
		return s + "ok"
	}
	return fmt.Sprintf("%sexit code %d: %s", s, r.code, strings.TrimSpace(r.err))
}

// generous is how long a command may take where nothing is broken, on a machine however busy.
const generous = 30 * time.Second

// run runs a command to its end, where nothing should be in its way.
func (p *program) run(ctx context.Context, arg ...string) result {
	return p.runWithin(ctx, generous, arg...)
}

// runWithin runs a command to its end, which comes after that time at the latest.
func (p *program) runWithin(ctx context.Context, limit time.Duration, arg ...string) result {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.wait(p.command(ctx, arg...), arg, p.toEnd)
}

// toEnd starts a command and waits for its end.
func (p *program) toEnd(cmd *exec.Cmd) error {
	if err := p.host.Start(cmd); err != nil {
		return err
	}
	cmd.Wait() // the exit code tells
	return nil
}

// runGated is run, with the command's system calls of the given kinds waiting for pass, and
// all of them together for no longer than within.
func (p *program) runGated(ctx context.Context, within time.Duration, calls []uint32, pass func(call), arg ...string) result {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return p.wait(p.command(ctx, arg...), arg, func(cmd *exec.Cmd) error { return p.gated(cmd, calls, pass) })
}

// wait has a command run. What it prints goes to files: a process that it leaves behind may
// hold on to them.
func (p *program) wait(cmd *exec.Cmd, arg []string, run func(*exec.Cmd) error) result {
	r := result{args: arg, began: time.Now(), code: -1}
	out, err := os.CreateTemp(p.folder, "out")
	if err == nil {
		defer os.Remove(out.Name())
		defer out.Close()
		var errs *os.File
		if errs, err = os.CreateTemp(p.folder, "err"); err == nil {
			defer os.Remove(errs.Name())
			defer errs.Close()
			cmd.Stdout, cmd.Stderr = out, errs
			if err = run(cmd); err == nil {
				r.code = cmd.ProcessState.ExitCode()
				r.out, _ = os.ReadFile(out.Name())
				complaint, _ := os.ReadFile(errs.Name())
				r.err = string(complaint)
			}
		}
	}
	r.ended, r.failed = time.Now(), err
	return r
}

// start starts the daemon and waits until it answers.
func (p *program) start(ctx context.Context) error {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p.daemon = p.command(ctx, "run", "--metrics", "")
	p.daemon.Stdout, p.daemon.Stderr = log, log
	if err := p.host.Start(p.daemon); err != nil {
		p.daemon = nil
		return err
	}
	ended, daemon := make(chan struct{}), p.daemon
	p.ended = ended
	go func() {
		daemon.Wait()
		close(ended)
	}()
	return p.ready(ctx)
}

func (p *program) log() string { return filepath.Join(p.folder, "daemon.log") }

// tail is the end of what the daemon has logged.
func (p *program) tail() string {
	b, _ := os.ReadFile(p.log())
	const most = 3000
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

func (p *program) ready(ctx context.Context) error {
	for deadline := time.Now().Add(patience); ; {
		c, err := control.Dial(ctx, filepath.Join(p.folder, "control.sock"))
		if err == nil {
			asking, cancel := context.WithTimeout(ctx, time.Second)
			_, err = c.Status(asking)
			cancel()
			if err == nil {
				return nil
			}
		}
		if !p.alive() {
			return fmt.Errorf("the daemon ended: %s", p.daemon.ProcessState)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the daemon does not answer: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// alive reports whether the daemon that was started has not ended.
func (p *program) alive() bool {
	if p.daemon == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop ends the daemon with a signal and waits for its end.
func (p *program) stop(sig syscall.Signal) error {
	if !p.alive() {
		return nil
	}
	for _, q := range p.processes() {
		if q.daemon {
			syscall.Kill(q.pid, sig)
		}
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("the daemon ignores %s", sig)
	}
}

// endAll kills everything of the host until nothing is left.
func (p *program) endAll() {
	for range 200 {
		all := p.processes()
		if len(all) == 0 {
			return
		}
		for _, q := range all {
			syscall.Kill(q.pid, syscall.SIGKILL)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
