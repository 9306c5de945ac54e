package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// sshSession is the connection that the user came in by.
type sshSession struct {
	client string // address
	port   uint16 // of the server
}

// session lists the address that the user's own connection comes from, so that
// it is never banned.
func session() []string {
	if s, ok := ownSession(); ok {
		return []string{s.client}
	}
	return nil
}

// ownSession finds the user's connection. sshd tells it in SSH_CONNECTION; sudo
// drops that from the environment, so the environments of the parents are asked too.
func ownSession() (sshSession, bool) {
	if s, ok := sshConnection(os.Environ()); ok {
		return s, true
	}
	for pid := os.Getppid(); pid > 1; {
		p, err := procfs.NewProc(pid)
		if err != nil {
			return sshSession{}, false
		}
		env, envErr := p.Environ()
		stat, statErr := p.Stat()
		if envErr != nil || statErr != nil {
			return sshSession{}, false
		}
		if s, ok := sshConnection(env); ok {
			return s, true
		}
		pid = stat.PPID
	}
	return sshSession{}, false
}

// sshConnection reads the SSH_CONNECTION of an environment: the addresses and
// ports of client and server.
func sshConnection(env []string) (sshSession, bool) {
	for _, v := range env {
		value, ok := strings.CutPrefix(v, "SSH_CONNECTION=")
		if f := strings.Fields(value); ok && len(f) == 4 {
			addr, _, _ := strings.Cut(f[0], "%") // a link-local address comes with its zone
			port, err := strconv.ParseUint(f[3], 10, 16)
			return sshSession{addr, uint16(port)}, err == nil
		}
	}
	return sshSession{}, false
}
