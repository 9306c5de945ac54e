package policy

import (
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// readWords reads one or several of nft's words.
func readWords(selector string, words ...string) fieldReader {
	return func(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
		list, err := wordList(v, words...)
		return ruleset.Words{Of: selector, Not: not, Values: list}, err
	}
}

func wordList(v value, words ...string) ([]string, error) {
	var list []string
	err := each(v, func(v value) error {
		s, err := oneOf(v, words...)
		if err == nil && !slices.Contains(list, s) {
			list = append(list, s)
		}
		return err
	})
	if err == nil && len(list) == 0 {
		err = errEmptyList
	}
	return list, err
}

func readMAC(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	f := ruleset.MAC{Not: not}
	err := each(v, func(v value) error {
		s, err := text(v)
		if err != nil {
			return err
		}
		a, err := net.ParseMAC(s)
		if err != nil || len(a) != 6 {
			return fmt.Errorf("%q is no Ethernet address, such as \"00:00:5e:00:53:01\"", s)
		}
		if !slices.Contains(f.Addrs, a.String()) {
			f.Addrs = append(f.Addrs, a.String())
		}
		return nil
	})
	if err == nil && len(f.Addrs) == 0 {
		err = errEmptyList
	}
	return f, err
}

// readFIB reads nft's words for a look-up in the routing tables, without the
// "fib" itself: "saddr . iif oif missing", "daddr type local".
func readFIB(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	bad := fmt.Errorf("%q is no look-up in the routing tables: write for example \"saddr . iif oif missing\" or \"daddr type local\"", s)
	words := strings.Fields(s)
	f := ruleset.FIB{Not: not}
	for len(words) > 1 {
		f.Keys, words = append(f.Keys, words[0]), words[1:]
		if !slices.Contains([]string{"saddr", "daddr", "mark", "iif", "oif"}, f.Keys[len(f.Keys)-1]) {
			return nil, bad
		}
		if words[0] != "." {
			break
		}
		words = words[1:]
	}
	if len(words) != 2 {
		return nil, bad
	}
	f.Result, f.Values = words[0], strings.Split(words[1], ",")
	for i, value := range f.Values {
		if f.Values[i], err = fibValue(f.Result, value); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// fibValue checks what a look-up is compared with.
func fibValue(result, value string) (string, error) {
	types := []string{"local", "unicast", "broadcast", "anycast", "multicast", "blackhole", "unreachable", "prohibit"}
	switch {
	case result == "type" && slices.Contains(types, value):
		return value, nil
	case result == "type":
		return "", fmt.Errorf("%q is no type of address%s: it is one of %s", value, ruleset.Suggest(value, types), strings.Join(types, ", "))
	case result != "oif" && result != "oifname":
		return "", fmt.Errorf("a look-up in the routing tables tells oif, oifname or type, not %q", result)
	case value == "missing", value == "exists":
		return value, nil
	case len(value) > 15 || strings.ContainsAny(value, `"/\`):
		return "", fmt.Errorf("%q is no interface name", value)
	}
	return `"` + value + `"`, nil
}

// readControlGroup reads the path of a control group, or a class id.
func readControlGroup(r *ruleReader, v value, not bool) (ruleset.Field, error) {
	s, ok := v.LValue.(lua.LString)
	if !ok || digits(string(s)) {
		return readNumber(ruleset.NetClass, nil)(r, v, not)
	}
	group := strings.Trim(string(s), "/")
	if group == "" || path.Clean(group) != group || strings.HasPrefix(group, "..") || strings.ContainsAny(group, "\"\\\n") {
		return nil, fmt.Errorf("%q is no path of a control group: write it as below /sys/fs/cgroup, for example \"system.slice/nginx.service\"", string(s))
	}
	return ruleset.ControlGroup{Not: not, Path: group}, nil
}

func connStatuses() []string {
	return []string{"expected", "seen-reply", "assured", "confirmed", "snat", "dnat", "dying"}
}

func readConnStatus(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	list, err := wordList(v, connStatuses()...)
	return ruleset.ConnStatus{Not: not, States: list}, err
}

func readConnHelper(_ *ruleReader, v value, not bool) (ruleset.Field, error) {
	var list []string
	err := each(v, func(v value) error {
		s, err := text(v)
		if err == nil && (len(s) > 15 || strings.ContainsAny(s, "\"\\\n ")) {
			err = fmt.Errorf("%q is no name of a helper, such as \"ftp\"", s)
		}
		list = append(list, `"`+s+`"`)
		return err
	})
	if err == nil && len(list) == 0 {
		err = errEmptyList
	}
	return ruleset.Words{Of: "ct helper", Not: not, Values: list}, err
}

// readConn reads ct: one or several states, or a table of what else is known of
// the connection.
func readConn(r *ruleReader, v value, not bool) (ruleset.Field, error) {
	list, ok := v.LValue.(*lua.LTable)
	if !ok {
		return readConnState(r, v, not)
	}
	t := table{LTable: list, pos: v.pos, lit: v.lit}
	if set, missing := t.names(); len(set)+len(missing) == 0 {
		return readConnState(r, v, not)
	}
	switch {
	case not:
		return nil, errors.New("a table with fields cannot be negated as a whole: negate its fields, as in ct = { not_status = \"dnat\" }")
	case t.length() > 0:
		return nil, errors.New("states and fields cannot be mixed: write ct = { state = { \"established\" }, mark = 1 }")
	}
	inner := &ruleReader{loader: r.loader, t: t}
	inner.readFields(r.what+": ct", connFields())
	r.failed = r.failed || inner.failed
	return ruleset.All(inner.fields), nil
}
