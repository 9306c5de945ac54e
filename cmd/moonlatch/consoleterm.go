package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"moonlatch/engine/control"
	"moonlatch/engine/policy"
	"moonlatch/engine/policy/sandbox"
	"moonlatch/engine/ruleset"
)

// screen is a terminal's two halves.
type screen struct {
	io.Reader
	io.Writer
}

// interact is the console on a terminal: it edits lines, and goes on after errors.
func (s *console) interact(f *os.File) error {
	before, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return fmt.Errorf("terminal: %w", err)
	}
	defer term.Restore(int(f.Fd()), before)
	t := term.NewTerminal(screen{f, s.out}, "> ")
	if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
		_ = t.SetSize(width, height) // it fails where the terminal has gone
	}
	t.AutoCompleteCallback = func(line string, pos int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		return s.complete(t, line, pos)
	}
	t.History = openHistory()
	return s.loop(t)
}

func (s *console) loop(t *term.Terminal) error {
	pending := ""
	for {
		t.SetPrompt(map[bool]string{true: "> ", false: ">> "}[pending == ""])
		line, err := t.ReadLine()
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(t)
			return nil
		case err != nil && !errors.Is(err, term.ErrPasteIndicator):
			return fmt.Errorf("terminal: %w", err)
		}
		if pending == "" {
			word, topic, _ := strings.Cut(strings.TrimSpace(line), " ")
			switch word {
			case "exit", "quit":
				return nil
			case "help":
				fmt.Fprint(t, explainName(strings.TrimSpace(topic)))
				continue
			case "":
				continue
			}
		}
		pending += line + "\n"
		if sandbox.Incomplete(pending) && line != "" { // an empty line ends what cannot end
			continue
		}
		s.show(t, pending)
		pending = ""
	}
}

// show evaluates and writes the result; no error ends the session.
func (s *console) show(t *term.Terminal, source string) {
	r, err := s.evaluate(source)
	if err != nil {
		fmt.Fprintln(t, path{s.colours()}.paint(red, err.Error()))
		return
	}
	if s.seen != 0 && r.Generation != s.seen {
		fmt.Fprintf(t, "generation %d is in force now: what you defined before is gone\n", r.Generation)
	}
	s.seen = r.Generation
	fmt.Fprint(t, textOf(r))
	if r.Error == "" {
		return
	}
	fmt.Fprintln(t, path{s.colours()}.paint(red, r.Error))
	if strings.Count(r.Traceback, "\n") > 0 {
		fmt.Fprintln(t, path{s.colours()}.paint(dim, r.Traceback))
	}
}

// complete completes what is before the cursor as far as it is certain, and lists
// the choices where it is not.
func (s *console) complete(t *term.Terminal, line string, pos int) (string, int, bool) {
	r, err := s.ask(control.ConsoleRequest{Session: s.name, Source: line[:pos], Complete: true})
	if err != nil || len(r.Completions) == 0 {
		return line, pos, true
	}
	common := r.Completions[0]
	for _, c := range r.Completions {
		for !strings.HasPrefix(c, common) {
			common = common[:len(common)-1]
		}
	}
	if len(common) <= pos && len(r.Completions) > 1 {
		start := strings.LastIndexAny(line[:pos], " ({[,=#-+*/%^<>~;") + 1
		var words []string
		for _, c := range r.Completions {
			words = append(words, c[min(start, len(c)):])
		}
		fmt.Fprintln(t, strings.Join(words, "  "))
		return line, pos, true
	}
	return common + line[pos:], len(common), true
}

// explainName explains a name of the language.
func explainName(topic string) string {
	if topic == "" {
		return "Lua, and beside it: fw, sets, chains, streams, detectors, callbacks. TAB completes, help NAME explains (help fw.ban), Ctrl-D leaves.\n"
	}
	at := max(strings.LastIndexAny(topic, ".:"), 0)
	section, name := strings.Replace(topic[:at], "fw", "moonlatch", 1), strings.TrimLeft(topic[at:], ".:")
	var known []string
	for _, s := range policy.Reference() {
		for _, e := range s.Entries {
			if e.Name == name && (s.Title == section || section == "") {
				return explained(s.Title, e)
			}
			known = append(known, strings.Replace(s.Title, "moonlatch", "fw", 1)+"."+e.Name)
		}
	}
	return fmt.Sprintf("there is nothing about %q%s\n", topic, ruleset.Suggest(topic, slices.Clip(known)))
}

func explained(section string, e policy.Entry) string {
	out := fmt.Sprintf("%s, of %s: %s\n", e.Name, section, e.Doc)
	if e.Takes != "" {
		out += "  takes  " + e.Takes + "\n"
	}
	if e.Example != "" {
		out += "  e.g.   " + e.Example + "\n"
	}
	return out
}
