package foreign

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// legacy is one family of the iptables that is not built on nf_tables.
type legacy struct {
	family string // as its command is called: iptables or ip6tables
	tables string // the file that lists the tables in use
}

func legacies() []legacy {
	return []legacy{{"iptables", "ip_tables_names"}, {"ip6tables", "ip6_tables_names"}}
}

// inUse lists the tables that exist. There are none as long as nobody has used them: asking iptables itself would make them.
func (l legacy) inUse() ([]string, error) { return tableNames(l.tables) }

// tableNames reads a list of tables of the calling thread's namespace; without the kernel module there is no such file.
func tableNames(file string) ([]string, error) {
	b, err := os.ReadFile("/proc/thread-self/net/" + file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(b)), err
}

// command finds the legacy one of iptables-save or iptables-restore, which some distributions have under the plain name.
func (l legacy) command(ctx context.Context, what string) (string, error) {
	if path, ok := look(l.family + "-legacy-" + what); ok {
		return path, nil
	}
	if path, ok := look(l.family + "-" + what); ok {
		if version, err := run(ctx, "", nil, path, "-V"); err == nil && !strings.Contains(version, "nf_tables") {
			return path, nil
		}
	}
	return "", fmt.Errorf("legacy %s tables are in use, but there is no %s-legacy-%s: install the iptables package", l.family, l.family, what)
}

// save prints the tables in use, "" if there are none.
func (l legacy) save(ctx context.Context) (string, error) {
	tables, err := l.inUse()
	if err != nil || len(tables) == 0 {
		return "", err
	}
	path, err := l.command(ctx, "save")
	if err != nil {
		return "", err
	}
	return run(ctx, "", nil, path, "-c")
}

// The lock of iptables: how many seconds to wait for it, and the exit code that says it was not to be had (iptables/xshared.c,
// RESOURCE_PROBLEM).
const (
	lockWait = "3"
	lockHeld = 4
)

// restore makes the tables what text says, and opens those in use that it does not name. It waits only briefly for others who work
// on the rules: one that hangs with the lock must not keep a firewall shut.
func (l legacy) restore(ctx context.Context, text string, private bool) error {
	tables, err := l.inUse()
	if err != nil || len(tables) == 0 && text == "" {
		return err
	}
	for _, table := range tables {
		if !slices.Contains(tablesIn(text), table) {
			text += openTable(table)
		}
	}
	path, err := l.command(ctx, "restore")
	if err != nil {
		return err
	}
	if !private {
		_, err = run(ctx, text, nil, path, "-c", "-w", lockWait)
		var failed *commandError
		if !errors.As(err, &failed) || failed.code != lockHeld {
			return err
		}
	}
	_, err = run(ctx, text, []string{"XTABLES_LOCKFILE=/proc/self/fd/0"}, path, "-c", "-w", lockWait)
	return err
}

// tablesIn lists the tables that text for iptables-restore names.
func tablesIn(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "*"); ok {
			out = append(out, name)
		}
	}
	return out
}

// openTable is text for iptables-restore that lets everything through a table, and takes the rest out of it.
func openTable(table string) string {
	chains := []string{"INPUT", "FORWARD", "OUTPUT"} // filter, security
	switch table {
	case "nat":
		chains = []string{"PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"}
	case "mangle":
		chains = []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
	case "raw":
		chains = []string{"PREROUTING", "OUTPUT"}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "*%s\n", table)
	for _, c := range chains {
		fmt.Fprintf(&b, ":%s ACCEPT [0:0]\n", c)
	}
	b.WriteString("COMMIT\n")
	return b.String()
}
