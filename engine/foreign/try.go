package foreign

import (
	"context"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"time"

	"moonlatch/engine/netns"
)

// try puts the snapshot back in a private network namespace and compares.
func (s *Snapshot) try(ctx context.Context) error {
	private, err := netns.New()
	if err != nil {
		return fmt.Errorf("try to put it back: %w", err)
	}
	defer private.Close()
	far, err := netns.New() // of the other ends of interfaces, which are gone when it is
	if err != nil {
		return fmt.Errorf("try to put it back: %w", err)
	}
	defer far.Close()
	err = private.Do(func() error { return s.tryHere(ctx, private, far) })
	if err != nil {
		return fmt.Errorf("it could not be put back: %w", err)
	}
	return nil
}

func (s *Snapshot) tryHere(ctx context.Context, here, far *netns.Namespace) error {
	trial := *s
	trial.nft = s.nft.WithoutOffload() // which needs real hardware
	if err := makeLinks(here, far, trial.nft.Devices()); err != nil {
		return err
	}
	t, err := Find(ctx)
	if err != nil {
		return err
	}
	defer t.Close()
	t.private = true
	if err := t.Restore(ctx, &trial); err != nil {
		return err
	}
	got, err := t.take(ctx)
	if err != nil {
		return err
	}
	return trial.diff(got)
}

// makeLinks makes interfaces with these names, each the end of a cable of its own.
func makeLinks(here, far *netns.Namespace, names []string) error {
	for i, name := range names {
		if _, err := net.InterfaceByName(name); err == nil {
			continue // lo, or the kernel's own
		}
		if err := netns.Veth(here, name, far, fmt.Sprintf("far%d", i)); err != nil {
			return err
		}
	}
	return nil
}

// missing returns those of the interfaces that do not exist.
func missing(names []string) ([]string, error) {
	links, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	exists := make(map[string]bool, len(links))
	for _, l := range links {
		exists[l.Name] = true
	}
	var out []string
	for _, n := range names {
		if !exists[n] {
			out = append(out, n)
		}
	}
	return out, nil
}

// diff says what the other snapshot has otherwise, nil if nothing. Counters and what is left of timeouts do not count.
func (s *Snapshot) diff(other *Snapshot) error {
	if err := s.nft.Diff(other.nft); err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	for _, l := range legacies() {
		a, b := legacyLines(s.legacy[l.family]), legacyLines(other.legacy[l.family])
		for i, line := range a {
			if i >= len(b) || b[i] != line {
				return fmt.Errorf("legacy %s: %q is missing", l.family, line)
			}
		}
		if len(b) > len(a) {
			return fmt.Errorf("legacy %s: %q should not be there", l.family, b[len(a)])
		}
	}
	mine, theirs := ipsetLines(s.ipsets, false), ipsetLines(other.ipsets, false)
	for line := range ipsetLines(s.ipsets, true) {
		if !theirs[line] {
			return fmt.Errorf("ipset: %q is missing", line)
		}
	}
	for line := range theirs {
		if !mine[line] {
			return fmt.Errorf("ipset: %q should not be there", line)
		}
	}
	return nil
}

// legacyLines returns the lines of text of iptables-save that filter, in the order of their tables and places, without counters.
func legacyLines(text string) []string {
	counters := regexp.MustCompile(`^\[\d+:\d+\] | \[\d+:\d+\]$`)
	byTable := make(map[string][]string)
	table := ""
	for line := range strings.Lines(text) {
		line = counters.ReplaceAllString(strings.TrimSpace(line), "")
		switch {
		case strings.HasPrefix(line, "*"):
			table = line
		case line == "", strings.HasPrefix(line, "#"), line == "COMMIT":
		case strings.HasPrefix(line, ":") && strings.HasSuffix(line, " ACCEPT"):
		default:
			byTable[table] = append(byTable[table], table+" "+line)
		}
	}
	var out []string
	for _, table := range slices.Sorted(maps.Keys(byTable)) {
		out = append(out, byTable[table]...)
	}
	return out
}

// fleeting is how many seconds an element of an ipset must have left to be missed.
const fleeting = 60

// ipsetLines returns the sets and elements without how long these have left, and on request without those that have little.
func ipsetLines(s *ipsets, lasting bool) map[string]bool {
	varies := regexp.MustCompile(` (timeout|packets|bytes) (\d+)| initval 0x[0-9a-f]+`)
	out := make(map[string]bool)
	if s == nil {
		return out
	}
	for line := range strings.Lines(s.Text) {
		line = strings.TrimSpace(line)
		if _, stays := left(strings.TrimPrefix(line, "add "), fleeting*time.Second); stays || !lasting {
			out[varies.ReplaceAllString(line, "")] = true
		}
	}
	return out
}
