package nft

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Run has the nft command execute text as one transaction: all of it is in force when Run returns nil, and nothing
// of it if it returns an error, unless nft was killed (below). Text that nft or the kernel refuses gives a *ScriptError.
//
// nft reads the text from memory that no other process can see, never from a pipe: if this process is killed, nft has the
// whole text or was not started. It runs in a session of its own, so that a terminal's signals do not reach it, and
// inherits the files in keep, as numbers 3 and up: a lock held by one of them is held until nft has ended.
//
// When ctx ends, nft is killed and Run returns the cause. Whether the transaction took place is then not known, nor is it
// if somebody else killed nft: compare [Client.GenID], or what is to be seen of it.
func (c *Client) Run(ctx context.Context, text []byte, keep ...*os.File) error {
	_, err := c.nft(ctx, text, keep, "-f", "-")
	return err
}

// Output runs the nft command with arguments, such as "list", "ruleset", and returns what it prints.
// Errors are as those of [Client.Run].
func (c *Client) Output(ctx context.Context, arg ...string) ([]byte, error) {
	return c.nft(ctx, nil, nil, arg...)
}

func (c *Client) nft(ctx context.Context, text []byte, keep []*os.File, arg ...string) ([]byte, error) {
	path, err := lookPath(c.binary)
	if err != nil {
		return nil, err
	}
	in, err := memory("ruleset", text)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	// Output goes to memory, too: with a pipe, nft would get SIGPIPE if this process were killed.
	stdout, err := memory("output", nil)
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	stderr, err := memory("errors", nil)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, path, arg...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, stdout, stderr
	cmd.ExtraFiles = keep
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.atHome(func() error { return c.mine.start(cmd) }); err != nil {
		return nil, fmt.Errorf("run %s: %w", path, err)
	}
	waitErr := cmd.Wait()
	if ctx.Err() != nil && waitErr != nil {
		return nil, fmt.Errorf("run %s: it was killed and may or may not have changed the ruleset: %w", path, context.Cause(ctx))
	}
	printed, err := contents(stderr)
	if err != nil {
		return nil, err
	}
	if waitErr != nil {
		return nil, fmt.Errorf("run %s: %w", path, failure(waitErr, printed))
	}
	return contents(stdout)
}

// failure returns what went wrong in nft, which ended with err.
func failure(err error, printed []byte) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Exited() || len(printed) == 0 {
		return fmt.Errorf("%w: %s", err, printed)
	}
	return parseScriptError(printed)
}

// lookPath finds the nft command. Services and sudo may have a PATH without the system administrator's folders.
func lookPath(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if !filepath.IsAbs(name) {
		for _, dir := range []string{"/usr/sbin", "/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("%w (looked for %s in PATH, /usr/sbin and /sbin: %w)", ErrNoBinary, name, err)
}

// memory makes an anonymous file in memory that holds b and is read from its beginning.
func memory(name string, b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("nft "+name, unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL) // sysctl vm.memfd_noexec may demand it
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate("nft "+name, unix.MFD_CLOEXEC) // before Linux 6.3
	}
	if err != nil {
		return nil, fmt.Errorf("make a file in memory for nft: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	_, err = f.WriteAt(b, 0)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("write the text for nft: %w", err)
	}
	return f, nil
}

// contents reads such a file from its beginning: its offset is where nft stopped writing.
func contents(f *os.File) ([]byte, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read what nft printed: %w", err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, st.Size()))
	if err != nil {
		return nil, fmt.Errorf("read what nft printed: %w", err)
	}
	return b, nil
}
