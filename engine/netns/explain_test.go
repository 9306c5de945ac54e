package netns

import (
	"strings"
	"syscall"
	"testing"
)

func TestExplain(t *testing.T) {
	tests := []struct {
		name string
		err  error
		set  map[string]string
		want string
	}{
		{"debian switch", syscall.EPERM, map[string]string{"kernel/unprivileged_userns_clone": "0"}, "kernel.unprivileged_userns_clone is 0"},
		{"apparmor", syscall.EPERM, map[string]string{"kernel/apparmor_restrict_unprivileged_userns": "1"}, "kernel.apparmor_restrict_unprivileged_userns is 1"},
		{"no user namespaces", syscall.ENOSPC, map[string]string{"user/max_user_namespaces": "0"}, "user.max_user_namespaces is 0"},
		{"no net namespaces", syscall.ENOSPC, map[string]string{"user/max_net_namespaces": "0"}, "user.max_net_namespaces is 0"},
		{"too deep", syscall.ENOSPC, nil, "too many namespaces"},
		{"old kernel", syscall.EINVAL, nil, "CONFIG_USER_NS"},
		{"container", syscall.EPERM, map[string]string{"kernel/unprivileged_userns_clone": "1"}, "seccomp"},
		{"anything else", syscall.ENOMEM, nil, "sudo"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := explain(tt.err, func(key string) string { return tt.set[key] })
			if !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want it to name %q", got, tt.want)
			}
		})
	}
}

func TestReadSysctl(t *testing.T) {
	if got := readSysctl("user/max_user_namespaces"); got == "" {
		t.Error("user/max_user_namespaces reads as nothing")
	}
	if got := readSysctl("kernel/there_is_no_such_switch"); got != "" {
		t.Errorf("a missing sysctl reads as %q", got)
	}
}
