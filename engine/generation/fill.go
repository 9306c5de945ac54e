package generation

import (
	"bytes"
	"fmt"
	"net/netip"
	"path"

	"moonlatch/engine/ruleset"
)

// setFile is the file of a large set's content in a generation's folder.
func setFile(f ruleset.Fill) string { return path.Join("sets", string(f.Family), f.Set) }

// writeFill writes a set's content, one prefix a line.
func writeFill(f ruleset.Fill) []byte {
	var b []byte
	for _, p := range f.Prefixes {
		b = append(p.AppendTo(b), '\n')
	}
	return b
}

// readFill is the inverse of writeFill.
func readFill(name string, content []byte) (ruleset.Fill, error) {
	f := ruleset.Fill{Family: ruleset.Family(path.Base(path.Dir(name))), Set: path.Base(name)}
	f.Prefixes = make([]netip.Prefix, 0, bytes.Count(content, []byte("\n")))
	for line := range bytes.Lines(content) {
		p, err := netip.ParsePrefix(string(bytes.TrimSuffix(line, []byte("\n"))))
		if err != nil {
			return f, fmt.Errorf("line %d: %w", len(f.Prefixes)+1, err)
		}
		f.Prefixes = append(f.Prefixes, p)
	}
	return f, nil
}
