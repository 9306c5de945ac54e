package policy_test

import (
	"fmt"
	"testing/fstest"

	"moonlatch/engine/policy"
)

func ExampleLoad() {
	folder := fstest.MapFS{"web.lua": {Data: []byte(`
local fw = require "moonlatch"
local input = fw.chain "input" { hook = "input", policy = "drop" }
input { "ssh", tpc = 22, fw.accept }
input { "web", tcp = "80,443", fw.accept }
`)}}
	_, err := policy.Load(folder, "web.lua", policy.Env{})
	fmt.Println(err)
	// Output:
	// web.lua:4: unknown field "tpc" in rule "ssh" (did you mean "tcp"?)
	// web.lua:5: rule "web": tcp: "80,443" is no port: write { 80, 443 } for a list and "6000-6100" for a range
}
