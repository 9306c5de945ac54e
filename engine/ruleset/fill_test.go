package ruleset

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go4.org/netipx"
)

// TestFills: the largest sets are left out of the text, until it holds no more than it may in all.
func TestFills(t *testing.T) {
	tests := []struct {
		name  string
		sizes []int
		want  []string
	}{
		{"nothing", []int{0}, nil},
		{"as much as fits", []int{textSize}, nil},
		{"one too large", []int{textSize + 1}, []string{"s04"}},
		{"one of several", []int{10, textSize + 1, 20}, []string{"s14"}},
		{"small ones that are too much together", []int{textSize / 2, textSize/2 - 10, 20}, []string{"s04"}},
		{"many", slices.Repeat([]int{textSize / 4}, 5), []string{"s04", "s14", "s24", "s34", "s44"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := &Ruleset{}
			for i, n := range tt.sizes {
				var b AddressesBuilder
				for k := range uint32(n) {
					b.Add(netipx.MustParseIPRange(r4(2*k, 0)))
				}
				r.Sets = append(r.Sets, &Set{Name: fmt.Sprint("s", i), Addrs: b.Addresses()})
			}
			var got []string
			for _, f := range r.Fills() {
				got = append(got, f.Set)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			text := r.Render(Options{Generation: 1}).String()
			if n := strings.Count(text, "elements"); n != len(tt.sizes)-len(tt.want)-strings.Count(fmt.Sprint(tt.sizes), "[0]") {
				t.Errorf("%d sets have their content in the text, and %v are left out", n, got)
			}
		})
	}
}
