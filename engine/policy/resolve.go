package policy

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// resolvedFolder holds, among the files of a policy, what names resolved to when it
// was loaded. So who has the files needs no resolver, and what was checked is what is
// applied, also after a restart without a network.
const resolvedFolder = ".resolved"

// resolve is fw.fact.resolve.
func (l *loader) resolve(L *lua.LState) int {
	const form = `fw.fact.resolve("www.example.org")`
	name := stringArg(L, 1, form)
	noMore(L, 1, form)
	list, err := l.lookUp(name)
	if err != nil {
		L.RaiseError("fw.fact.resolve: %v", err)
	}
	t := L.NewTable()
	for _, a := range list {
		t.Append(lua.LString(a))
	}
	L.Push(t)
	return 1
}

// lookUp returns the addresses of a name: those that the policy's files tell, or
// else those that the resolver does.
func (l *loader) lookUp(name string) ([]string, error) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if err := checkHostName(name); err != nil {
		return nil, err
	}
	file := path.Join(resolvedFolder, name)
	if data, ok := l.resolved[file]; ok {
		return strings.Fields(string(data)), nil
	}
	if data, err := l.state.ReadFile(file); err == nil {
		return l.known(file, data)
	}
	if l.env.Resolve == nil {
		return nil, fmt.Errorf("%s: no name can be resolved here", name)
	}
	addrs, err := l.env.Resolve(name)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no address", name)
	}
	texts := make([]string, len(addrs))
	for i, a := range addrs {
		texts[i] = a.Unmap().WithZone("").String()
	}
	slices.Sort(texts)
	texts = slices.Compact(texts)
	l.resolved[file] = []byte(strings.Join(texts, "\n") + "\n")
	return texts, nil
}

// known reads a file of addresses.
func (l *loader) known(file string, data []byte) ([]string, error) {
	var out []string
	for number, text := range listLines(data) {
		if _, err := netip.ParseAddr(text); err != nil {
			return nil, fmt.Errorf("%s:%d: %q is no address", file, number, text)
		}
		out = append(out, text)
	}
	return out, nil
}

// checkHostName refuses what is no name of a host, before anybody is asked.
func checkHostName(name string) error {
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Errorf("%s is an address already", name)
	}
	good := name != "" && len(name) <= 253 && fs.ValidPath(name)
	for label := range strings.SplitSeq(name, ".") {
		good = good && label != "" && len(label) <= 63 && !strings.HasPrefix(label, "-") &&
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
	}
	if !good {
		return fmt.Errorf("%.80q is no name of a host", name)
	}
	return nil
}
