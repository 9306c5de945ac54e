package sandbox

import (
	"fmt"
	"slices"
	"strings"
)

// removed are names that Lua programmers expect and a policy does not have, with
// what to use instead.
var removed = map[string]string{
	"os":             "it has no clock and starts nothing; use fw.every, fw.after, fw.fact and the time of an event",
	"io":             "read a file of the policy's folder with fw.lines",
	"debug":          "errors carry a traceback",
	"package":        "require finds NAME.lua in the policy's folder",
	"coroutine":      "use fw.every and fw.after",
	"channel":        "handlers run one after the other",
	"load":           "put the code into a file and require it",
	"loadstring":     "put the code into a file and require it",
	"dofile":         "use require",
	"loadfile":       "use require",
	"module":         "return a table from the file instead",
	"getfenv":        "there are no environments",
	"setfenv":        "there are no environments",
	"newproxy":       "use setmetatable",
	"collectgarbage": "memory is not its business",
	"_printregs":     "errors carry a traceback",
	"string.dump":    "functions cannot be turned into text",
	"string.gfind":   "use string.gmatch",
	"table.getn":     "use #t",
	"table.foreach":  "use for ... in pairs(t)",
	"table.foreachi": "use for ... in ipairs(t)",
	"table.maxn":     "use #t",
	"table.unpack":   "use unpack(t)",
	"math.mod":       "use the operator %",
}

func notAvailable(name, hint string) string {
	return fmt.Sprintf("%s is not available in a policy: %s", name, hint)
}

func undefined(name string, known []string) string {
	if hint, ok := removed[name]; ok {
		return notAvailable(name, hint)
	}
	return fmt.Sprintf("undefined name %q%s", name, suggest(name, known))
}

func noGlobals(name string) string {
	return fmt.Sprintf("cannot define the global %q: use local %s", name, name)
}

// maxWord bounds the words that suggest looks at.
const maxWord = 100

// suggest is ` (did you mean "x"?)` for the known name nearest to word, or
// nothing when none is near enough to be what the author meant.
func suggest(word string, known []string) string {
	if len(word) > maxWord {
		return "" // the work grows with the length
	}
	slices.Sort(known) // so that ties do not depend on the order of a map
	best, at := "", min(len(word)/3+2, len(word))
	for _, k := range known {
		if d := distance(word, k); d < at {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour that turn a into b, letter case aside.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replace := last[j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
