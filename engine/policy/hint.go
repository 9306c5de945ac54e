package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// The hints here answer words that nft, iptables or other Lua programs would understand.

// nameHint says what an undefined name most likely stands for, "" for nothing known.
func nameHint(name string) string {
	switch lower := strings.ToLower(name); {
	case name == "fw" || name == "moonlatch":
		return `: write local fw = require "moonlatch" first`
	case lower == "null" || lower == "none" || lower == "nil":
		return ": nothing is nil in Lua"
	case lower == "true" || lower == "false":
		return ": write " + lower
	case lookupMember(lower):
		return fmt.Sprintf(": write fw.%[1]s, or local %[1]s = fw.%[1]s first", lower)
	}
	return ""
}

func lookupMember(name string) bool {
	return slices.ContainsFunc(moduleMembers(), func(m member) bool { return m.Name == name })
}

// memberHint says where a name belongs that the module does not have.
func memberHint(path, name string) string {
	if path == "fw" && lookup(ruleFields(), name) != nil {
		return fmt.Sprintf(": %s is a field of a rule: input { \"name\", %s = … }", name, name)
	}
	return ""
}

// fieldHint says how a rule says what a field that it does not have would.
func fieldHint(name string) string {
	word := strings.TrimPrefix(name, "not_")
	for _, h := range []struct{ words, means string }{
		{"action verdict target j jump then policy", "a verdict stands among the items, by itself: input { \"name\", tcp = 22, accept }"},
		{"name comment", "a rule starts with its name: input { \"name\", … }"},
		{"port ports destination_port dest_port", "write tcp = 22 or udp = 53"},
		{"saddr source s from", "write src"},
		{"daddr destination dest d to", "write dst"},
		{"sourceport source_port spt", "write sport"},
		{"in i iifname interface in_interface dev device", "write iif"},
		{"out o oifname out_interface", "write oif"},
		{"state ctstate conntrack", `write ct = { "established", "related" }`},
		{"log logging prefix", `write fw.syslog "prefix" or a stream among the items`},
		{"counter", "every rule counts; fw.counter makes one that several share, which stands among the items"},
		{"p protocol", `write tcp = 22, or proto = "tcp"`},
		{"rate ratelimit", `write limit = "10/s"`},
		{"user owner", "write uid"},
		{"group", "write gid"},
	} {
		if slices.Contains(strings.Fields(h.words), strings.ToLower(word)) {
			if field, single := strings.CutPrefix(h.means, "write "); single && word != name && !strings.Contains(field, " ") {
				return ": write not_" + field
			}
			return ": " + h.means
		}
	}
	return ""
}

// addressHint says how to write what is no address and yet means one.
func addressHint(s string) string {
	host, bits, isPrefix := strings.Cut(s, "/")
	switch _, err := netip.ParseAddr(host); {
	case err == nil && isPrefix:
		return fmt.Sprintf(": there is no /%s", bits)
	case strings.HasPrefix(s, "!"):
		return ": the opposite of src is not_src, and that of dst not_dst"
	case slices.Contains([]string{"any", "all", "*", "anywhere"}, strings.ToLower(s)):
		return ": leave the field out for all"
	case checkHostName(strings.ToLower(s)) == nil && strings.Contains(s, ".") && strings.Trim(s, "0123456789.") != "":
		return fmt.Sprintf(": a name is looked up with fw.fact.resolve(%q)", s)
	}
	return ""
}

// checkText finds what is iptables' language, or shouts like it, before nft has to.
func checkText(s string) error {
	lower := strings.ToLower(s)
	switch verdicts := []string{"accept", "drop", "reject", "return", "continue"}; {
	case s != lower && slices.Contains(verdicts, lower):
		return fmt.Errorf("%q is written %s, without quotes: local %s = fw.%s", s, lower, lower, lower)
	case strings.HasPrefix(s, "-"):
		return fmt.Errorf("%.80q is iptables' language: write fields, such as tcp = 22, and nft's words where there is no field", s)
	}
	return nil
}

// listHint is for several words in one text.
func listHint(s string, words []string) string {
	var quoted []string
	for part := range strings.SplitSeq(s, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		if !slices.Contains(words, part) {
			return ""
		}
		quoted = append(quoted, fmt.Sprintf("%q", part))
	}
	if len(quoted) < 2 {
		return ""
	}
	return ": write { " + strings.Join(quoted, ", ") + " }"
}

// pingHint is for an unknown ICMP type.
func pingHint(name string) string {
	if strings.ToLower(name) == "ping" {
		return `: a ping is an "echo-request"`
	}
	return ruleset.Suggest(name, icmpTypes())
}

// services are names that port numbers are most often written by.
func services() []string {
	return []string{
		"ssh", "http", "https", "ftp", "telnet", "smtp", "domain", "pop3", "ntp", "imap", "snmp", "ldap", "submission", "ldaps", "imaps", "pop3s",
		"mysql", "postgresql", "tftp", "syslog", "bootps", "bootpc", "mdns", "openvpn", "sip", "rsync", "nfs",
	}
}

// notOurs refuses a function of the module where one of the policy's is to be called later.
func notOurs(fn *lua.LFunction, form string) error {
	if fn.IsG {
		return fmt.Errorf("%s is expected, and this is a function of the module: it would be called with other arguments", form)
	}
	return nil
}

// refusedModule is for fw:set, which hands over the module as the first argument.
func refusedModule(v lua.LValue, form string) string {
	if m, ok := unwrap[moduleObject](v); ok {
		return fmt.Sprintf("%s is expected: behind %s comes a dot, not a colon", form, string(m))
	}
	return ""
}

// memberList names what a module has.
func memberList(path string, members []member) string {
	var out []string
	for _, m := range members {
		out = append(out, path+"."+m.Name)
	}
	if len(out) > 10 {
		return path + ".NAME"
	}
	return strings.Join(out, ", ")
}
