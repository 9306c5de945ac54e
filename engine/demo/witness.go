package demo

import (
	"context"
	"fmt"

	"moonlatch/engine/nft"
)

// witness counts the attacker's packets independently of Moonlatch, in a table
// of its own on either side of Moonlatch's bans: those that reached the server,
// and those that the bans let through to the policy's rules.
type witness struct {
	nft *nft.Client
}

// Moonlatch's bans are at the priority raw - 10.
const witnessTable = `table inet witness {
	counter sent { }
	counter through { }
	chain before { type filter hook prerouting priority raw - 20; ip saddr ` + attackerAddr + ` counter name sent; }
	chain after { type filter hook prerouting priority raw - 9; ip saddr ` + attackerAddr + ` counter name through; }
}
`

func newWitness(ctx context.Context) (*witness, error) {
	c, err := nft.Open(nft.Config{})
	if err != nil {
		return nil, fmt.Errorf("witness: %w", err)
	}
	w := &witness{c}
	if err := c.Run(ctx, []byte(witnessTable)); err != nil {
		w.close()
		return nil, fmt.Errorf("witness: %w", err)
	}
	return w, nil
}

func (w *witness) close() { w.nft.Close() }

// counts returns how many packets the attacker has sent and how many came through.
func (w *witness) counts() (sent, through uint64, err error) {
	counters, err := w.nft.Counters(nft.Table{Family: nft.Inet, Name: "witness"})
	if err != nil {
		return 0, 0, fmt.Errorf("witness: %w", err)
	}
	for _, c := range counters {
		switch c.Name {
		case "sent":
			sent = c.Packets
		case "through":
			through = c.Packets
		}
	}
	return sent, through, nil
}
