package nft

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// A Chain is a chain of a table.
type Chain struct {
	Name string
	Base bool // it has a hook: the kernel calls it
}

// Chains lists the chains of a table. Errors are as those of [Client.Rules].
func (c *Client) Chains(t Table) ([]Chain, error) {
	var out []Chain
	chains, err := list(c, unix.NFT_MSG_GETCHAIN, t.Family, nil, decodeChain)
	for _, chain := range chains {
		if chain.table == t.Name {
			out = append(out, chain.Chain)
		}
	}
	if err == nil && len(out) == 0 {
		err = c.exists(t)
	}
	if err != nil {
		return out, fmt.Errorf("list chains of table %s: %w", t, err)
	}
	return out, nil
}

// tableChain is a chain with its table: the kernel lists the chains of all tables of a family.
type tableChain struct {
	Chain
	table string
}

func decodeChain(a answer) (tableChain, error) {
	var chain tableChain
	r := reader{b: a.attrs}
	for r.next() {
		switch r.typ {
		case unix.NFTA_CHAIN_TABLE:
			chain.table = r.string()
		case unix.NFTA_CHAIN_NAME:
			chain.Name = r.string()
		case unix.NFTA_CHAIN_HOOK:
			chain.Base = true
		}
	}
	return chain, r.err
}
