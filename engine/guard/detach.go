package guard

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// detach makes this process one that a terminal cannot end, nor hold anything
// of its caller's.
func detach() error {
	signal.Ignore(syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGPIPE,
		syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU)
	unix.Umask(0o077)
	// The kernel kills others first when memory runs out. It needs CAP_SYS_RESOURCE;
	// without it, the watchdog is worth having all the same.
	os.WriteFile("/proc/self/oom_score_adj", []byte("-1000"), 0)
	return closeInherited()
}

// closeInherited closes the files that came with the process, but for the
// standard ones: a lock or a connection of the caller's, say. Go's own are all
// marked to be closed by exec, so what is not marked was inherited.
func closeInherited() error {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list open files: %w", err)
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
	return nil
}

// letGo closes what connects this process with its caller.
func letGo() {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer null.Close()
	for _, fd := range []int{1, 2} {
		unix.Dup3(int(null.Fd()), fd, 0)
	}
}
