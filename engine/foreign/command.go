package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// commandTimeout bounds one run of a program, even for a caller that sets no bound: a million ipset elements take some ten seconds.
const commandTimeout = time.Minute

// look finds a program. Services and sudo may have a PATH without the system administrator's folders.
func look(names ...string) (string, bool) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, true
		}
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, true
			}
		}
	}
	return "", false
}

// commandError is a program that failed.
type commandError struct {
	name   string
	code   int // -1 if a signal ended it
	stderr string
	err    error
}

func (e *commandError) Error() string {
	if e.stderr == "" {
		return fmt.Sprintf("%s: %v", e.name, e.err)
	}
	return fmt.Sprintf("%s: %s", e.name, e.stderr)
}

func (e *commandError) Unwrap() error { return e.err }

// run runs a program on text and returns what it prints. The program has the whole text or is not started: it reads from memory,
// not from a pipe that ends early when this process is killed. Signals of a terminal do not reach it.
func run(ctx context.Context, text string, env []string, path string, arg ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	in, err := memory(text)
	if err != nil {
		return "", err
	}
	defer in.Close()
	cmd := exec.CommandContext(ctx, path, arg...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	cmd.Env = append(append(os.Environ(), "LC_ALL=C"), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		code := -1
		if cmd.ProcessState != nil {
			code = cmd.ProcessState.ExitCode()
		}
		return "", &commandError{filepath.Base(path), code, string(bytes.TrimSpace(errs.Bytes())), err}
	}
	return out.String(), nil
}

// memory makes an anonymous file that holds text and is read from its beginning.
func memory(text string) (*os.File, error) {
	fd, err := unix.MemfdCreate("moonlatch", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a file in memory: %w", err)
	}
	f := os.NewFile(uintptr(fd), "moonlatch")
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
