package foreign

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
)

// An Origin is a service of this machine that brings rules back after they were taken away.
type Origin struct {
	Service string `json:"service"`
	Enabled bool   `json:"enabled"` // it starts at boot
	Running bool   `json:"running"` // it may change rules at any time
}

// Origins lists the services that bring rules back. root is "/", or where a test has put the files of one.
func Origins(root string) []Origin {
	out := []Origin{}
	for _, name := range []string{
		"ufw", "firewalld", "nftables", "netfilter-persistent", "iptables", "ip6tables", "ipset", "shorewall", "ferm", "docker",
		"libvirtd", "fail2ban", "crowdsec-firewall-bouncer", "moonlatch-restore", "moonlatch",
	} {
		o := Origin{Service: name, Enabled: enabled(root, name)}
		_, err := os.Stat(filepath.Join(root, "sys/fs/cgroup/system.slice", name+".service"))
		o.Running = err == nil
		if o.Enabled || o.Running {
			out = append(out, o)
		}
	}
	return out
}

// enabled reports whether systemd or OpenRC starts a service at boot, and whether the service then does anything.
func enabled(root, name string) bool {
	if name == "ufw" && !switchedOn(filepath.Join(root, "etc/ufw/ufw.conf")) {
		return false
	}
	for _, pattern := range []string{"etc/systemd/system/*.wants/" + name + ".service", "etc/runlevels/*/" + name} {
		if found, _ := filepath.Glob(filepath.Join(root, pattern)); len(found) > 0 { // fails for no pattern of ours
			return true
		}
	}
	return false
}

// switchedOn reports whether ufw's configuration file says ENABLED=yes.
func switchedOn(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if strings.EqualFold(strings.TrimSpace(lines.Text()), "enabled=yes") {
			return true
		}
	}
	return false
}
