package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"moonlatch/engine/policy"
	"moonlatch/engine/policytest"
)

// luarc tells the Lua language server which Lua a policy is, and where the
// definitions of the modules are.
const luarc = `{
  "runtime.version": "Lua 5.1",
  "runtime.builtin": { "coroutine": "disable", "debug": "disable", "ffi": "disable", "io": "disable", "jit": "disable", "os": "disable", "package": "disable" },
  "workspace.library": [".luals"],
  "workspace.checkThirdParty": false
}
`

// writeDefinitions writes the definitions of the modules into a policy's folder, and the
// language server's configuration where there is none.
func writeDefinitions(folder string) error {
	library := filepath.Join(folder, ".luals")
	if err := os.MkdirAll(library, 0o755); err != nil {
		return fmt.Errorf("definitions for the Lua language server: %w", err)
	}
	for name, text := range map[string]string{"moonlatch.d.lua": policy.Definitions(), "moonlatch.test.d.lua": policytest.Definitions()} {
		if err := writeNew(filepath.Join(library, name), text, true); err != nil {
			return err
		}
	}
	config := filepath.Join(folder, ".luarc.json")
	if _, err := os.Lstat(config); !errors.Is(err, fs.ErrNotExist) {
		return err // somebody's own
	}
	return writeNew(config, luarc, false)
}
