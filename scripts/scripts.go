// Package scripts holds the policies that ship with Moonlatch. They are meant to
// be read, copied and changed.
package scripts

import (
	"embed"
	"io/fs"
)

//go:embed *.lua lists
var policies embed.FS

// Policies returns the folder of the policies, "web.lua" among them, with the
// modules and lists that they take in. It is read-only and safe for concurrent use.
func Policies() fs.FS { return policies }
