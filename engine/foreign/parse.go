package foreign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"unicode/utf8"

	"moonlatch/engine/netns"
)

// maxFile bounds a ruleset file: 100,000 rules are some 10 MB.
const maxFile = 64 << 20

// Parse reads a ruleset file in the syntax of nft or of iptables-save, by really loading it in a private network namespace. What
// that holds afterwards is the Snapshot it returns: putting that back with [Tools.Restore] needs neither the file nor nft, opens
// all that the file does not speak about, leaves ipsets alone, and starts timeouts anew.
//
// Text of iptables-save is for IPv4, unless ip6tables-save wrote it or only ip6tables takes it; the other family is open.
func (t *Tools) Parse(ctx context.Context, path string) (*Snapshot, error) {
	text, err := readRuleset(path)
	if err != nil {
		return nil, fmt.Errorf("ruleset file: %w", err)
	}
	private, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("try the ruleset %s: %w", path, err)
	}
	defer private.Close()
	far, err := netns.New() // of the other ends of interfaces, which are gone when it is
	if err != nil {
		return nil, fmt.Errorf("try the ruleset %s: %w", path, err)
	}
	defer far.Close()
	links, err := namedLinks(text)
	if err != nil {
		return nil, err
	}
	var s *Snapshot
	err = private.Do(func() error {
		if err := copyLinks(private, far, links); err != nil {
			return err
		}
		s, err = load(ctx, text)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ruleset file %s: %w", path, err)
	}
	s.ipsets, s.fresh = nil, true
	return s, nil
}

func readRuleset(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !st.Mode().IsRegular():
		return "", fmt.Errorf("%s is no regular file", path)
	case st.Size() > maxFile:
		return "", fmt.Errorf("%s is larger than %d MiB", path, maxFile>>20)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err == nil && (bytes.IndexByte(b, 0) >= 0 || !utf8.Valid(b)) {
		err = fmt.Errorf("%s is no text", path)
	}
	return string(b), err
}

// A syntax is one of those that ruleset files are written in.
type syntax string

const (
	syntaxNFT       syntax = "nft"
	syntaxIPTables  syntax = "iptables-save"
	syntaxIP6Tables syntax = "ip6tables-save"
)

// recognise tells which syntax text is written in by its first line that is no comment.
func recognise(text string) (syntax, error) {
	found := syntaxIPTables
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "#"):
			if strings.Contains(line, string(syntaxIP6Tables)) {
				found = syntaxIP6Tables
			}
		case strings.HasPrefix(line, "*"):
			return found, nil
		case strings.HasPrefix(line, "-"), strings.HasPrefix(line, "iptables "), strings.HasPrefix(line, "ip6tables "):
			return "", fmt.Errorf("%q is neither nft's syntax nor that of iptables-save, where a line such as *filter comes first", line)
		default:
			return syntaxNFT, nil
		}
	}
	return "", errors.New("it holds no rules: for a machine that lets everything pass, give no ruleset")
}

// load loads text in the calling thread's namespace, which is private, and takes a snapshot of the result.
func load(ctx context.Context, text string) (*Snapshot, error) {
	kind, err := recognise(text)
	if err != nil {
		return nil, err
	}
	t, err := Find(ctx)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	switch kind {
	case syntaxNFT:
		err = t.nft.Run(ctx, []byte(text))
	case syntaxIPTables:
		if err = loadIPTables(ctx, "iptables", text); err != nil && loadIPTables(ctx, "ip6tables", text) == nil {
			err = nil
		}
	case syntaxIP6Tables:
		err = loadIPTables(ctx, "ip6tables", text)
	}
	if err != nil {
		return nil, err
	}
	return t.take(ctx)
}

// loadIPTables loads text with what the machine's own iptables-restore is: that of nf_tables, or the legacy one.
func loadIPTables(ctx context.Context, family, text string) error {
	path, ok := look(family+"-restore", family+"-nft-restore", family+"-legacy-restore")
	if !ok {
		return fmt.Errorf("it is in iptables-save's syntax, but there is no %s-restore: install the iptables package", family)
	}
	_, err := run(ctx, text, []string{"XTABLES_LOCKFILE=/proc/self/fd/0"}, path)
	return err
}

// namedLinks returns the interfaces of this namespace whose name stands in text.
func namedLinks(text string) ([]net.Interface, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []net.Interface
	for _, l := range links {
		if l.Flags&net.FlagLoopback == 0 && strings.Contains(text, l.Name) {
			out = append(out, l)
		}
	}
	return out, nil
}

// copyLinks makes interfaces of the same names and, since rules may hold these, numbers.
func copyLinks(here, far *netns.Namespace, links []net.Interface) error {
	for i, l := range links {
		if err := netns.VethNumbered(l.Index, here, l.Name, far, fmt.Sprintf("far%d", i)); err != nil {
			return err
		}
	}
	return nil
}
