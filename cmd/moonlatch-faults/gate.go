package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// gateWord is the first argument of the program where it makes itself another
// one whose system calls wait for permission.
const gateWord = "gate"

// The system calls that wait: those that change the store, and those by which the kernel
// is told something over netlink.
func storeCalls() []uint32 {
	return []uint32{unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_UNLINKAT, unix.SYS_MKDIRAT}
}

func kernelCalls() []uint32 { return []uint32{unix.SYS_SENDMSG, unix.SYS_SENDTO} }

// call is a system call that waits.
type call struct {
	id   uint64
	pid  int
	nr   int32
	args [6]uint64
}

// gated starts cmd, whose system calls of the given kinds, and those of its children, each
// wait until pass returns. It returns when the process has ended; its children's calls go on to be attended to.
func (p *program) gated(cmd *exec.Cmd, calls []uint32, pass func(call)) error {
	mine, its, err := os.Pipe()
	if err != nil {
		return err
	}
	defer mine.Close()
	wait, ready, err := os.Pipe()
	if err != nil {
		return errors.Join(err, its.Close())
	}
	defer ready.Close()
	var numbers []string
	for _, c := range calls {
		numbers = append(numbers, strconv.Itoa(int(c)))
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd.Args = append([]string{self, gateWord, strings.Join(numbers, ",")}, cmd.Args...)
	cmd.Path = self
	cmd.ExtraFiles = []*os.File{its, wait}
	err = p.host.Start(cmd)
	its.Close()
	wait.Close()
	if err != nil {
		return err
	}
	listener, err := fetch(cmd.Process.Pid, mine)
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil // somebody killed it: the exit code tells
	}
	go attend(listener, pass)
	ready.Write([]byte{1}) // if it is gone, its calls are too
	cmd.Wait()             // the exit code tells
	return nil
}

// fetch takes the listener for the calls from the process, which tells its number.
func fetch(pid int, from *os.File) (int, error) {
	var b [4]byte
	from.SetReadDeadline(time.Now().Add(patience))
	if _, err := from.Read(b[:]); err != nil {
		return -1, fmt.Errorf("a process with waiting system calls: %w", err)
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(pidfd)
	return unix.PidfdGetfd(pidfd, int(binary.NativeEndian.Uint32(b[:])), 0)
}

// attend lets calls pass until nobody is left who could make one.
func attend(listener int, pass func(call)) {
	defer unix.Close(listener)
	for {
		fds := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err == unix.EINTR {
			continue
		}
		if fds[0].Revents&unix.POLLIN == 0 {
			return
		}
		// linux/seccomp.h: struct seccomp_notif and struct seccomp_notif_resp.
		var in struct {
			id         uint64
			pid, flags uint32
			nr         int32
			arch       uint32
			ip         uint64
			args       [6]uint64
		}
		if err := ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&in)); err != nil {
			continue // it was killed meanwhile
		}
		pass(call{in.id, int(in.pid), in.nr, in.args})
		answer := struct {
			id    uint64
			val   int64
			err   int32
			flags uint32
		}{id: in.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		ioctl(listener, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&answer)) // it may have been killed
	}
}

func ioctl(fd int, request uint, arg unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg))
	if errno != 0 {
		return errno
	}
	return nil
}

// gate is the other half, in the process itself: it makes the calls in the list wait for whoever
// started it, and becomes the program in args.
func gate(args []string) error {
	runtime.LockOSThread() // the filter is the thread's, and execve keeps that of the thread that calls it
	var calls []uint32
	for _, f := range strings.Split(args[0], ",") {
		n, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return err
		}
		calls = append(calls, uint32(n))
	}
	listener, err := filter(calls)
	if err != nil {
		return fmt.Errorf("make system calls wait: %w", err)
	}
	const mine, wait = 3, 4
	if _, err := unix.Write(mine, binary.NativeEndian.AppendUint32(nil, uint32(listener))); err != nil {
		return err
	}
	if _, err := unix.Read(wait, make([]byte, 1)); err != nil {
		return err
	}
	unix.CloseOnExec(mine)
	unix.CloseOnExec(wait)
	path, err := exec.LookPath(args[1])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args[1:], os.Environ())
}

// filter makes the given system calls of this thread wait, and returns the file to attend to them.
func filter(calls []uint32) (int, error) {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return -1, err
	}
	// struct seccomp_data begins with the number of the call.
	code := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for i, c := range calls {
		code = append(code, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: c, Jt: uint8(len(calls) - i)})
	}
	code = append(code,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
	)
	prog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}
