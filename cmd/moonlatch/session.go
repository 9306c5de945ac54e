package main

import (
	"os"
	"strings"

	"github.com/prometheus/procfs"
)

// session lists the address that the user's own connection comes from, so that
// it is never banned. sshd tells it in SSH_CONNECTION; sudo drops that from the
// environment, so the environments of the parents are asked too.
func session() []string {
	if addr := sshClient(os.Environ()); addr != "" {
		return []string{addr}
	}
	for pid := os.Getppid(); pid > 1; {
		p, err := procfs.NewProc(pid)
		if err != nil {
			return nil
		}
		env, envErr := p.Environ()
		stat, statErr := p.Stat()
		if envErr != nil || statErr != nil {
			return nil
		}
		if addr := sshClient(env); addr != "" {
			return []string{addr}
		}
		pid = stat.PPID
	}
	return nil
}

// sshClient is the client's address in the SSH_CONNECTION of an environment.
func sshClient(env []string) string {
	for _, v := range env {
		value, ok := strings.CutPrefix(v, "SSH_CONNECTION=")
		if f := strings.Fields(value); ok && len(f) == 4 {
			addr, _, _ := strings.Cut(f[0], "%") // a link-local address comes with its zone
			return addr
		}
	}
	return ""
}
