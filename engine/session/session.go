// Package session finds out how old the connection is that a process was
// started over: whether it proves that somebody can still get in.
package session

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/procfs"

	"moonlatch/engine/boottime"
)

// Age is how a session's connection compares with an instant.
type Age string

// A session is Unknown where nothing proves one or the other: in a terminal
// multiplexer, whose clients come and go, on a console, under cron.
const (
	New     Age = "new"     // it began after the instant
	Old     Age = "old"     // it was there already
	Unknown Age = "unknown" // nobody can tell
)

// Session is the login that a process descends from.
type Session struct {
	Service string           // that serves its connection: sshd
	PID     int              // of the process that does
	Start   boottime.Instant // when that process, and so the connection, began
}

// services are the programs that have a process for each connection, which is
// the leader of a kernel session of its own, as the kernel names them.
var services = map[string]bool{
	"sshd": true, "sshd-session": true, "dropbear": true, "dropbearmulti": true, "mosh-server": true,
}

// maxDepth bounds the walk, should processes come and go so that it meets itself.
const maxDepth = 100

// tick is the unit of start times in proc_pid_stat(5), USER_HZ, which is 100 on
// every architecture that Go runs on.
const tick = 10 * time.Millisecond

// Of returns the session of a process, as seen in this pid namespace. Where
// there is none that can be told, the error says why.
func Of(pid int) (Session, error) {
	now, err := boottime.Now()
	if err != nil {
		return Session{}, err
	}
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return Session{}, fmt.Errorf("no process can be seen here: %w", err)
	}
	return of(proc, now.Boot, pid)
}

// of walks up through the parents, sudo and the like, to the nearest process of a
// login service. That one serves a single connection, or was forked by one that
// does. A connection is as old as the leader of that process's kernel session: the
// service makes one for each connection before anything else. The session that
// the process itself belongs to tells nothing: sudo makes one, and so does each
// new shell over a connection that is shared.
func of(proc procfs.FS, boot string, pid int) (Session, error) {
	if pid <= 0 {
		return Session{}, errors.New("it runs outside of this container")
	}
	for range maxDepth {
		p, err := stat(proc, pid)
		switch {
		case err != nil:
			return Session{}, err
		case services[p.Comm]:
			return serving(proc, boot, p)
		case p.PPID == 0 && pid != 1:
			return Session{}, fmt.Errorf("it was started from outside of this container, by %q (pid %d)", p.Comm, pid)
		case p.PPID <= 1:
			return Session{}, fmt.Errorf("it does not descend from an sshd, but from %q (pid %d)", p.Comm, pid)
		}
		pid = p.PPID
	}
	return Session{}, errors.New("its parents have no end")
}

// serving returns the session that a process of a login service serves.
func serving(proc procfs.FS, boot string, p procfs.ProcStat) (Session, error) {
	leader, err := stat(proc, p.Session)
	if err != nil {
		return Session{}, err
	}
	if !services[leader.Comm] {
		return Session{}, fmt.Errorf("its %q (pid %d) shares a session with %q (pid %d)", p.Comm, p.PID, leader.Comm, leader.PID)
	}
	start := boottime.Instant{Boot: boot, Since: time.Duration(leader.Starttime) * tick}
	return Session{Service: leader.Comm, PID: leader.PID, Start: start}, nil
}

func stat(proc procfs.FS, pid int) (procfs.ProcStat, error) {
	p, err := proc.Proc(pid)
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("process %d cannot be seen from here: %w", pid, err)
	}
	s, err := p.Stat()
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("process %d cannot be seen from here: %w", pid, err)
	}
	return s, nil
}

// Compared returns the session's age in relation to an instant.
func (s Session) Compared(with boottime.Instant) Age {
	d, ok := s.Start.Sub(with)
	switch {
	case !ok:
		return Unknown
	case d >= 0:
		return New
	}
	return Old
}
