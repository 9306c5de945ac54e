package sandbox

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	lua "github.com/yuin/gopher-lua"
)

// load makes a sandbox and the function that a source returns when it runs.
func load(t testing.TB, cfg Config, source string) (*State, *lua.LFunction) {
	t.Helper()
	s := New(cfg)
	t.Cleanup(s.Close)
	chunk, err := s.Load("policy.lua", []byte(source))
	if err != nil {
		t.Fatal(err)
	}
	ret, err := s.Call(chunk, 1)
	if err != nil {
		t.Fatal(err)
	}
	fn, ok := ret[0].(*lua.LFunction)
	if !ok {
		t.Fatalf("%s returned %v", source, ret[0])
	}
	return s, fn
}

// run runs a policy of one file, policy.lua.
func run(t testing.TB, cfg Config, source string) error {
	t.Helper()
	return runFiles(t, cfg, fstest.MapFS{"policy.lua": {Data: []byte(source)}})
}

func runFiles(t testing.TB, cfg Config, files fstest.MapFS) error {
	t.Helper()
	cfg.Files = files
	s := New(cfg)
	t.Cleanup(s.Close)
	return s.Run("policy.lua")
}

// eval is what a source prints, one line per print.
func eval(t testing.TB, source string) string {
	t.Helper()
	var out strings.Builder
	err := run(t, Config{Print: func(text string) { out.WriteString(text + "\n") }}, source)
	if err != nil {
		t.Fatalf("%s\n%v", source, err)
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// wantError checks that err is an *Error whose text has a part.
func wantError(t testing.TB, source string, err error, part string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Errorf("%.100s: got %v, want an Error with %q", source, err, part)
	} else if !strings.Contains(e.Error(), part) {
		t.Errorf("%.100s: got %q, want %q in it", source, e.Error(), part)
	}
}
