package sandbox

import "testing"

func TestIncomplete(t *testing.T) {
	for source, want := range map[string]bool{
		"1 + 1": false, "x = 1": false, "for i = 1, 2 do": true, "function f()": true, "f(": true, "{ 1,": true, "1 +": true, "x = [[ a": true,
		"end": false, "x = = 1": false, "": false, "if x then return end": false, "--[[ a": true, "'abc": false,
	} {
		if got := Incomplete(source); got != want {
			t.Errorf("%q is incomplete: %v, want %v", source, got, want)
		}
	}
}
