package ruleset

import (
	"fmt"
	"strings"
)

// maxWord bounds the words that Suggest looks at.
const maxWord = 100

// Suggest returns ` (did you mean "x"?)` for the known name nearest to word, or
// nothing when none is near enough to be what the author meant.
func Suggest(word string, known []string) string {
	if len(word) > maxWord {
		return "" // no slip of the pen: and the work grows with the length
	}
	best, at := "", len(word)/3+2
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
// their neighbour that turn a into b (optimal string alignment), letter case aside.
func distance(a, b string) int {
	a, b = strings.ToLower(a), strings.ToLower(b)
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, last, row := rows[0], rows[1], rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := b2i(a[i-1] != b[j-1])
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = last, row, before
	}
	return rows[1][len(b)]
}
