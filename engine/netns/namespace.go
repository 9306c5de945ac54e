package netns

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// A Namespace is a network namespace, kept alive by an open file. Its methods are safe for concurrent use,
// except for Close.
type Namespace struct {
	file *os.File
}

// New makes a network namespace whose lo is up. It needs CAP_SYS_ADMIN in the current user namespace,
// as root has and as a process started by [Command] has. The caller closes it.
func New() (*Namespace, error) {
	var n *Namespace
	err := inThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
		var err error
		n, err = Current()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	if err := n.Up("lo"); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

// Current returns the network namespace of the calling thread. The caller closes it.
func Current() (*Namespace, error) {
	f, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("open the current network namespace: %w", err)
	}
	return &Namespace{file: f}, nil
}

// Close lets go of the namespace. The kernel ends it when no process, socket or open file holds it any more.
func (n *Namespace) Close() error { return n.file.Close() }

// ID identifies the namespace among those that exist: it is the inode number that `ls -l /proc/PID/ns/net` shows.
func (n *Namespace) ID() (uint64, error) {
	var st unix.Stat_t
	if err := n.control(func(fd int) error { return unix.Fstat(fd, &st) }); err != nil {
		return 0, fmt.Errorf("stat network namespace: %w", err)
	}
	return st.Ino, nil
}

// Do calls fn on an operating system thread inside the namespace and returns what fn returns. Sockets that
// fn opens and processes that fn starts belong to the namespace for good; goroutines that it starts do not.
// fn may end its goroutine, as testing.T.Fatal does: then Do ends the calling one.
func (n *Namespace) Do(fn func() error) error {
	return inThread(func() error {
		err := n.control(func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) })
		if err != nil {
			return fmt.Errorf("enter network namespace: %w", err)
		}
		return fn()
	})
}

// Start starts cmd inside the namespace.
func (n *Namespace) Start(cmd *exec.Cmd) error { return n.Do(cmd.Start) }

// control calls fn with the namespace's file descriptor, which stays open meanwhile.
func (n *Namespace) control(fn func(fd int) error) error {
	conn, err := n.file.SyscallConn()
	if err != nil {
		return err
	}
	var fnErr error
	if err := conn.Control(func(fd uintptr) { fnErr = fn(int(fd)) }); err != nil {
		return err
	}
	return fnErr
}

// inThread calls fn on a thread of its own, which fn may move to another network namespace. Afterwards the
// thread is moved back, or ends: no other goroutine ever runs on it in the wrong namespace.
func inThread(fn func() error) error {
	var err error
	finished := false
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, and /proc/self shows its namespace. While it is locked
			// here, the next goroutine gets another one.
			defer runtime.UnlockOSThread()
			err = inThread(fn)
			finished = true
			return
		}
		home, openErr := Current()
		if openErr != nil {
			err, finished = openErr, true
			return
		}
		defer home.restore()
		err = fn()
		finished = true
	}()
	<-done
	if !finished {
		runtime.Goexit() // fn ended its goroutine
	}
	return err
}

// restore moves the calling thread back home and frees it. Where that is not permitted it leaves the goroutine
// locked to its thread, so that the runtime ends both together.
func (n *Namespace) restore() {
	defer n.Close()
	if n.control(func(fd int) error { return unix.Setns(fd, unix.CLONE_NEWNET) }) == nil {
		runtime.UnlockOSThread()
	}
}
