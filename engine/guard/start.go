package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/util"
	"golang.org/x/sys/unix"
)

// startPatience is how long a watchdog may take until it is ready. It has to read
// a snapshot of perhaps many megabytes.
const startPatience = 20 * time.Second

// ready is what a watchdog prints when nothing but the machine's end, or SIGKILL
// to both of its processes, can keep it from doing what was ordered.
const ready = "ready\n"

// Start starts the watchdog of the pending order: this program, with arg as its
// arguments, which must end in Keep. It returns when the watchdog is ready.
//
// The watchdog has a session of its own. Where systemd runs it also leaves the
// caller's cgroup, because the end of a login kills all that is in there.
func (w *Watch) Start(ctx context.Context, arg ...string) error {
	if util.IsRunningSystemd() {
		if err := startScope(ctx, arg); err == nil {
			return nil
		}
		// A system manager that does not answer is no reason to go without a watchdog.
	}
	cmd := exec.Command("/proc/self/exe", arg...) // stays the same program if its file is replaced
	cmd.Args[0] = os.Args[0]
	if err := launch(ctx, cmd); err != nil {
		return fmt.Errorf("start the watchdog: %w", err)
	}
	return nil
}

// startScope starts the watchdog in a scope of its own. That moves the process
// and leaves it in this one's namespaces, where a service would be the machine's.
func startScope(ctx context.Context, arg []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	run := append([]string{"--scope", "--quiet", "--collect", "--description=Moonlatch watchdog",
		"--property=TimeoutStopSec=1s", // it ignores SIGTERM, and must not hold up a shutdown
		"--", self}, arg...)
	return launch(ctx, exec.Command("systemd-run", run...))
}

// launch starts a process, detached from the terminal, and waits until it is ready.
func launch(ctx context.Context, cmd *exec.Cmd) error {
	r, said, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	said.Close()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { r.SetReadDeadline(time.Now()) })
	defer stop()
	if err := hear(r); err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	go cmd.Wait() // whoever starts it may live on, and must not keep a zombie
	return nil
}

// hear reads until a process is ready, or has ended with a complaint.
func hear(r io.Reader) error {
	var said strings.Builder
	buf := make([]byte, 512)
	for {
		n, err := r.Read(buf)
		said.Write(buf[:n])
		if strings.HasSuffix(said.String(), ready) {
			return nil
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("it is not ready after %s; it says: %q", startPatience, said.String())
		}
		if err != nil {
			return fmt.Errorf("it ended; it says: %q", said.String())
		}
	}
}

// overdue is how late a watchdog that lives may be before it is taken for one
// that somebody has stopped.
const overdue = 2 * time.Second

// Ensure starts the watchdog of a pending order where none is alive, and wakes one
// that is stopped past its time. It reports whether the order's time has come, so
// that Await returns soon. Without an order it does nothing.
func (w *Watch) Ensure(ctx context.Context, arg ...string) (o Order, late bool, err error) {
	o, err = w.Pending()
	if errors.Is(err, ErrNone) {
		return o, false, nil
	}
	if err != nil {
		return o, false, err
	}
	left, err := o.Left()
	rebooted := err != nil
	if here, err := netns(); err != nil || (here != o.Netns && !rebooted) {
		return o, false, err // its rules are in another network namespace
	}
	late = !o.Repeat && (rebooted || left <= 0)
	pid, alive, err := w.holder(onDuty)
	switch {
	case err != nil:
		return o, late, err
	case !alive:
		return o, late, w.Start(ctx, arg...)
	case late && left < -overdue && pid > 1:
		unix.Kill(pid, unix.SIGCONT) // does nothing to a process that runs
	}
	return o, late, nil
}
