package control

// RuleList is every rule of the generation in force, in the kernel's order.
type RuleList struct {
	APIVersion string `json:"apiVersion"`
	Generation uint64 `json:"generation"` // 0 when everything passes
	Rules      []Rule `json:"rules"`
}

// Rule is a rule of the policy's, with what it has matched since its generation
// came into force. It may be several of the kernel's.
type Rule struct {
	Chain   string   `json:"chain"` // with its family before it, where that is not inet
	Head    string   `json:"head"`  // what nft says of the chain: its hook, its policy
	Name    string   `json:"rule"`
	Text    []string `json:"nft"`
	Packets uint64   `json:"packets"`
	Bytes   uint64   `json:"bytes"`
}

// ChangeList is what the generation on trial changes.
type ChangeList struct {
	APIVersion string      `json:"apiVersion"`
	Trial      Generation  `json:"trial"`
	Against    *Generation `json:"against"` // confirmed; nil when nothing was
	Changes    []Change    `json:"changes"`
}

// Change is one difference: added, removed, changed or moved. Old and New are
// nft text, cut where they are long.
type Change struct {
	Action string   `json:"action"`
	Kind   string   `json:"kind"`            // chain, rule, set, map, …
	Chain  string   `json:"chain,omitempty"` // of a rule
	Name   string   `json:"name"`
	Place  string   `json:"place,omitempty"`
	Old    []string `json:"old,omitempty"`
	New    []string `json:"new,omitempty"`
}
