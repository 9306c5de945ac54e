package ruleset

import "strings"

// Raw is nft text that stands in the generation's inet table as it is, for what
// the language has no words for. It may hold anything but base chains, which
// would go on filtering when a trial has ended.
type Raw struct {
	Text string
	Pos  Pos // of its first line
}

func (v *validator) raw(r Raw) {
	if !paired(r.Text) {
		v.errorf(r.Pos, "fw.nft: braces and quotes must come in pairs")
	}
	for i, line := range strings.Split(r.Text, "\n") {
		parts := words(line)
		for n, w := range parts {
			if w == "hook" && n > 1 && parts[n-2] == "type" && n+1 < len(parts) {
				v.errorf(Pos{r.Pos.File, r.Pos.Line + i}, "fw.nft: a chain with a hook would outlive its trial: declare it with fw.chain %q { hook = %q } and write its rules there, as nft text if need be", "name", parts[n+1])
			}
		}
	}
}

// render writes the text line by line, each with its place.
func (r Raw) render(w *writer) {
	for i, line := range strings.Split(r.Text, "\n") {
		if line = strings.TrimSpace(line); line != "" {
			w.at(Pos{r.Pos.File, r.Pos.Line + i}, "\t%s", w.resolve(Text(line)))
		}
	}
}
