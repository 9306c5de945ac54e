// Package banlist reads and writes bans as files: Moonlatch's own JSON and CSV, plain
// lists, nft text, and what fail2ban, CrowdSec and ipset keep of theirs.
package banlist

import (
	"bufio"
	"fmt"
	"io"
	"iter"
	"net/netip"
	"strings"
	"time"

	"go4.org/netipx"

	"moonlatch/engine/ban"
)

// A Format is how bans are written down.
type Format string

// The formats. CrowdSec is what `cscli decisions list -o json` prints, IPSet what
// `ipset save` does, and Fail2ban the database of fail2ban.
const (
	JSON     Format = "json"
	CSV      Format = "csv"
	Plain    Format = "plain"
	NFT      Format = "nft"
	Fail2ban Format = "fail2ban"
	CrowdSec Format = "crowdsec"
	IPSet    Format = "ipset"
)

// Formats are those that can be read; the first four can be written too.
func Formats() []Format { return []Format{JSON, CSV, Plain, NFT, Fail2ban, CrowdSec, IPSet} }

// Written are the formats that Write knows.
func Written() []Format { return Formats()[:4] }

// An Entry is a ban in a list.
type Entry struct {
	Line    int    // where it stands, from 1; of a database, which row it is
	Set     string // in nft and ipset text, the set that it is in
	Target  netip.Prefix
	Since   time.Time // zero where the list does not say
	Until   time.Time // zero where the list does not say
	Endless bool      // the list says that it has no end
	By, Why string
	Origin  ban.Origin // "" where the list does not say
}

// A Mistake is what is wrong with one place in a list. Reading goes on behind it.
type Mistake struct {
	Line int
	Set  string // as in Entry
	Err  error
}

func (m *Mistake) Error() string { return fmt.Sprintf("line %d: %v", m.Line, m.Err) }

// Unwrap returns what is wrong.
func (m *Mistake) Unwrap() error { return m.Err }

// An Omission is an entry that is none to import, such as one that has ended.
type Omission struct {
	Line int
	Set  string
	Why  string
}

func (o *Omission) Error() string { return fmt.Sprintf("line %d: left out: %s", o.Line, o.Why) }

// Read yields the entries of a list in any format but Fail2ban's, in constant memory. Between them come
// errors: a *Mistake or an *Omission for one of them, any other ends the list. Times
// that a list counts from now on are counted from the given instant.
func Read(f Format, r io.Reader, now time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		lines := &lineReader{r: r, line: 1}
		o := &output{yield: yield, now: now}
		var err error
		switch f {
		case JSON:
			err = readJSON(lines, o)
		case CrowdSec:
			err = readCrowdSec(lines, o)
		case CSV:
			err = readCSV(lines, o)
		case NFT:
			err = readNFT(bufio.NewReader(r), o)
		case IPSet:
			err = readLines(r, o, new(ipsets).read)
		case Plain:
			err = readLines(r, o, readPlain)
		default:
			err = fmt.Errorf("the format %q cannot be read from a stream", f)
		}
		if err != nil && !o.stopped {
			yield(Entry{}, err)
		}
	}
}

// output is where what was read goes.
type output struct {
	yield   func(Entry, error) bool
	now     time.Time
	stopped bool // nobody wants any more
}

func (o *output) put(e Entry, err error) {
	if !o.stopped {
		o.stopped = !o.yield(e, err)
	}
}

func (o *output) mistake(e Entry, format string, args ...any) {
	o.put(Entry{}, &Mistake{e.Line, e.Set, fmt.Errorf(format, args...)})
}

func (o *output) omit(e Entry, format string, args ...any) {
	o.put(Entry{}, &Omission{e.Line, e.Set, fmt.Sprintf(format, args...)})
}

// entry puts out an entry for each prefix that the text stands for.
func (o *output) entry(e Entry, target string) {
	switch {
	case !e.Since.IsZero() && !e.Until.IsZero() && e.Until.Before(e.Since):
		o.mistake(e, "%s: it ends before it begins", shorten(target))
		return
	case !e.Until.IsZero() && !e.Until.After(o.now):
		o.omit(e, "the ban of %s has ended", shorten(target))
		return
	case e.Until.Sub(o.now) > ban.MaxTime:
		o.mistake(e, "%s: it ends in more than ten years, longer than a ban can last", shorten(target))
		return
	}
	prefixes, err := parseTarget(target)
	if err != nil {
		o.mistake(e, "%w", err)
		return
	}
	for _, p := range prefixes {
		e.Target = p
		o.put(e, nil)
	}
}

// maxRange is how many prefixes a range of addresses may be.
const maxRange = 256

// parseTarget reads an address, a prefix or a range "a-b" that can be banned.
func parseTarget(text string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	first, last, isRange := strings.Cut(text, "-")
	switch {
	case isRange:
		from, err1 := netip.ParseAddr(first)
		to, err2 := netip.ParseAddr(last)
		r := netipx.IPRangeFrom(from, to)
		if err1 != nil || err2 != nil || !r.IsValid() {
			return nil, notTarget(text)
		}
		prefixes = r.Prefixes()
	case strings.Contains(text, "/"):
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, notTarget(text)
		}
		prefixes = []netip.Prefix{p}
	default:
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, notTarget(text)
		}
		a = a.Unmap()
		prefixes = []netip.Prefix{netip.PrefixFrom(a, a.BitLen())}
	}
	if len(prefixes) > maxRange {
		return nil, fmt.Errorf("%s is a range of more than %d prefixes", text, maxRange)
	}
	for _, p := range prefixes {
		if err := ban.CheckTarget(p); err != nil {
			return nil, err
		}
	}
	return prefixes, nil
}

func notTarget(text string) error {
	return fmt.Errorf("%q is no IP address, prefix or range", shorten(text))
}

// shorten makes text from a file fit for a message.
func shorten(text string) string {
	const most = 60
	if len(text) > most {
		text = text[:most] + "…"
	}
	return strings.ToValidUTF8(text, "?")
}
