package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/engine/policy/sandbox"
)

func (a *app) consoleCommand() *cobra.Command {
	var write bool
	var source string
	c := &cobra.Command{
		Use:   "console [FILE]",
		Short: "Look into the running policy, with Lua",
		Long: `Console evaluates Lua in the running policy's sandbox, or in that of the policy in FILE,
which is loaded and not applied. Beside fw, it knows the policy's sets, chains, streams,
detectors and callbacks by these names, and keeps the globals that you define. The policy's
own locals it cannot see.

It changes nothing unless --write is given: then fw.ban, fw.unban, fw.remember and so on do
what they do in a handler, and each line is written to the daemon's log. What runs too long
is stopped.

TAB completes, "help NAME" explains a name, and Ctrl-D leaves. Without a terminal, it reads
from standard input, and stops at the first error.`,
		Example: `  moonlatch console
  moonlatch console -e 'fw.bans()'
  moonlatch console -e 'sets.admins' -o json policy.lua`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			s, err := a.console(c.Context(), args, write)
			if err != nil {
				return err
			}
			defer s.close()
			f, isFile := c.InOrStdin().(*os.File)
			switch {
			case c.Flags().Changed("eval"):
				return s.run(source)
			case isFile && term.IsTerminal(int(f.Fd())) && a.output == "text":
				return s.interact(f)
			}
			return s.read(c.InOrStdin())
		},
	}
	c.Flags().BoolVar(&write, "write", false, "let it ban, unban, remember and so on")
	c.Flags().StringVarP(&source, "eval", "e", "", "evaluate this `code` and leave")
	return c
}

// console is a session with a policy's sandbox.
type console struct {
	*app
	name  string
	write bool
	ask   func(control.ConsoleRequest) (control.ConsoleResult, error)
	close func()
	seen  uint64 // the generation of the last answer
}

// console begins a session, with the daemon or with the policy of a file.
func (a *app) console(ctx context.Context, args []string, write bool) (*console, error) {
	s := &console{app: a, write: write, name: fmt.Sprintf("%d.%d", os.Getpid(), time.Now().UnixNano()), close: func() {}}
	if len(args) > 0 {
		p, _, err := engine.Load(args[0], a.quietLog())
		if err != nil {
			return nil, err
		}
		s.close = p.Close
		s.ask = func(req control.ConsoleRequest) (control.ConsoleResult, error) { return engine.Evaluate(p, req), nil }
		return s, nil
	}
	service, err := a.service(ctx)
	if err != nil {
		return nil, err
	}
	s.ask = func(req control.ConsoleRequest) (control.ConsoleResult, error) { return service.Console(ctx, req) }
	return s, nil
}

// evaluate asks for one piece of code to be evaluated.
func (s *console) evaluate(source string) (control.ConsoleResult, error) {
	return s.ask(control.ConsoleRequest{Session: s.name, Source: source, Write: s.write, By: caller()})
}

// run evaluates one piece of code and prints what came of it.
func (s *console) run(source string) error {
	r, err := s.evaluate(source)
	if err != nil {
		return err
	}
	if s.output == "json" {
		if err := s.print(r, nil); err != nil || r.Error == "" {
			return err
		}
		return ended{code: exitFailure} // the document says why
	}
	fmt.Fprint(s.out, textOf(r))
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

// textOf is what a result prints, but for its error.
func textOf(r control.ConsoleResult) string {
	var b strings.Builder
	b.WriteString(r.Output)
	for _, text := range r.Texts {
		b.WriteString(text + "\n")
	}
	return b.String()
}

// read evaluates what comes line by line, until something fails.
func (s *console) read(in io.Reader) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	pending := ""
	for lines.Scan() {
		pending += lines.Text() + "\n"
		if sandbox.Incomplete(pending) || strings.TrimSpace(pending) == "" {
			continue
		}
		if err := s.run(pending); err != nil {
			return err
		}
		pending = ""
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("standard input: %w", err)
	}
	if strings.TrimSpace(pending) != "" {
		return s.run(pending)
	}
	return nil
}
