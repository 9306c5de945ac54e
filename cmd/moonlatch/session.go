package main

import (
	"bytes"
	"os"
	"strconv"
	"strings"
)

// session lists the address that the user's own connection comes from, so that
// it is never banned. sshd tells it in SSH_CONNECTION; sudo drops that from the
// environment, so the environments of the parents are asked too.
func session() []string {
	if addr := sshClient(os.Getenv("SSH_CONNECTION")); addr != "" {
		return []string{addr}
	}
	for pid := os.Getppid(); pid > 1; pid = parent(pid) {
		env, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			return nil
		}
		for _, v := range bytes.Split(env, []byte{0}) {
			if value, ok := bytes.CutPrefix(v, []byte("SSH_CONNECTION=")); ok {
				if addr := sshClient(string(value)); addr != "" {
					return []string{addr}
				}
			}
		}
	}
	return nil
}

// sshClient is the client's address in a value of SSH_CONNECTION.
func sshClient(value string) string {
	f := strings.Fields(value)
	if len(f) != 4 {
		return ""
	}
	addr, _, _ := strings.Cut(f[0], "%") // a link-local address comes with its zone
	return addr
}

// parent returns a process's parent, or 0 when it cannot be told.
func parent(pid int) int {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0
	}
	// The command's name, in parentheses, may itself hold blanks and parentheses.
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(f) < 2 {
		return 0
	}
	ppid, err := strconv.Atoi(f[1])
	if err != nil {
		return 0
	}
	return ppid
}
