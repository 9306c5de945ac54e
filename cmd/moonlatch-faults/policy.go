package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// kind is what a policy does to the client.
type kind string

const (
	good    kind = "good"    // lets in one port, in two base chains
	big     kind = "big"     // so does it, and holds a set that is filled in transactions of its own
	lockout kind = "lockout" // lets nothing in or out
	banning kind = "banning" // bans the client
	invalid kind = "invalid" // is no Lua
	refused kind = "refused" // is Lua, and the kernel refuses what it says
)

// bigSet is how many prefixes the big policy's set holds.
const bigSet = 6000

// allows is what may be in force while such a policy is on trial.
func (k kind) allows(variant state) states {
	switch k {
	case good, big:
		return set(variant)
	case lockout:
		return set(closed)
	case banning:
		return set(variant, closed)
	}
	return 0
}

func (k kind) text(variant state) string {
	switch k {
	case lockout:
		return `local fw = require "moonlatch"
fw.chain "input" { hook = "input", policy = "drop" }
fw.chain "output" { hook = "output", policy = "drop" }
`
	case invalid:
		return "local fw = = require\n"
	}
	port := firstPort - 1 + int(variant)
	text := fmt.Sprintf(`local fw = require "moonlatch"
local pre = fw.chain "pre" { hook = "prerouting", priority = "raw", policy = "drop" }
local input = fw.chain "input" { hook = "input", policy = "drop" }
pre { "own", udp = { %[1]d, %[2]d }, fw.accept }
input { "own", udp = %[1]d, fw.accept }
`, port, touchPort)
	switch k {
	case big:
		text += `input { "feed", src = fw.set "feed" { file = "feed.txt" }, fw.drop }
`
	case banning:
		text += fmt.Sprintf(`local touched = fw.stream "touched"
input { "touched", udp = %d, touched, fw.drop }
fw.on(touched, function(ev) fw.ban(ev.src, "1h", "touched") end)
`, touchPort)
	case refused:
		text += `input { "nonsense", "masquerade" }
`
	}
	return text
}

func (k kind) file(variant state) string {
	return fmt.Sprintf("%s%d.lua", k, variant)
}

// writePolicies writes every policy, and what guarded commands load, into a folder.
func writePolicies(folder string) error {
	for _, k := range []kind{good, big, lockout, banning, invalid, refused} {
		for v := variant1; v <= variant3; v++ {
			if err := os.WriteFile(filepath.Join(folder, k.file(v)), []byte(k.text(v)), 0o600); err != nil {
				return err
			}
		}
	}
	for name, text := range guardScripts() {
		if err := os.WriteFile(filepath.Join(folder, name+".nft"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	var feed strings.Builder
	for n := range bigSet {
		fmt.Fprintf(&feed, "10.%d.%d.0/25\n", n>>8, n&255)
	}
	return os.WriteFile(filepath.Join(folder, "feed.txt"), []byte(feed.String()), 0o600)
}
