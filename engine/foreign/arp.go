package foreign

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// legacyARP is the file that lists the tables of legacy arptables, and its command. What it prints cannot be read again by any tool, so
// its rules can be seen and taken away, but not put back.
const (
	legacyARP  = "arp_tables_names"
	commandARP = "arptables-legacy"
)

// arpRules lists the rules of legacy arptables and the chains that drop what reaches their end, nil if it lets everything through.
func arpRules(ctx context.Context) ([]string, error) {
	tables, err := tableNames(legacyARP)
	if err != nil || len(tables) == 0 {
		return nil, err
	}
	path, ok := look(commandARP)
	if !ok {
		return nil, errors.New("legacy arptables tables are in use, but there is no arptables-legacy: install the arptables package")
	}
	text, err := run(ctx, "", nil, path, "-L", "-n")
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasSuffix(line, "(policy ACCEPT)") {
			out = append(out, line)
		}
	}
	return out, nil
}

// arpOpen returns an error if legacy arptables holds what could not be put back.
func arpOpen(ctx context.Context) error {
	rules, err := arpRules(ctx)
	if err == nil && len(rules) > 0 {
		err = fmt.Errorf("legacy arptables holds rules, which no tool can put back (%q): move them to nftables or to arptables-nft", rules[0])
	}
	return err
}

// openARP takes away the rules of legacy arptables.
func openARP(ctx context.Context) error {
	rules, err := arpRules(ctx)
	if err != nil || len(rules) == 0 {
		return err
	}
	path, _ := look(commandARP) // arpRules found it
	for _, arg := range [][]string{{"-P", "INPUT", "ACCEPT"}, {"-P", "OUTPUT", "ACCEPT"}, {"-F"}, {"-X"}} {
		_, e := run(ctx, "", nil, path, arg...)
		err = errors.Join(err, e)
	}
	return err
}
