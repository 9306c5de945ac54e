// Package demo shows what Moonlatch promises on a server, an attacker and an
// administrator in private network namespaces, measures it, and says whether it
// held. It needs no root and touches nothing of the machine.
package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"moonlatch/engine/control"
	"moonlatch/engine/netns"
)

// limit bounds the whole demo, which takes some ten seconds.
const limit = time.Minute

// reportFile is where the process in the namespace leaves its Report.
const reportFile = "report.json"

// Run runs this program again in a private namespace, with the arguments inside
// and the name of a folder behind them, such that it calls Inside. What that
// shows goes to out and, where something goes wrong, to errOut. Where private
// namespaces cannot be made, the error is a *control.Error with the code
// NotPermitted. That a promise did not hold is no error.
func Run(ctx context.Context, out, errOut io.Writer, inside ...string) (Report, error) {
	if err := netns.Available(); err != nil {
		return Report{}, &control.Error{Code: control.NotPermitted, Message: fmt.Sprintf("the demo runs in private namespaces: %v", err)}
	}
	folder, err := os.MkdirTemp("", "moonlatch-demo-")
	if err != nil {
		return Report{}, fmt.Errorf("demo: make a folder for temporary files (set TMPDIR to where you may): %w", err)
	}
	defer os.RemoveAll(folder)
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("this machine is too busy: it took longer than %s", limit))
	defer cancel()

	cmd := netns.Command(ctx, "/proc/self/exe", append(inside, folder)...)
	cmd.Stdout, cmd.Stderr = out, errOut
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // so that it can end what it started
	cmd.WaitDelay = 5 * time.Second
	// The demo must not outlive this process. The kernel watches the thread that started it, so keep it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return Report{}, fmt.Errorf("demo: %w", err)
	}
	r, err := readReport(filepath.Join(folder, reportFile))
	if err != nil {
		return Report{}, fmt.Errorf("demo: %w", err)
	}
	if r.Failure != "" {
		return r, fmt.Errorf("demo: %s", r.Failure)
	}
	return r, nil
}

// scannerName says which scanner is installed: nmap's version line, or "".
func scannerName(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "nmap", "--version").Output()
	if err != nil {
		return ""
	}
	fields := strings.Fields(string(out)) // "Nmap version 7.93 ( https://nmap.org )"
	if len(fields) < 3 {
		return "nmap"
	}
	return "nmap " + fields[2]
}
