package policy

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/packet"
	"moonlatch/engine/ruleset"
)

const (
	// opening are the flags that tell the packets apart that open, carry on
	// and end a connection: those looked at unless a mask says otherwise.
	opening = packet.FIN | packet.SYN | packet.RST | packet.ACK
	// allFlags leaves out ECE and CWR, which congestion control sets at will.
	allFlags = opening | packet.PSH | packet.URG
)

// tcpFlags reads "syn" (of fin, syn, rst and ack, only syn: a new connection
// attempt), "syn/fin,syn,rst,ack" (flags set, of those looked at), "none" or "all".
func tcpFlags(v lua.LValue, not bool) (ruleset.Field, error) {
	s, ok := v.(lua.LString)
	if !ok {
		return nil, fmt.Errorf("flags such as \"syn\" are expected, not %s", describe(v))
	}
	set, mask, masked := strings.Cut(string(s), "/")
	f := ruleset.TCPFlags{Not: not}
	switch {
	case set == "none" && !masked:
		f.Mask = uint8(allFlags)
		return f, nil
	case set == "all" && !masked:
		f.Set, f.Mask = uint8(allFlags), uint8(allFlags)
		return f, nil
	}
	bits, err := flagBits(set)
	if err != nil {
		return nil, err
	}
	look := opening | bits
	if masked {
		if look, err = flagBits(mask); err != nil {
			return nil, err
		}
	}
	if bits&^look != 0 {
		return nil, fmt.Errorf("%q can never match: \"%s\" is set but not among the flags looked at, behind the /", string(s), bits&^look)
	}
	f.Set, f.Mask = uint8(bits), uint8(look)
	return f, nil
}

func flagBits(list string) (packet.Flags, error) {
	switch list {
	case "none":
		return 0, nil
	case "all":
		return allFlags, nil
	}
	var bits packet.Flags
	for name := range strings.SplitSeq(list, ",") {
		b, ok := packet.ParseFlags(strings.TrimSpace(name))
		if !ok {
			known := strings.Split((^packet.Flags(0)).String(), ",")
			return 0, fmt.Errorf("unknown TCP flag %q%s", name, ruleset.Suggest(name, known))
		}
		bits |= b
	}
	return bits, nil
}
