package detect

import (
	"strings"
	"testing"
	"time"
)

// FuzzParseKey: what is accepted as a key is one that a detector takes, and its
// own words say the same.
func FuzzParseKey(f *testing.F) {
	for _, words := range []string{"src", "dst", "src dport", "dst src", "src/24", "src/48 dport", "src/7", "src/129", "src/", "dport dport", ""} {
		f.Add(words)
	}
	f.Fuzz(func(t *testing.T, words string) {
		k, bits4, bits6, err := ParseKey(strings.Fields(words)...)
		if err != nil {
			return
		}
		spec := Spec{Name: "x", Count: Events, Per: k, Bits4: bits4, Bits6: bits6, Over: 1, Within: time.Second}
		if err := spec.Validate(); err != nil {
			t.Errorf("%q: %v", words, err)
		}
		again := strings.Fields(strings.NewReplacer(`"`, "", ",", "", "{", "", "}", "").Replace(k.String()))
		if same, _, _, err := ParseKey(again...); same != k || err != nil {
			t.Errorf("%q: %s is read as %s, %v", words, k, same, err)
		}
	})
}
