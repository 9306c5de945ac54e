package policy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestListLines reads files of many kilobytes, whose lines begin and end anywhere, as if each line were alone.
func TestListLines(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		var file strings.Builder
		var want []string
		for number := 1; file.Len() < 300_000; number++ {
			text := strings.Repeat("x", random.IntN(60))
			switch random.IntN(1000) {
			case 0:
				text = strings.Repeat("long", 40_000)
			case 1:
				text = ""
			}
			fmt.Fprintf(&file, "%s%s\n", text, []string{"", "\r", " # a comment", "#"}[random.IntN(4)])
			if text != "" {
				want = append(want, fmt.Sprint(number, text))
			}
		}
		data := file.String()
		if round%2 == 0 {
			data = "\ufeff" + strings.TrimSuffix(data, "\n")
		}
		var got []string
		for number, text := range listLines([]byte(data)) {
			got = append(got, fmt.Sprint(number, text))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("lines (-want +got):\n%.2000s", diff)
		}
	}
}
