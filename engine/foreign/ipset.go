package foreign

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ipsets is what ipset holds.
type ipsets struct {
	Text    string            `json:"text"`    // what ipset save prints
	Numbers map[uint16]string `json:"numbers"` // the names by the number that rules in the kernel know them by
}

// spare begins the names of sets that are filled before they change places with another.
const spare = "moonlatch-new-"

// saveIPSets takes down all sets.
func saveIPSets(ctx context.Context) (*ipsets, error) {
	numbers, err := ipsetNumbers()
	s := &ipsets{Numbers: numbers}
	if err == nil && len(numbers) > 0 {
		s.Text, err = runIPSet(ctx, "", "save")
	}
	return s, err
}

func runIPSet(ctx context.Context, text string, arg ...string) (string, error) {
	path, ok := look("ipset")
	if !ok {
		return "", errors.New("there are ipsets, but no ipset command: install the ipset package")
	}
	return run(ctx, text, nil, path, arg...)
}

// An ipset is one set in what ipset save prints.
type ipset struct {
	name   string
	create string   // what follows the name: its type, and options
	add    []string // what follows the name: an element, and options
}

// kind is the type and the family, which sets must share to change places.
func (s *ipset) kind() string {
	words := strings.Fields(s.create)
	for i, w := range words {
		if w == "family" && i+1 < len(words) {
			return words[0] + " " + words[i+1]
		}
	}
	return words[0]
}

// parseIPSets reads what ipset save prints.
func parseIPSets(text string) ([]*ipset, error) {
	var sets []*ipset
	byName := make(map[string]*ipset)
	for line := range strings.Lines(text) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		switch {
		case len(words) == 3 && words[0] == "create":
			s := &ipset{name: words[1], create: words[2]}
			sets, byName[s.name] = append(sets, s), s
		case len(words) == 3 && words[0] == "add" && byName[words[1]] != nil:
			s := byName[words[1]]
			s.add = append(s.add, words[2])
		default:
			return nil, fmt.Errorf("ipset save printed a line that is no create or add: %q", line)
		}
	}
	return sets, nil
}

// left returns an element with what is left of its timeout, and false if that is over.
func left(element string, elapsed time.Duration) (string, bool) {
	words := strings.Split(element, " ")
	for i := 1; i+1 < len(words) && words[i] != "comment"; i++ {
		if words[i] != "timeout" {
			continue
		}
		seconds, err := strconv.ParseInt(words[i+1], 10, 64)
		if err != nil || seconds == 0 { // it stays
			return element, true
		}
		seconds -= int64(elapsed / time.Second)
		if seconds <= 0 {
			return "", false
		}
		words[i+1] = strconv.FormatInt(seconds, 10)
		return strings.Join(words, " "), true
	}
	return element, true
}

// fillIPSets makes sure that the snapshot's sets exist with its content. Rules that use a set keep using it: its new content
// changes places with the old one's. It returns the sets whose name one of another kind has.
func (t *Tools) fillIPSets(ctx context.Context, s *Snapshot, elapsed time.Duration) (conflicts []string, err error) {
	if s.ipsets == nil || s.ipsets.Text == "" {
		return nil, nil
	}
	sets, err := parseIPSets(s.ipsets.Text)
	if err != nil {
		return nil, err
	}
	have, err := kinds(ctx)
	if err != nil {
		return nil, err
	}
	var script strings.Builder
	for name := range have {
		if strings.HasPrefix(name, spare) { // of a process that died
			fmt.Fprintf(&script, "destroy %s\n", name)
		}
	}
	for i, set := range sets {
		kind, exists := have[set.name]
		if exists && kind != set.kind() {
			conflicts = append(conflicts, set.name)
			continue
		}
		set.write(&script, exists, spare+strconv.Itoa(i), elapsed)
	}
	if len(conflicts) > 0 {
		return conflicts, nil
	}
	_, err = runIPSet(ctx, script.String(), "restore")
	return nil, err
}

// write writes the commands that make a set; one that exists gets its content by way of another one.
func (s *ipset) write(to *strings.Builder, exists bool, other string, elapsed time.Duration) {
	name := s.name
	if exists {
		name = other
	}
	fmt.Fprintf(to, "create %s %s\n", name, s.create)
	for _, e := range s.add {
		if e, ok := left(e, elapsed); ok {
			fmt.Fprintf(to, "add %s %s\n", name, e)
		}
	}
	if exists {
		fmt.Fprintf(to, "swap %s %s\ndestroy %s\n", name, s.name, name)
	}
}

// kinds returns the kind of each set that exists.
func kinds(ctx context.Context) (map[string]string, error) {
	text, err := runIPSet(ctx, "", "list", "-t", "-o", "save")
	if err != nil {
		return nil, err
	}
	sets, err := parseIPSets(text)
	out := make(map[string]string)
	for _, s := range sets {
		out[s.name] = s.kind()
	}
	return out, err
}

// dropIPSets destroys the sets that the snapshot has not.
func (t *Tools) dropIPSets(ctx context.Context, s *Snapshot) error {
	if s.ipsets == nil {
		return nil
	}
	now, err := ipsetNumbers()
	if err != nil {
		return err
	}
	var extra []string
	for _, name := range now {
		if !slices.Contains(slices.Collect(maps.Values(s.ipsets.Numbers)), name) {
			extra = append(extra, name)
		}
	}
	return destroyIPSets(ctx, extra)
}

// How long destroying sets waits for rules that were just deleted: the kernel lets go of what they use some time later.
const (
	releaseWait = 5 * time.Second
	releasePoll = 10 * time.Millisecond
)

// destroyIPSets destroys sets that no rule uses any more. A set may be in another one that is to be destroyed, so it goes in rounds.
func destroyIPSets(ctx context.Context, names []string) error {
	for start := time.Now(); ; time.Sleep(releasePoll) {
		var stay []string
		var errs []error
		for _, name := range names {
			if _, err := runIPSet(ctx, "", "destroy", name); err != nil {
				stay, errs = append(stay, name), append(errs, fmt.Errorf("destroy ipset %s: %w", name, err))
			}
		}
		if len(stay) == len(names) && time.Since(start) > releaseWait || len(stay) == 0 || ctx.Err() != nil {
			return errors.Join(errs...)
		}
		names = stay
	}
}
