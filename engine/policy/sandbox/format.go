package sandbox

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// stringFormat is string.format of Lua 5.1, except that %s takes any value, as
// in later Luas. gopher-lua's own prints "%!d(MISSING)" where this is an error.
func (s *State) stringFormat(L *lua.LState) int {
	format := L.CheckString(1)
	var b strings.Builder
	arg := 1
	for {
		text, rest, found := strings.Cut(format, "%")
		b.WriteString(text)
		if !found {
			break
		}
		if strings.HasPrefix(rest, "%") {
			b.WriteByte('%')
			format = rest[1:]
			continue
		}
		arg++
		spec, verb := cutSpec(L, rest)
		b.WriteString(formatValue(L, spec, verb, arg))
		s.chargeBytes(b.Len())
		format = rest[len(spec)+1:]
	}
	s.chargeBytes(b.Len())
	L.Push(lua.LString(b.String()))
	return 1
}

// cutSpec splits the flags, the width and the precision, of at most two digits
// each, from the letter behind them.
func cutSpec(L *lua.LState, format string) (spec string, verb byte) {
	i := 0
	digits := func() {
		for n := 0; n < 2 && i < len(format) && '0' <= format[i] && format[i] <= '9'; n++ {
			i++
		}
	}
	for i < len(format) && strings.IndexByte("-+ #0", format[i]) >= 0 {
		i++
	}
	digits()
	if i < len(format) && format[i] == '.' {
		i++
		digits()
	}
	if i == len(format) || strings.IndexByte("cdiuoxXeEfgGqs", format[i]) < 0 {
		L.RaiseError("invalid format %q", "%"+format[:min(i+1, len(format))])
	}
	return format[:i], format[i]
}

func formatValue(L *lua.LState, spec string, verb byte, arg int) string {
	if arg > L.GetTop() {
		L.ArgError(arg, fmt.Sprintf("no value for %%%s%c", spec, verb))
	}
	switch verb {
	case 's':
		return pad(spec, L.ToStringMeta(L.Get(arg)).String())
	case 'q':
		return quote(L.CheckString(arg))
	case 'c':
		return pad(spec, string([]byte{byte(checkInt(L, arg))}))
	case 'd', 'i':
		return fmt.Sprintf("%"+spec+"d", int64(unsigned(L.CheckNumber(arg))))
	case 'u':
		return fmt.Sprintf("%"+spec+"d", unsigned(L.CheckNumber(arg)))
	case 'o', 'x', 'X':
		return fmt.Sprintf("%"+spec+string(verb), unsigned(L.CheckNumber(arg)))
	}
	return formatFloat(spec, verb, float64(L.CheckNumber(arg)))
}

func formatFloat(spec string, verb byte, v float64) string {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		width, _, _ := strings.Cut(spec, ".")
		return pad(width, strings.ToLower(strings.TrimPrefix(strconv.FormatFloat(v, 'g', -1, 64), "+")))
	}
	if !strings.Contains(spec, ".") {
		spec += ".6" // C's default; Go's would be as many digits as needed
	}
	return fmt.Sprintf("%"+spec+string(verb), v)
}

// unsigned is a number cut to 64 bits as C would: -1 is the largest. What does
// not fit becomes the largest or the smallest that does.
func unsigned(n lua.LNumber) uint64 {
	switch {
	case n >= 1<<64:
		return math.MaxUint64
	case n >= 1<<63:
		return uint64(n)
	case n < -1<<63:
		return 1 << 63
	}
	return uint64(int64(n))
}

// pad applies a width and a precision in bytes; Go's fmt counts characters.
func pad(spec, text string) string {
	flags := strings.TrimRight(spec, "0123456789.")
	digits, after, cut := strings.Cut(spec[len(flags):], ".")
	width, _ := strconv.Atoi(digits) // nothing is 0, as in C
	if precision, _ := strconv.Atoi(after); cut {
		text = text[:min(precision, len(text))]
	}
	fill := strings.Repeat(" ", max(width-len(text), 0))
	if strings.Contains(flags, "-") {
		return text + fill
	}
	return fill + text
}

// quote writes a string as Lua source would.
func quote(text string) string {
	return `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", "\\\n", "\r", `\r`, "\x00", `\000`).Replace(text) + `"`
}
