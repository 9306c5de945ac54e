package nft

import (
	"fmt"

	"moonlatch/engine/ruleset"
)

// Fill puts the content of a large set, which a ruleset's text leaves out, into
// its set in the tables of the given name. Errors are as those of [Client.Load].
func (c *Client) Fill(f ruleset.Fill, table string) error {
	family, err := ParseFamily(string(f.Family))
	if err != nil {
		return err
	}
	_, err = c.Load(Table{Family: family, Name: table}, f.Set, func(yield func(Element) bool) {
		for p := range f.Addrs.Prefixes() {
			if !yield(Element{Prefix: p}) {
				return
			}
		}
	})
	if err != nil {
		return fmt.Errorf("fill the set %s: %w", f.Set, err)
	}
	return nil
}
