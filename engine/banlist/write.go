package banlist

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strings"
	"time"

	"moonlatch/engine/ban"
	"moonlatch/engine/nft"
)

// Write writes bans in one of the formats of Written. JSON and CSV keep all of a ban; nft
// text its end and its reason; a plain list its target, and the rest for people.
func Write(f Format, w io.Writer, bans iter.Seq[ban.Ban], now time.Time) error {
	b := bufio.NewWriterSize(w, 1<<16)
	var err error
	switch f {
	case JSON:
		err = writeJSON(b, bans)
	case CSV:
		err = writeCSV(b, bans)
	case Plain:
		for x := range bans {
			fmt.Fprintf(b, "%s # %s\n", show(x.Target), oneLine(remark(x)))
		}
	case NFT:
		writeNFT(b, bans, now)
	default:
		err = fmt.Errorf("bans cannot be written as %q", f)
	}
	if err != nil {
		return err
	}
	return b.Flush()
}

func writeJSON(w *bufio.Writer, bans iter.Seq[ban.Ban]) error {
	fmt.Fprintf(w, "{\n  \"apiVersion\": %q,\n  \"bans\": [", apiVersion)
	between := "\n"
	for x := range bans {
		raw, err := json.Marshal(record{show(x.Target), x.Since, x.Until, x.By, x.Why, x.Origin})
		if err != nil {
			return err
		}
		w.WriteString(between + "    ")
		w.Write(bytes.TrimSpace(raw))
		between = ",\n"
	}
	_, err := w.WriteString("\n  ]\n}\n")
	return err
}

func writeCSV(w io.Writer, bans iter.Seq[ban.Ban]) error {
	c := csv.NewWriter(w)
	if err := c.Write(columns()); err != nil {
		return err
	}
	for x := range bans {
		if err := c.Write([]string{show(x.Target), instant(x.Since), instant(x.Until), x.By, x.Why, string(x.Origin)}); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// instant writes a time, or nothing where there is none.
func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

// nftTable drops what is in its sets, on a host without Moonlatch too.
const nftTable = `#!/usr/sbin/nft -f
table inet banned {
	set banned4 { type ipv4_addr; flags timeout; }
	set banned6 { type ipv6_addr; flags timeout; }
	set banned4net { type ipv4_addr; flags interval, timeout; }
	set banned6net { type ipv6_addr; flags interval, timeout; }
	chain early {
		type filter hook prerouting priority -310; policy accept;
		ip saddr @banned4 drop
		ip saddr @banned4net drop
		ip6 saddr @banned6 drop
		ip6 saddr @banned6net drop
	}
}
`

// writeNFT writes nft text. Bans of prefixes come in the order of their targets; of one inside of another there is
// only a remark, since nft takes no overlapping ones.
func writeNFT(w io.Writer, bans iter.Seq[ban.Ban], now time.Time) {
	fmt.Fprint(w, nftTable)
	var around netip.Prefix // the last prefix
	for x := range bans {
		set, before, timeout := "banned4", "", ""
		if x.Target.Addr().Is6() {
			set = "banned6"
		}
		if !x.Target.IsSingleIP() {
			set += "net"
			if around.IsValid() && around.Overlaps(x.Target) {
				before = fmt.Sprintf("# inside of %s: ", around)
			} else {
				around = x.Target
			}
		}
		if !x.Until.IsZero() {
			timeout = fmt.Sprintf(" timeout %ds", int(max(x.Until.Sub(now), time.Second)/time.Second))
		}
		comment := nft.Comment(strings.ReplaceAll(remark(x), `\`, "/"))
		fmt.Fprintf(w, "%sadd element inet banned %s { %s%s comment \"%s\" }\n", before, set, show(x.Target), timeout, comment)
	}
}

// remark says who banned and why.
func remark(x ban.Ban) string {
	if x.Why == "" {
		return x.By
	}
	return x.By + ": " + x.Why
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// show writes a host without its prefix length.
func show(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}
