// Package netns makes private network namespaces: for `moonlatch check`, for the demo and for kernel tests.
package netns

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// userFlags asks for namespaces that anybody may make: the user namespace comes first and owns the others.
const userFlags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS

// rootFlags asks for namespaces that only a privileged process may make.
const rootFlags = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS

// Command returns a command that will run in a user, network and mount namespace of its own, in which
// the caller's uid and gid are 0 and hold every capability over the new network namespace, and none over
// the machine's. It needs no privileges. For root on a machine that has user namespaces switched off,
// the command runs as plain root in a private network and mount namespace.
//
// The new network namespace holds one link, lo, which is down. Call [Available] when starting the command fails.
func Command(ctx context.Context, name string, arg ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, arg...)
	cmd.SysProcAttr = userAttr()
	if os.Geteuid() == 0 && try(userAttr()) != nil {
		cmd.SysProcAttr = rootAttr()
	}
	return cmd
}

// Privileged is Command for root who needs all of root's power over the new network namespace: some limits, such as
// that of a netlink message, count for everybody else, root of a user namespace included. For others it is Command.
func Privileged(ctx context.Context, name string, arg ...string) *exec.Cmd {
	if os.Geteuid() != 0 || try(rootAttr()) != nil {
		return Command(ctx, name, arg...)
	}
	cmd := exec.CommandContext(ctx, name, arg...)
	cmd.SysProcAttr = rootAttr()
	return cmd
}

func userAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:                 userFlags,
		UidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings:                []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
		GidMappingsEnableSetgroups: false, // an unprivileged process may not write gid_map otherwise
	}
}

// rootAttr unshares in the child instead of cloning, because only then os/exec makes the mounts private:
// without a user namespace, a mount made by the child would appear on the machine.
func rootAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Unshareflags: rootFlags}
}

// Available returns nil if [Command] can make private namespaces here, which it tries, and otherwise an error
// that says what forbids it and what to do.
func Available() error {
	err := try(userAttr())
	if err == nil {
		return nil
	}
	if os.Geteuid() == 0 {
		if rootErr := try(rootAttr()); rootErr == nil {
			return nil
		}
	}
	return fmt.Errorf("make a private network namespace: %w: %s", err, explain(err, readSysctl))
}

// try makes the namespaces and a process in them, which then fails to execute a file that cannot exist.
func try(attr *syscall.SysProcAttr) error {
	const nowhere = "/proc/self/no-such-file"
	_, err := syscall.ForkExec(nowhere, []string{nowhere}, &syscall.ProcAttr{Sys: attr})
	if errors.Is(err, syscall.ENOENT) {
		return nil
	}
	return err
}

// explain says why err came from making the namespaces, from the switches that read tells.
func explain(err error, read func(key string) string) string {
	root := "or run this as root (sudo): the namespaces stay just as private"
	switch {
	case read("kernel/unprivileged_userns_clone") == "0":
		return "kernel.unprivileged_userns_clone is 0; set it to 1, " + root
	case read("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return "kernel.apparmor_restrict_unprivileged_userns is 1; set it to 0, " + root
	case read("user/max_user_namespaces") == "0":
		return "user.max_user_namespaces is 0; raise it, " + root
	case read("user/max_net_namespaces") == "0":
		return "user.max_net_namespaces is 0; raise it"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EUSERS):
		return "too many namespaces, or too deeply nested ones (see the sysctls user.max_*_namespaces); close some"
	case errors.Is(err, syscall.EINVAL):
		return "this kernel has no user or network namespaces (CONFIG_USER_NS, CONFIG_NET_NS); boot one that has, " + root
	case errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EACCES):
		return "a container's seccomp filter, a chroot or a security module forbids it; run outside of it, " + root
	}
	return "run this as root (sudo): the namespaces stay just as private"
}

// readSysctl returns the value of a sysctl, "" where the kernel has none of that name.
func readSysctl(key string) string {
	b, err := os.ReadFile("/proc/sys/" + key)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
