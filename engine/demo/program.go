package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"moonlatch/engine/control"
)

const (
	commandTimeout = 15 * time.Second
	metricsAddr    = "127.0.0.1:9713"
	socketFile     = "control.sock" // relative to the folder: the path of a socket must be short
	daemonLog      = "daemon.log"
)

// program is Moonlatch's command line, used as a person would, in a folder that
// holds the policies and all its state.
type program struct {
	folder string
	daemon *exec.Cmd
	ended  chan struct{} // closed when the daemon is no more
}

// cmd prepares a command of this same program.
func (p *program) cmd(ctx context.Context, arg ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "/proc/self/exe", append(arg, "--state", "state", "--socket", socketFile)...)
	c.Dir = p.folder
	c.Env = append(os.Environ(), "NOTIFY_SOCKET=") // whoever waits for a service does not wait for this daemon
	return c
}

// run runs a command and returns what it prints.
func (p *program) run(ctx context.Context, arg ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	out, err := p.cmd(ctx, arg...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("moonlatch %s: %w", strings.Join(arg, " "), err)
	}
	return string(out), nil
}

// ask runs a command and decodes the JSON document that it prints.
func (p *program) ask(ctx context.Context, answer any, arg ...string) error {
	out, err := p.run(ctx, append(arg, "--output", "json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), answer); err != nil {
		return fmt.Errorf("moonlatch %s: %w", strings.Join(arg, " "), err)
	}
	return nil
}

// start starts the daemon and waits until it answers. The calling goroutine must
// stay on its thread: the kernel ends the daemon when that thread ends.
func (p *program) start(ctx context.Context) error {
	log, err := os.Create(filepath.Join(p.folder, daemonLog))
	if err != nil {
		return err
	}
	defer log.Close()
	p.daemon = p.cmd(ctx, "run", "--metrics", metricsAddr)
	p.daemon.Stdout, p.daemon.Stderr = log, log
	p.daemon.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.daemon.Start(); err != nil {
		return fmt.Errorf("moonlatch run: %w", err)
	}
	p.ended = make(chan struct{})
	go func() {
		p.daemon.Wait()
		close(p.ended)
	}()
	if err := p.ready(ctx); err != nil {
		p.kill()
		return err
	}
	return nil
}

func (p *program) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	for {
		_, err := control.Dial(ctx, filepath.Join(p.folder, socketFile))
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("moonlatch run: %w: %w", ctx.Err(), err)
		case <-p.ended:
			return fmt.Errorf("moonlatch run: %s", p.daemon.ProcessState)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// log is the end of what the daemon has written.
func (p *program) log() string {
	b, _ := os.ReadFile(filepath.Join(p.folder, daemonLog))
	const most = 2000
	return string(bytes.TrimSpace(b[max(0, len(b)-most):]))
}

// kill kills the started daemon with SIGKILL, waits until it is no more and
// returns its pid.
func (p *program) kill() int {
	p.daemon.Process.Kill()
	<-p.ended
	return p.daemon.Process.Pid
}
