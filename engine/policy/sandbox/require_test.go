package sandbox

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	lua "github.com/yuin/gopher-lua"
)

func file(source string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(source)} }

func TestRequire(t *testing.T) {
	files := fstest.MapFS{
		"policy.lua": file(`
			local a, b = require "a", require "lib.b"
			print(a.name, b.name, require "a" == a, require "nothing")`),
		"a.lua":       file(`print "a runs" return {name = "a"}`),
		"lib/b.lua":   file(`local a = require "a" return {name = "b of " .. a.name}`),
		"nothing.lua": file(``),
	}
	var out []string
	if err := runFiles(t, Config{Print: func(s string) { out = append(out, s) }}, files); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a runs", "a\tb of a\ttrue\ttrue"}, out); diff != "" {
		t.Error(diff)
	}
}

func TestRequireErrors(t *testing.T) {
	for source, want := range map[string]string{
		`require "lisst"`:                         `policy.lua:1: no module "lisst": there is no file lisst.lua in the policy's folder (did you mean "lists"?)`,
		`require "moonltch"`:                      `(did you mean "moonlatch"?)`,
		`require "lib.bb"`:                        `there is no file lib/bb.lua in the policy's folder (did you mean "lib.b"?)`,
		`require "lib"`:                           `no module "lib": there is no file lib.lua`,
		`require "../secret"`:                     `bad module name "../secret"`,
		`require "..secret"`:                      `bad module name "..secret"`,
		`require "/etc/passwd"`:                   `bad module name "/etc/passwd"`,
		`require "lib/b"`:                         `bad module name "lib/b"`,
		`require ""`:                              `bad module name ""`,
		`require "a..b"`:                          `bad module name "a..b"`,
		`require(("x"):rep(300))`:                 `bad module name`,
		`require()`:                               `bad argument #1 to require (string expected, got nil)`,
		`require "folder"`:                        `module "folder": folder.lua is not a regular file`,
		`require "syntax"`:                        `syntax.lua:2:9: syntax error near "oops"`,
		`require "undefined"`:                     `undefined.lua:1: undefined name "drp"`,
		`require "fails"`:                         `fails.lua:3: no`,
		`require "cycle"`:                         `other.lua:1: cyclic require: policy -> cycle -> other -> cycle`,
		`require "self"`:                          `self.lua:1: cyclic require: policy -> self -> policy`,
		`require "huge"`:                          `huge.lua: longer than 256 KiB`,
		`pcall(require, "fails") require "fails"`: `fails.lua:3: no`,
	} {
		files := fstest.MapFS{
			"policy.lua":    file(source),
			"lists.lua":     file(""),
			"lib/b.lua":     file(""),
			"syntax.lua":    file("\nif oops oops"),
			"undefined.lua": file("return drp"),
			"fails.lua":     file("\n\nerror 'no'"),
			"cycle.lua":     file(`require "other"`),
			"other.lua":     file(`require "cycle"`),
			"self.lua":      file(`require "policy"`),
			"huge.lua":      {Data: bytes.Repeat([]byte("-"), 300<<10)},
			"folder.lua":    {Mode: fs.ModeDir},
		}
		s := New(Config{Files: files})
		defer s.Close()
		s.Provide("moonlatch", s.L().NewTable())
		wantError(t, source, s.Run("policy.lua"), want)
	}
}

// The position of a syntax error in a module keeps its column.
func TestRequireKeepsColumn(t *testing.T) {
	err := runFiles(t, Config{}, fstest.MapFS{
		"policy.lua": file("\nrequire 'm'"),
		"m.lua":      file("local x = = 1"),
	})
	var e *Error
	if !errors.As(err, &e) || e.File != "m.lua" || e.Line != 1 || e.Column != 11 {
		t.Fatalf("got %#v", err)
	}
	if want := "in require\npolicy.lua:2: in the file\n"; e.Traceback != want {
		t.Errorf("traceback %q, want %q", e.Traceback, want)
	}
}

// What a policy reads is fixed by its load.
func TestRequireInHandler(t *testing.T) {
	s := New(Config{Files: fstest.MapFS{"a.lua": file("return 1"), "b.lua": file("return 2"), "policy.lua": file(`require "a"`)}})
	defer s.Close()
	if err := s.Run("policy.lua"); err != nil {
		t.Fatal(err)
	}
	fn, err := s.Load("console", []byte("return require(...)"))
	if err != nil {
		t.Fatal(err)
	}
	if ret, err := s.Call(fn, 1, lua.LString("a")); err != nil || ret[0] != lua.LNumber(1) {
		t.Errorf("got %v, %v", ret, err)
	}
	_, err = s.Call(fn, 1, lua.LString("b"))
	wantError(t, "require b", err, `console:1: module "b" must be required while the policy loads`)
}

// On a real folder nothing leads out of it: the caller passes the FS of an os.Root.
func TestFolder(t *testing.T) {
	outside, folder := t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(outside, "secret.lua", "return 'secret'")
	write(folder, "policy.lua", "return require(...)")
	write(folder, "list.txt", "192.0.2.1\n")
	for link, to := range map[string]string{
		"escape.lua": filepath.Join(outside, "secret.lua"),
		"up.lua":     "../" + filepath.Base(outside) + "/secret.lua",
		"loop.lua":   "loop.lua",
		"inside.txt": "list.txt",
	} {
		if err := os.Symlink(to, filepath.Join(folder, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(folder, "pipe.lua"), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s := New(Config{Files: root.FS()})
	defer s.Close()
	for _, name := range []string{"escape.lua", "up.lua", "loop.lua", "pipe.lua", "../x", "/etc/passwd", "", ".", "list.txt/x"} {
		if data, err := s.ReadFile(name); err == nil {
			t.Errorf("read %q: %q", name, data)
		}
	}
	_, err = s.ReadFile("../x")
	if want := `"../x" is not a name inside the policy's folder`; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"inside.txt", "list.txt"} {
		if data, err := s.ReadFile(name); err != nil || string(data) != "192.0.2.1\n" {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

func TestFilesAreTheWholePolicy(t *testing.T) {
	files := fstest.MapFS{
		"policy.lua": file(`local m = require "m" print(m)`),
		"m.lua":      file("return 5"),
		"list.txt":   file("192.0.2.1"),
		"unused.lua": file(""),
	}
	s := New(Config{Files: files, Print: func(string) {}})
	defer s.Close()
	if err := s.Run("policy.lua"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReadFile("list.txt"); err != nil {
		t.Fatal(err)
	}
	got := s.Files()
	want := map[string][]byte{"policy.lua": files["policy.lua"].Data, "m.lua": files["m.lua"].Data, "list.txt": files["list.txt"].Data}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A file that changes later is not read again.
	files["list.txt"] = file("changed")
	if data, err := s.ReadFile("list.txt"); err != nil || string(data) != "192.0.2.1" {
		t.Errorf("got %q, %v", data, err)
	}
}

func TestFilesHaveALimit(t *testing.T) {
	big := &fstest.MapFile{Data: make([]byte, maxFiles/2+1)}
	s := New(Config{Files: fstest.MapFS{"a": big, "b": big, "c": file("x")}})
	defer s.Close()
	if _, err := s.ReadFile("a"); err != nil {
		t.Error(err)
	}
	if _, err := s.ReadFile("b"); err == nil {
		t.Error("read more than the limit")
	}
	if _, err := s.ReadFile("c"); err != nil {
		t.Error(err)
	}
}

func TestNoFiles(t *testing.T) {
	s := New(Config{})
	defer s.Close()
	err := s.Run("policy.lua")
	wantError(t, "", err, "policy.lua: ")
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
