package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"moonlatch/engine/control"
	"moonlatch/engine/netns"
	"moonlatch/engine/policytest"
	"moonlatch/engine/ruleset"
)

// testsFailed is what test ends with where a test failed, which has been shown.
type testsFailed struct{ error }

// testOptions are the flags of test.
type testOptions struct {
	format string
	run    string
}

func (a *app) testCommand() *cobra.Command { return a.testing("test [FILE|DIR...]", false) }

// testInside is what test runs in the private namespace.
const testInside = "test-inside"

func (a *app) testInsideCommand() *cobra.Command { return a.testing(testInside, true) }

func (a *app) testing(use string, inside bool) *cobra.Command {
	var o testOptions
	c := &cobra.Command{
		Use:    use,
		Hidden: inside,
		Short:  "Run the tests of policies: packets through the kernel, in a private namespace",
		Long: `Test runs the tests in files named *_test.lua, by default those in this folder and below. Each
sends packets through its policy, which is really loaded, in a private namespace, and
says what must become of them. See docs/testing.md.`,
		Example: `  moonlatch test
  moonlatch test --run ssh scripts/web_test.lua`,
		Args: cobra.ArbitraryArgs,
		RunE: func(c *cobra.Command, args []string) error {
			only, err := o.check()
			if err != nil {
				return usageError{err, c.CommandPath()}
			}
			if !inside {
				return a.enclosed(c.Context(), append([]string{testInside, "--format", o.format, "--run", o.run, "--state", a.state, "-o", a.output}, append([]string{"--"}, args...)...)...)
			}
			return a.test(c.Context(), args, only, o.format)
		},
	}
	c.Flags().StringVar(&o.format, "format", "plain", "`format` of what is printed: plain, tap or junit")
	c.Flags().StringVar(&o.run, "run", "", "run only tests whose names match the regular `expression`")
	return c
}

func (o testOptions) check() (*regexp.Regexp, error) {
	if o.format != "plain" && o.format != "tap" && o.format != "junit" {
		return nil, fmt.Errorf("--format is plain, tap or junit, not %q%s", o.format, ruleset.Suggest(o.format, []string{"plain", "tap", "junit"}))
	}
	if o.run == "" {
		return nil, nil
	}
	only, err := regexp.Compile(o.run)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	return only, nil
}

// enclosed runs this program again in a private namespace, with the same input and
// output, and ends as that one ended.
func (a *app) enclosed(ctx context.Context, args ...string) error {
	if err := netns.Available(); err != nil {
		return &control.Error{Code: control.NotPermitted, Message: fmt.Sprintf("packets are tried in a private namespace: %v", err)}
	}
	cmd := netns.Privileged(ctx, "/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, a.out, a.err
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return ended{code: exit.ExitCode()}
	}
	return err
}

// ended is the exit code of a part of this program that has said what there is to say.
type ended struct {
	error
	code int
}

// test runs the tests that paths name.
func (a *app) test(ctx context.Context, paths []string, only *regexp.Regexp, format string) error {
	files, err := testFiles(paths)
	if err != nil {
		return err
	}
	report := a.testReport(format)
	var broken []error
	failed := false
	for _, path := range files {
		err := a.testFile(ctx, path, only, func(r policytest.Result) {
			failed = failed || len(r.Failures) > 0
			report.test(r)
		})
		if err != nil {
			broken = append(broken, fmt.Errorf("%s: %w", path, err))
		}
	}
	if err := report.end(); err != nil {
		return err
	}
	switch {
	case len(broken) > 0:
		return brokenTests(errors.Join(broken...))
	case failed:
		return testsFailed{}
	}
	return nil
}

// brokenTests is the error of files that could not be run: by mistake of the author's,
// unless something says otherwise.
func brokenTests(err error) error {
	var told *control.Error
	if errors.As(err, &told) && told.Code != control.BadPolicy {
		return &control.Error{Code: told.Code, Message: err.Error()}
	}
	return &control.Error{Code: control.BadPolicy, Message: err.Error()}
}

// testFile runs the tests of one file. Their results name it by its path.
func (a *app) testFile(ctx context.Context, path string, only *regexp.Regexp, tell func(policytest.Result)) error {
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := policytest.Load(policytest.Config{Folder: root.FS(), Path: folder, State: a.state, Log: a.quietLog()}, filepath.Base(path))
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Run(ctx, only, func(r policytest.Result) {
		r.File = path
		tell(r)
	})
}

// testFiles finds the test files that paths name: files, and folders with all below.
func testFiles(paths []string) ([]string, error) {
	if len(paths) == 0 {
		paths = []string{"."}
	}
	var out []string
	for _, path := range paths {
		found := len(out)
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (name == path || strings.HasSuffix(name, "_test.lua")) {
				out = append(out, name)
			}
			return err
		})
		if err != nil {
			return nil, usageError{err, "moonlatch test"}
		}
		if len(out) == found {
			return nil, usageError{fmt.Errorf("%s holds no test: they are in files named *_test.lua", path), "moonlatch test"}
		}
	}
	return out, nil
}
