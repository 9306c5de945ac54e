package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"moonlatch/engine/control"
)

// initOptions are the flags of init.
type initOptions struct {
	sshPort uint16
	admins  []string
	public  []string
	force   bool
	yes     bool
	luals   bool
}

func (a *app) initCommand() *cobra.Command {
	var o initOptions
	c := &cobra.Command{
		Use:   "init [FILE]",
		Short: "Write a first policy that fits this machine",
		Long: `Init looks at the interfaces and at the ports that programs listen on, asks three
questions, and writes a commented policy, moonlatch.lua unless FILE says otherwise.
It changes no rule: check the policy, then apply it.

Return takes the answer in brackets, and none is an answer, too. Flags answer the
questions beforehand. Without a terminal, or with --yes, nothing is asked: what is not
said then is the port that sshd has and the address that you come from, and every port
that is open now stays open.`,
		Example: `  moonlatch init
  moonlatch init --ssh-port 22 --admin 192.0.2.7 --public tcp:80,tcp:443 --yes web.lua`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file := "moonlatch.lua"
			if len(args) > 0 {
				file = args[0]
			}
			return a.init(c, file, o)
		},
	}
	flags := c.Flags()
	flags.Uint16Var(&o.sshPort, "ssh-port", 0, "the `port` that sshd listens on (default: that of your session, or 22)")
	flags.StringSliceVar(&o.admins, "admin", nil, "an `address` or prefix that is never banned (default: the one that you come from); may be given more than once; none for none")
	flags.StringSliceVar(&o.public, "public", nil, "`ports` that stay open, as tcp:443 (default: all that are open now); none for none")
	flags.BoolVar(&o.force, "force", false, "overwrite the file")
	flags.BoolVar(&o.yes, "yes", false, "ask nothing")
	flags.BoolVar(&o.luals, "luals", false, "write for the Lua language server what it needs to know, beside FILE; only that where FILE is there already")
	return c
}

// initialized is what init reports.
type initialized struct {
	APIVersion string   `json:"apiVersion"`
	File       string   `json:"file"`
	SSHPort    uint16   `json:"sshPort"`
	Admins     []string `json:"admins"`
	Public     []string `json:"public"`
	LuaLS      bool     `json:"luals,omitempty"`
}

func (a *app) init(c *cobra.Command, file string, o initOptions) error {
	if o.luals {
		if err := writeDefinitions(filepath.Dir(file)); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(file); err == nil && !o.force {
		if o.luals {
			return a.print(initialized{APIVersion: control.Version, File: file, LuaLS: true}, func(w *writer) {
				w.linef("%s is left as it is; its folder has .luarc.json and .luals/ now", file)
			})
		}
		return fmt.Errorf("%s is there already: choose another name, or overwrite it with --force", file)
	}
	found, err := listeners()
	if err != nil {
		return fmt.Errorf("see what listens on this machine: %w", err)
	}
	answers, err := a.answers(c, found, o)
	if err != nil {
		return usageError{err, c.CommandPath()}
	}
	if err := writeNew(file, answers.policy(), o.force); err != nil {
		return err
	}
	r := initialized{control.Version, file, answers.sshPort, texts(answers.admins), texts(answers.public), o.luals}
	return a.print(r, func(w *writer) {
		w.linef("%s is written: ssh on port %d, %s, %s never banned", file, r.SSHPort, count(len(r.Public), "public port"), count(len(r.Admins), "address"))
		if len(r.Admins) == 0 {
			w.linef("nobody is protected by name: add your address with --admin, or in the file")
		}
		w.linef("next:  moonlatch check %s, then  moonlatch apply %s", file, file)
	})
}

// writeNew writes a file whole, and over another one only where that is wanted.
func writeNew(file, text string, force bool) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".moonlatch-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(text)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Close()); err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	if force {
		return os.Rename(tmp.Name(), file)
	}
	if err := os.Link(tmp.Name(), file); errors.Is(err, fs.ErrExist) { // since it was looked for
		return fmt.Errorf("%s is there already: choose another name, or overwrite it with --force", file)
	} else if err != nil {
		return fmt.Errorf("write %s: %w", file, err)
	}
	return nil
}

// initAnswers are what the policy is made of.
type initAnswers struct {
	sshPort uint16
	admins  []netip.Prefix
	public  []listener
}

// answers takes what the flags say, and asks for the rest.
func (a *app) answers(c *cobra.Command, found []listener, o initOptions) (initAnswers, error) {
	ask := a.asker(c, o.yes)
	session, _ := ownSession()
	var out initAnswers
	err := ask("ssh-port", strconv.Itoa(int(o.sshPort)), "Which port does sshd listen on?", strconv.Itoa(int(sshPort(session, found))), func(s string) (err error) {
		if out.sshPort, err = parsePort(s); err != nil {
			return fmt.Errorf("the port of ssh: %w", err)
		}
		return nil
	})
	if err != nil {
		return out, err
	}
	err = ask("admin", strings.Join(o.admins, ","), "Which addresses must never be banned?", cmp.Or(session.client, none), func(s string) (err error) {
		out.admins, err = parseAdmins(s)
		return err
	})
	if err != nil {
		return out, err
	}
	found = slices.DeleteFunc(found, func(l listener) bool { return l.proto == "tcp" && l.port == out.sshPort })
	err = ask("public", strings.Join(o.public, ","), "Which of the ports that are open now stay public?", cmp.Or(strings.Join(texts(found), ","), none), func(s string) (err error) {
		out.public, err = parsePublic(s, found)
		return err
	})
	return out, err
}

// none is the answer that leaves something out.
const none = "none"

// asker returns what has a flag's value parsed, or where the flag is not given an answer or,
// without anybody to ask, the preset. On a terminal a bad answer is asked for again.
func (a *app) asker(c *cobra.Command, yes bool) func(flag, given, question, preset string, parse func(string) error) error {
	f, ok := c.InOrStdin().(*os.File)
	terminal := ok && !yes && term.IsTerminal(int(f.Fd()))
	lines := bufio.NewScanner(c.InOrStdin())
	return func(flag, given, question, preset string, parse func(string) error) error {
		switch {
		case c.Flags().Changed(flag):
			return parse(given)
		case !terminal:
			return parse(preset)
		}
		for {
			fmt.Fprintf(a.err, "%s [%s]: ", question, preset)
			if !lines.Scan() {
				fmt.Fprintln(a.err)
				return fmt.Errorf("the question was not answered: nothing is written; --yes, or --%s, answers beforehand", flag)
			}
			err := parse(cmp.Or(strings.TrimSpace(lines.Text()), preset))
			if err == nil {
				return nil
			}
			fmt.Fprintln(a.err, err)
		}
	}
}

// sshPort is the port of the session, or where sshd listens, or the usual one.
func sshPort(session sshSession, found []listener) uint16 {
	if session.port != 0 {
		return session.port
	}
	for _, l := range found {
		if l.proto == "tcp" && l.process == "sshd" {
			return l.port
		}
	}
	return 22
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no port: a number from 1 to 65535 is expected", s)
	}
	return uint16(n), nil
}

// parseAdmins reads a list of addresses and prefixes.
func parseAdmins(s string) (out []netip.Prefix, err error) {
	if s == none {
		return nil, nil
	}
	for _, word := range words(s) {
		addr, err := netip.ParseAddr(word)
		p := netip.PrefixFrom(addr, addr.BitLen())
		if err != nil {
			p, err = netip.ParsePrefix(word)
		}
		if err != nil || p.Addr().Zone() != "" || p.Bits() == 0 {
			return nil, fmt.Errorf("%q is no address of an administrator: 192.0.2.7 is expected, or a prefix such as 2001:db8::/48", word)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

// parsePublic reads a list of ports such as tcp:443, and names the programs of
// those that are open.
func parsePublic(s string, found []listener) (out []listener, err error) {
	if s == none {
		return nil, nil
	}
	for _, word := range words(s) {
		proto, number, ok := strings.Cut(word, ":")
		if !ok || proto != "tcp" && proto != "udp" {
			return nil, fmt.Errorf("%q is no public port: tcp:443 is expected, or udp:443", word)
		}
		port, err := parsePort(number)
		if err != nil {
			return nil, err
		}
		l := listener{proto: proto, port: port}
		if i := slices.IndexFunc(found, l.same); i >= 0 {
			l = found[i]
		}
		if !slices.ContainsFunc(out, l.same) {
			out = append(out, l)
		}
	}
	return out, nil
}

func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' })
}

// texts are the things' own words for themselves.
func texts[T fmt.Stringer](things []T) []string {
	out := []string{}
	for _, t := range things {
		out = append(out, t.String())
	}
	return out
}
