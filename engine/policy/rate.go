package policy

import (
	"fmt"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// A limit per source counts an IPv6 source by its /64: whoever has one address
// of it has them all.
const sourceBits6 = 64

// limit reads "10/s", "200/s burst 50 per src" or "10/min per src/24".
func limit(v lua.LValue) (ruleset.Limit, error) {
	s, err := limitText(v)
	if err != nil {
		return ruleset.Limit{}, err
	}
	words := strings.Fields(s)
	if len(words) == 0 {
		return ruleset.Limit{}, notLimit(s)
	}
	var l ruleset.Limit
	if l.Rate, err = rate(s, words[0]); err != nil {
		return ruleset.Limit{}, err
	}
	for words = words[1:]; len(words) > 0; words = words[2:] {
		if len(words) == 1 {
			return ruleset.Limit{}, notLimit(s)
		}
		switch {
		case words[0] == "burst" && l.Rate.Burst == 0:
			l.Rate.Burst, err = packets(s, words[1])
		case words[0] == "per" && !l.PerSource:
			err = perSource(&l, s, words[1])
		default:
			err = notLimit(s)
		}
		if err != nil {
			return ruleset.Limit{}, err
		}
	}
	return l, nil
}

// streamRate reads "5000/s" or "5000/s burst 100".
func streamRate(v lua.LValue) (*ruleset.Rate, error) {
	l, err := limit(v)
	if err == nil && l.PerSource {
		err = fmt.Errorf("%s: the rate of a stream is for all its packets, not per src", describe(v))
	}
	return &l.Rate, err
}

func limitText(v lua.LValue) (string, error) {
	switch v := v.(type) {
	case lua.LString:
		return string(v), nil
	case lua.LNumber:
		return "", fmt.Errorf("%v has no unit of time: write \"%v/s\"", v, v)
	}
	return "", fmt.Errorf("a rate such as \"10/s\" is expected, not %s", describe(v))
}

func notLimit(s string) error {
	return fmt.Errorf("%q is no rate: write for example \"10/s\", \"100/min burst 20\" or \"200/s per src\"", s)
}

func rate(s, word string) (ruleset.Rate, error) {
	count, unit, ok := strings.Cut(word, "/")
	if !ok && digits(word) {
		return ruleset.Rate{}, fmt.Errorf("%q has no unit of time: write \"%s/s\"", s, word)
	}
	name := unitName(unit)
	if !ok || !digits(count) {
		return ruleset.Rate{}, notLimit(s)
	}
	if name == "" {
		return ruleset.Rate{}, fmt.Errorf("%q: unknown unit of time %q: it is s, min, h or d", s, unit)
	}
	n, err := packets(s, count)
	return ruleset.Rate{Packets: n, Unit: name}, err
}

// unitName gives nft's name of a unit of time, or "".
func unitName(unit string) string {
	switch unit {
	case "s", "sec", "second":
		return "second"
	case "m", "min", "minute":
		return "minute"
	case "h", "hour":
		return "hour"
	case "d", "day":
		return "day"
	}
	return ""
}

func packets(s, word string) (uint32, error) {
	n, err := strconv.ParseUint(word, 10, 32)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q: %q is no number of packets from 1 to 4294967295", s, word)
	}
	return uint32(n), nil
}

// perSource reads what stands behind "per".
func perSource(l *ruleset.Limit, s, word string) (err error) {
	l.PerSource = true
	l.Bits4, l.Bits6, err = sourcePrefix(s, word)
	return err
}

// sourcePrefix reads src, src/24 for IPv4 prefixes or src/48 for IPv6 prefixes.
func sourcePrefix(s, word string) (bits4, bits6 int, err error) {
	key, bits, masked := strings.Cut(word, "/")
	if key != "src" {
		return 0, 0, fmt.Errorf("%q: a limit is per src or for all packets together, not per %q", s, word)
	}
	if !masked {
		return 0, sourceBits6, nil
	}
	n, err := strconv.ParseUint(bits, 10, 8)
	switch {
	case err != nil || n == 0 || n > 128:
		return 0, 0, fmt.Errorf("%q: %q is no length of a prefix from 1 to 128", s, bits)
	case n <= 32:
		return int(n), sourceBits6, nil
	}
	return 0, int(n), nil
}
