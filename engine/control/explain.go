package control

import (
	"context"
	"time"
)

// Explainer is the part of Service about one address.
type Explainer interface {
	Explain(ctx context.Context, req ExplainRequest) (Explanation, error)
}

// ExplainRequest asks about an address or a prefix.
type ExplainRequest struct {
	Target string `json:"target"`
}

// Explanation is what is known of an address or a prefix. Lists are in the order in which a packet meets what they name.
type Explanation struct {
	APIVersion string       `json:"apiVersion"`
	Target     string       `json:"target"`
	Location                // of an address
	Protected  []Protection `json:"protected"` // then it passes whatever bans there are
	Bans       []BanReason  `json:"bans"`      // every one that covers it; of a prefix, those inside too
	Generation *Generation  `json:"generation"`
	Sets       []Membership `json:"sets"`  // of the generation in force
	Rules      []Naming     `json:"rules"` // likewise, that name it, or a set that it is in
}

// Protection is why something can never be banned.
type Protection struct {
	Target string `json:"target"`
	By     string `json:"by"`
}

// BanReason is a ban with all that is known of why it was made.
type BanReason struct {
	Ban
	Place    string       `json:"place,omitempty"`    // of the detector in the policy that runs
	Evidence *BanEvidence `json:"evidence,omitempty"` // as long as the daemon that made the ban runs
}

// BanEvidence is what a detector counted until it had enough.
type BanEvidence struct {
	Count int64     `json:"count"`
	Of    string    `json:"of"` // packets, ports, …
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Ports []uint16  `json:"ports,omitempty"`
	Addrs []string  `json:"addresses,omitempty"`
}

// Membership is a set's element that holds the address.
type Membership struct {
	Set     string  `json:"set"` // as the policy names it, or "trap"
	Element string  `json:"element"`
	Left    float64 `json:"left_seconds,omitempty"` // until the kernel takes it out; 0 for what stays
}

// Naming is a rule that an address decides about.
type Naming struct {
	Chain string `json:"chain"`
	Rule  string `json:"rule"`
	Text  string `json:"nft"`
	By    string `json:"by"` // what names it: "@admins", "192.0.2.0/28"
}

// Explain implements Explainer.
func (c *Client) Explain(ctx context.Context, req ExplainRequest) (e Explanation, err error) {
	err = c.call(ctx, "POST", "explain", req, &e)
	return e, err
}

func serveExplain(mux router, s Explainer) { ask(mux, "POST /v1/explain", s.Explain) }
