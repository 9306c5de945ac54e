package session

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"moonlatch/engine/connection"
)

// logind is where systemd-logind describes its sessions, for sd-login(3).
const logind = "/run/systemd/sessions"

// Live returns the addresses that somebody is logged in from at the moment, sorted: whose
// connection to a login service has got past the password. Whoever only tries to log in is not among them. It asks
// systemd-logind, and the processes of the login services, which takes CAP_SYS_PTRACE; one of the two is enough.
func Live() ([]netip.Addr, error) {
	found, err := loggedIn(os.DirFS(logind))
	proc, procErr := procfs.NewDefaultFS()
	if procErr == nil {
		var peers map[uint32]netip.Addr
		if peers, procErr = connection.Peers(); procErr == nil {
			found = append(found, served(proc, peers)...)
		}
	}
	if err != nil && procErr != nil {
		return nil, fmt.Errorf("live sessions: %w", errors.Join(err, procErr))
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}

// loggedIn returns the addresses of logind's remote sessions. Where there is no logind there is none.
func loggedIn(dir fs.FS) ([]netip.Addr, error) {
	files, err := fs.Glob(dir, "*")
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, name := range files {
		f, err := dir.Open(name)
		if err != nil {
			continue // it has just ended
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			if a, ok := remoteHost(f); ok {
				out = append(out, a)
			}
		}
		f.Close()
	}
	return out, nil
}

// remoteHost reads a session's file: lines of KEY=value.
func remoteHost(f fs.File) (netip.Addr, bool) {
	var host netip.Addr
	live := true
	for sc := bufio.NewScanner(f); sc.Scan(); {
		key, value, _ := strings.Cut(sc.Text(), "=")
		switch key {
		case "REMOTE_HOST":
			if a, err := netip.ParseAddr(value); err == nil {
				host = a.Unmap().WithZone("")
			}
		case "STATE":
			live = value != "closing"
		}
	}
	return host, live && host.IsValid()
}

// served returns the peers of the login services' processes that serve somebody who is logged in. Sockets of
// processes that may not be looked into are left out.
func served(proc procfs.FS, peers map[uint32]netip.Addr) []netip.Addr {
	all, err := proc.AllProcs()
	if err != nil {
		return nil
	}
	var servants []procfs.Proc
	service := make(map[int]int)  // of a login service's process, its kernel session
	in := make(map[int]bool)      // kernel sessions that somebody is logged in over
	parents := make(map[int]bool) // of processes that are no login service's
	titled := make(map[int]bool)  // processes of OpenSSH, which says in their titles how far they are
	for _, p := range all {
		s, err := p.Stat()
		if err != nil {
			continue
		}
		if !services[s.Comm] {
			parents[s.PPID] = true
			continue
		}
		servants = append(servants, p)
		service[p.PID] = s.Session
		if title, err := p.CmdLine(); err == nil && len(title) > 0 {
			if who, ok := cutTitle(title[0]); ok {
				titled[p.PID] = true
				in[s.Session] = in[s.Session] || isLogin(who)
			}
		}
	}
	for pid, session := range service {
		if !titled[pid] && parents[pid] {
			in[session] = true // it runs a shell
		}
	}
	var out []netip.Addr
	for _, p := range servants {
		if in[service[p.PID]] {
			out = append(out, peersOf(p, peers)...)
		}
	}
	return out
}

// cutTitle reads the title of a process of OpenSSH's: "sshd: root@pts/0" or "sshd-session: ann [priv]".
func cutTitle(title string) (who string, ok bool) {
	program, who, ok := strings.Cut(title, ": ")
	return who, ok && strings.HasPrefix(path.Base(program), "sshd") && !strings.Contains(who, "[listener]")
}

// isLogin reports whether a title is that of a session after the password: before, it ends in a word in brackets.
func isLogin(who string) bool {
	return strings.Contains(who, "@") && !strings.HasSuffix(strings.TrimSpace(who), "]")
}

// peersOf returns who is at the other end of a process's sockets.
func peersOf(p procfs.Proc, peers map[uint32]netip.Addr) []netip.Addr {
	files, err := p.FileDescriptorTargets()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, f := range files {
		number, isSocket := strings.CutPrefix(f, "socket:[")
		if !isSocket {
			continue
		}
		inode, err := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32)
		if a, ok := peers[uint32(inode)]; err == nil && ok {
			out = append(out, a)
		}
	}
	return out
}
