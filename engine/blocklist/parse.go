package blocklist

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"

	"go4.org/netipx"

	"moonlatch/engine/ruleset"
)

// A List is what was parsed.
type List struct {
	Addrs   *ruleset.Addresses
	Entries int // lines
}

// A LineError is what is wrong with a line of a list.
type LineError struct {
	Line int
	Err  error
}

// Error implements error.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *LineError) Unwrap() error { return e.Err }

// Parse reads a list, strictly: its error names the first line that is not of the format, or that
// no list can mean, such as private addresses or half of the Internet.
func Parse(f Format, content []byte, most int) (List, error) {
	p := parser{format: f, most: most, patience: 1}
	return p.list(content)
}

// maxMistakes bounds the bad lines that Mistakes returns.
const maxMistakes = 20

// Mistakes returns what keeps Parse from taking a list: a *LineError for each of the first 20 bad lines, or
// another error where it is not a matter of lines.
func Mistakes(f Format, content []byte, most int) []error {
	p := parser{format: f, most: most, patience: maxMistakes}
	if _, err := p.list(content); err != nil && len(p.bad) == 0 {
		return []error{err}
	}
	return p.bad
}

func (p *parser) list(content []byte) (List, error) {
	text := bytes.TrimSpace(bytes.TrimPrefix(content, []byte("\ufeff")))
	switch {
	case bytes.HasPrefix(text, []byte("<")):
		return List{}, errors.New("it is an HTML page or XML, not a list of addresses")
	case p.format == JSON && bytes.HasPrefix(text, []byte("[")):
		if err := p.array(text); err != nil {
			return List{}, err
		}
	default:
		if err := p.lines(content); err != nil {
			return List{}, err
		}
	}
	return List{p.addrs.Addresses(), p.entries}, nil
}

type parser struct {
	format  Format
	most    int
	addrs   ruleset.AddressesBuilder
	entries int

	patience int // bad lines to go on after, and the last of them
	bad      []error
}

func (p *parser) lines(content []byte) error {
	sc := bufio.NewScanner(bytes.NewReader(content))
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		var err error
		if p.format == JSON {
			err = p.value([]byte(line))
		} else {
			if i := strings.IndexAny(line, "#;"); i >= 0 {
				line = strings.TrimSpace(line[:i])
			}
			err = p.text(line)
		}
		if err == nil {
			continue
		}
		p.bad = append(p.bad, &LineError{n, err})
		if len(p.bad) == p.patience || p.entries > p.most {
			break
		}
	}
	if len(p.bad) > 0 {
		return p.bad[0]
	}
	if err := sc.Err(); err != nil {
		return fmt.Errorf("line %d and what follows: %w", p.entries+1, err)
	}
	return nil
}

func (p *parser) array(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if _, err := d.Token(); err != nil {
		return err
	}
	for n := 1; d.More(); n++ {
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return fmt.Errorf("value %d: %w", n, err)
		}
		if err := p.value(raw); err != nil {
			return fmt.Errorf("value %d: %w", n, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("it is cut off: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows its end")
	}
	return nil
}

// value reads a JSON text or object.
func (p *parser) value(raw []byte) error {
	if len(raw) == 0 {
		return nil
	}
	if raw[0] == '"' {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
		return p.text(text)
	}
	var o struct {
		IP, CIDR, Prefix, Address, Range, Type string
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return err
	}
	for _, text := range []string{o.CIDR, o.Prefix, o.IP, o.Address, o.Range} {
		if text != "" {
			return p.text(text)
		}
	}
	if o.Type == "metadata" { // the last line of some lists
		return nil
	}
	return errors.New("it has no cidr, prefix, ip, address or range")
}

// text reads an address, a prefix or a range; nothing is nothing.
func (p *parser) text(text string) error {
	if text == "" {
		return nil
	}
	if p.entries++; p.entries > p.most {
		return fmt.Errorf("it has more than %d entries (max)", p.most)
	}
	r, err := parseRange(text)
	if err == nil && p.format == CIDR && !strings.Contains(text, "/") {
		err = fmt.Errorf("%q is no prefix such as 192.0.2.0/24", text)
	}
	if err == nil {
		err = sane(r)
	}
	if err != nil {
		return err
	}
	p.addrs.Add(r)
	return nil
}

func parseRange(text string) (netipx.IPRange, error) {
	var none netipx.IPRange
	if first, last, ok := strings.Cut(text, "-"); ok {
		from, err1 := netip.ParseAddr(strings.TrimSpace(first))
		to, err2 := netip.ParseAddr(strings.TrimSpace(last))
		if r := netipx.IPRangeFrom(from, to); err1 == nil && err2 == nil && from.Zone() == "" && r.IsValid() {
			return r, nil
		}
		return none, notAddress(text)
	}
	if strings.Contains(text, "/") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix != prefix.Masked() || prefix.Addr().Is4In6() {
			return none, notAddress(text)
		}
		return netipx.RangeOfPrefix(prefix), nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return none, notAddress(text)
	}
	a = a.Unmap()
	return netipx.IPRangeFrom(a, a), nil
}

func notAddress(text string) error {
	return fmt.Errorf("%.60q is no address, prefix or range", text)
}

// The widest that an entry may be.
const (
	widest4 = 8
	widest6 = 16
)

// sane refuses what no list of somebody else can mean.
func sane(r netipx.IPRange) error {
	if r.From().Is4In6() {
		return fmt.Errorf("%s is a range of IPv4 addresses in the form of IPv6", r)
	}
	widest := widest4
	if r.From().Is6() {
		widest = widest6
	}
	if p, err := r.From().Prefix(widest); err != nil || !p.Contains(r.To()) {
		return fmt.Errorf("%s is not within one /%d: no list bans so many", show(r), widest)
	}
	for _, p := range private() {
		if r.Overlaps(netipx.RangeOfPrefix(p)) {
			return fmt.Errorf("%s holds addresses of %s, which are no part of the Internet", show(r), p)
		}
	}
	return nil
}

// show writes a range shortly.
func show(r netipx.IPRange) string {
	if p, ok := r.Prefix(); ok {
		if p.IsSingleIP() {
			return p.Addr().String()
		}
		return p.String()
	}
	return r.String()
}

// private are the addresses that belong to nobody on the Internet.
func private() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range [...]string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3",
		"::/8", "fc00::/7", "fe80::/10", "ff00::/8",
	} {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}
