package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// beLogins makes the test binary a login service in the shape of sshd: a process
// named sshd for each connection, the leader of a kernel session, that runs every
// command on a terminal of its own. It says "listener", or "connection" in those.
const beLogins = "MOONLATCH_TEST_BE_LOGINS"

const loginPort = "2222"

// answer is what the login service says of a command.
type answer struct {
	Output string
	Code   int
}

// serveLogins is the test binary as a login service, or as one of its connections.
func serveLogins() {
	if os.Getenv(beLogins) == "connection" {
		serveLogin(os.NewFile(3, "connection"))
		os.Exit(0)
	}
	l, err := net.Listen("tcp", ":"+loginPort)
	if err != nil {
		log.Fatal(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		f, err := c.(*net.TCPConn).File()
		if err != nil {
			log.Fatal(err)
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), beLogins+"=connection")
		cmd.ExtraFiles = []*os.File{f}
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			log.Fatal(err)
		}
		go cmd.Wait()
		f.Close()
		c.Close()
	}
}

// serveLogin runs the commands that come over a connection, one a line.
func serveLogin(f *os.File) {
	c, err := net.FileConn(f)
	if err != nil {
		log.Fatal(err)
	}
	f.Close()
	for sc := bufio.NewScanner(c); sc.Scan(); {
		cmd := exec.Command("script", "-qec", sc.Text(), "/dev/null") // a terminal, and a kernel session, for each
		cmd.Env = environWithout(beLogins)
		out, _ := cmd.CombinedOutput() // the exit code tells
		json.NewEncoder(c).Encode(answer{string(out), cmd.ProcessState.ExitCode()})
	}
}

func environWithout(name string) []string {
	var out []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, name+"=") && !strings.HasPrefix(v, "SSH_CONNECTION=") {
			out = append(out, v)
		}
	}
	return out
}

// serveLogins starts the login service on the server.
func (w *world) serveLogins() {
	w.t.Helper()
	self, err := os.Executable()
	must(w.t, err)
	sshd := filepath.Join(w.dir, "sshd") // what the kernel then calls the process
	must(w.t, os.Symlink(self, sshd))
	moonlatch := fmt.Sprintf("#!/bin/sh\n%s=1 exec %s --state %s/state --socket %s \"$@\"\n", beCommand, self, w.dir, w.socket())
	must(w.t, os.WriteFile(filepath.Join(w.dir, "moonlatch"), []byte(moonlatch), 0o700))
	cmd := exec.Command(sshd)
	cmd.Env = append(environWithout(beLogins), beLogins+"=listener", "PATH="+w.dir+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	cmd.Stderr = os.Stderr
	must(w.t, w.server.Start(cmd))
	w.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	w.until("one can log in", func() bool {
		return w.client.Do(func() error {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(serverForClient, loginPort), soon)
			if err == nil {
				c.Close()
			}
			return err
		}) == nil
	})
}

// login is a session of the client's on the server.
type login struct {
	t    *testing.T
	conn net.Conn
	in   *json.Decoder
}

// login opens a connection from the client, through the rules in force.
func (w *world) login() *login {
	w.t.Helper()
	var c net.Conn
	must(w.t, w.client.Do(func() (err error) {
		c, err = net.DialTimeout("tcp", net.JoinHostPort(serverForClient, loginPort), generous)
		return err
	}))
	w.t.Cleanup(func() { c.Close() })
	l := &login{w.t, c, json.NewDecoder(c)}
	l.run("true") // the connection's process is there
	return l
}

// run runs a command in the session.
func (l *login) run(command string) (output string, code int) {
	l.t.Helper()
	l.conn.SetDeadline(time.Now().Add(3 * generous))
	if _, err := io.WriteString(l.conn, command+"\n"); err != nil {
		l.t.Fatal(err)
	}
	var a answer
	if err := l.in.Decode(&a); err != nil {
		l.t.Fatalf("%s: %v", command, err)
	}
	return strings.ReplaceAll(a.Output, "\r\n", "\n"), a.Code
}

// ok runs a command that must succeed.
func (l *login) ok(command string) string {
	l.t.Helper()
	out, code := l.run(command)
	if code != 0 {
		l.t.Fatalf("%s: exit code %d\n%s", command, code, out)
	}
	return out
}
