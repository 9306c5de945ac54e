package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"moonlatch/engine/netns/netnstest"
)

// scriptFile tells a test process which script it is to run.
const scriptFile = "MOONLATCH_TEST_SCRIPT"

// TestScripts runs every script of testdata/script, each in a process and a
// network namespace of its own.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	must(t, err)
	if len(files) == 0 {
		t.Fatal("no scripts")
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command("/proc/self/exe", "-test.run=^TestScript$", "-test.v", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), scriptFile+"="+file)
			out := &lockedBuffer{}
			cmd.Stdout, cmd.Stderr = out, out
			must(t, netnstest.New(t).Start(cmd))
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestScript runs one script; it is TestScripts' other half.
func TestScript(t *testing.T) {
	file := os.Getenv(scriptFile)
	if file == "" {
		return // this is not that process
	}
	testscript.Run(t, testscript.Params{
		Files:               []string{file},
		RequireExplicitExec: true,
		Setup:               setUpScript,
		UpdateScripts:       os.Getenv("UPDATE") != "",
	})
}

// setUpScript makes `moonlatch` this test binary, working in the script's folder.
func setUpScript(e *testscript.Env) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := filepath.Join(e.WorkDir, ".bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	wrapper := "#!/bin/sh\n" + beCommand + "=1 exec " + self + ` --state "$WORK/state" --socket "$WORK/control.sock" "$@"` + "\n"
	e.Setenv("PATH", bin+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	e.Setenv("SCRIPTS", filepath.Join(filepath.Dir(filepath.Dir(mustGetwd())), "scripts"))
	e.Setenv("USER", "tester")
	for _, v := range os.Environ() { // what tells netnstest that this is a private namespace
		if len(v) > 10 && v[:10] == "MOONLATCH_" {
			e.Vars = append(e.Vars, v)
		}
	}
	return os.WriteFile(filepath.Join(bin, "moonlatch"), []byte(wrapper), 0o755)
}

func mustGetwd() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}
