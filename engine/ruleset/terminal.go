package ruleset

import (
	"slices"
	"strings"
)

// divideText splits nft text before the statement that ends the rule, such as
// "accept" or "dnat ip to 192.0.2.1", if it has one. nft refuses every
// statement behind that one, so the rule's counter must stand before it.
func divideText(text string) (before, end string) {
	parts := words(text)
	depth := 0
	for i, w := range parts {
		switch w {
		case "{":
			depth++
		case "}":
			depth--
		}
		if depth == 0 && ends(parts, i) {
			return strings.Join(parts[:i], " "), strings.Join(parts[i:], " ")
		}
	}
	return text, ""
}

// ends reports whether the word at i starts a statement that ends the rule.
func ends(parts []string, i int) bool {
	switch parts[i] {
	case "accept", "drop", "continue", "return":
		return i == len(parts)-1
	case "jump", "goto":
		return i == len(parts)-2
	case "reject", "queue", "masquerade", "snat", "dnat", "redirect":
		return i == 0 || !isKey(parts[i-1])
	}
	return false
}

// isKey reports whether the word behind w is a value to compare with, as in
// "ct status dnat" and "icmp type redirect".
func isKey(w string) bool {
	return slices.Contains([]string{"status", "type", "==", "!=", ","}, w)
}
