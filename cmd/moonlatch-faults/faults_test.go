package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain makes the test binary the program itself where it starts itself again.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && (os.Args[1] == insideWord || os.Args[1] == gateWord) {
		main()
		return
	}
	var err error
	if builds, err = os.MkdirTemp("", "faults-test"); err != nil {
		panic(err)
	}
	flag.Set("test.parallel", "8") // most of these tests wait; the command line may say otherwise
	code := m.Run()
	os.RemoveAll(builds)
	os.Exit(code)
}

// The program under test is built once, in a folder of its own.
var (
	builds string
	built  sync.Once
)

// build builds the program under test.
func build(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("kernel test (-short)")
	}
	path := filepath.Join(builds, "moonlatch")
	built.Do(func() {
		if out, err := exec.Command("go", "build", "-o", path, "moonlatch/cmd/moonlatch").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	return path
}

// play runs the program and returns its report.
func play(t *testing.T, args ...string) (report, error) {
	t.Helper()
	var out, errOut bytes.Buffer
	err := outside(t.Context(), append(args, "--output", "json"), &out, &errOut)
	var r report
	if jsonErr := json.Unmarshal(out.Bytes(), &r); jsonErr != nil {
		t.Fatalf("%v, %v\n%s%s", err, jsonErr, out.Bytes(), errOut.Bytes())
	}
	return r, err
}

// hold fails the test if a promise was broken. That a busy machine let lives not be judged is no failure.
func (r report) hold(t *testing.T, err error) {
	t.Helper()
	if len(r.Broken)+len(r.Failures) > 0 {
		var text strings.Builder
		r.print(&text)
		t.Errorf("%v\n%s", err, text.String())
	}
}

// TestPromises is a short cut of make faults: lives that never were before.
func TestPromises(t *testing.T) {
	t.Parallel()
	moonlatch, seed := build(t), rand.Uint64N(1e9)+1
	t.Logf("--seed=%d", seed)
	r, err := play(t, "--moonlatch", moonlatch, fmt.Sprint("--seed=", seed), "--faults=20", "--steps=2", "--parallel=8", "--within=15s")
	r.hold(t, err)
	if r.Faults == 0 || r.Bursts == 0 {
		t.Errorf("%d faults, %d bursts of probes", r.Faults, r.Bursts)
	}
}

// seedOf finds the first seed whose first life begins with such a step, and no other fault.
func seedOf(wanted func(step) bool) string {
	for seed := uint64(1); ; seed++ {
		if s := newLife(seed, 0, 1, "")[0]; len(s.faults) == 0 && wanted(s) {
			return fmt.Sprint("--seed=", seed)
		}
	}
}

// TestPowerCuts lets the power fail at every boundary of the store, while a policy with a large set
// is applied and confirmed.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	r, err := play(t, "--moonlatch", build(t), seedOf(func(s step) bool { return s.op == opPower && s.policy == big }), "--life=0", "--steps=1")
	r.hold(t, err)
	if n := r.Injected[faultPower]; n < 10 {
		t.Errorf("only %d power cuts", n)
	}
}

// TestBrokenPromisesShow plays lives, of one step each, of a moonlatch that breaks its promises.
func TestBrokenPromisesShow(t *testing.T) {
	t.Parallel()
	moonlatch := build(t)
	tests := []struct {
		name, script string // of a command line in $*
		step         func(step) bool
		want         promise
	}{
		{
			"confirms nothing", `case "$*" in *" confirm") exit 0 ;; esac`,
			func(s step) bool { return s.op == opReboot }, notRestored,
		},
		{
			"tries for longer", `case "$*" in *lockout*--confirm*) set -- "$1" "$2" "$3" "$4" "$5" "$6" "$7" 1h ;; esac`,
			func(s step) bool { return s.op == opTrial && s.policy == lockout && s.end == endExpire }, lockedOut,
		},
		{
			"bans nobody", `case "$*" in *" ban "*) exit 0 ;; esac`,
			func(s step) bool { return s.op == opBan && s.ban > time.Minute }, banLost,
		},
		{
			"restores nothing", `case "$*" in *" restore") exit 0 ;; esac`,
			func(s step) bool { return s.op == opReboot && !s.daemon }, wrongPolicy,
		},
		{"has no status", `case "$*" in *" status "*) exit 1 ;; esac`, func(step) bool { return true }, noAnswer},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			liar := filepath.Join(t.TempDir(), "moonlatch")
			text := fmt.Sprintf("#!/bin/sh\n%s\nexec %s \"$@\"\n", tt.script, moonlatch)
			if err := os.WriteFile(liar, []byte(text), 0o700); err != nil {
				t.Fatal(err)
			}
			r, _ := play(t, "--moonlatch", liar, seedOf(tt.step), "--life=0", "--steps=1")
			for _, a := range slices.Concat(r.Broken, r.Unjudged) { // the machine may be busy
				if slices.ContainsFunc(a.Violations, func(v violation) bool { return v.Promise == tt.want }) {
					return
				}
			}
			t.Errorf("%q is not among the broken promises: %+v %+v", tt.want, r.Broken, r.Unjudged)
		})
	}
}
