package engine

import (
	"encoding/json"
	"testing"

	"moonlatch/engine/control"
)

// FuzzProtectedDocument: whatever a file of protected addresses holds, what is read from it can be protected, and reads the same again.
func FuzzProtectedDocument(f *testing.F) {
	for _, seed := range []string{
		``, `{}`, `{"apiVersion":"moonlatch/v1"}`, `{"apiVersion":"moonlatch/v1","protected":[{"target":"192.0.2.1","note":"me","added":"2026-01-02T03:04:05Z"}]}`,
		`{"apiVersion":"moonlatch/v1","protected":[{"target":"2001:db8::/48"},{"target":"::ffff:192.0.2.1"},{"target":"fe80::1%eth0"}]}`,
		`{"apiVersion":"moonlatch/v1","protected":[{"target":"0.0.0.0/0"}]}`, `{"apiVersion":"moonlatch/v1","protected":[{"target":"192.0.2.1","note":"\u0007"}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := parseProtectedDocument(data)
		if err != nil {
			return
		}
		for _, e := range doc.Protected {
			p, err := parseProtected(e.Target)
			if err != nil || p.Bits() == 0 || p != p.Masked() || e.Owner != control.OwnerUser {
				t.Fatalf("%+v was read: %v", e, err)
			}
		}
		text, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseProtectedDocument(text)
		if err != nil || len(again.Protected) != len(doc.Protected) {
			t.Fatalf("read again: %+v, %v", again, err)
		}
	})
}
