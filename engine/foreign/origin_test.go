package foreign

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestOrigins looks for services in the files of a machine that has some.
func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  []Origin
	}{
		{"none", nil, []Origin{}},
		{"ufw switched on", map[string]string{
			"etc/ufw/ufw.conf": "# x\nENABLED=yes\n", "etc/systemd/system/multi-user.target.wants/ufw.service": "",
		}, []Origin{{"ufw", true, false}}},
		{"ufw installed", map[string]string{
			"etc/ufw/ufw.conf": "ENABLED=no\n", "etc/systemd/system/multi-user.target.wants/ufw.service": "",
		}, []Origin{}},
		{"running", map[string]string{"sys/fs/cgroup/system.slice/docker.service/cgroup.procs": "7"}, []Origin{{"docker", false, true}}},
		{"both", map[string]string{
			"etc/systemd/system/sysinit.target.wants/nftables.service": "", "sys/fs/cgroup/system.slice/nftables.service/x": "",
		}, []Origin{{"nftables", true, true}}},
		{"OpenRC", map[string]string{"etc/runlevels/default/iptables": ""}, []Origin{{"iptables", true, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range tt.files {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tt.want, Origins(root)); diff != "" {
				t.Error(diff)
			}
		})
	}
}
