package policy

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"moonlatch/engine/ruleset"
)

// Brake is how a policy wants its own bans held back. Zero fields mean the defaults.
type Brake struct {
	Bans    int // new bans
	Per     time.Duration
	AnyRate bool // there is no limit to the rate
	Shares  []Share
	Most    int // bans in force
}

// Share is the most of a prefix that bans may cover: of a certain one, or of each one of a length.
type Share struct {
	Percent int
	Of      netip.Prefix
	Bits    int
	IPv6    bool
}

// Aggregation is when neighbours that offend become the ban of a prefix. Zero fields mean the defaults.
type Aggregation struct {
	Bits4  int
	Bits6  int
	Never6 bool // IPv6 /64s stay what they are
	Over   int
}

// The most bans that a brake can speak of, as many as the kernel's sets hold, and the longest time of one.
const (
	maxBans    = 1 << 20
	maxBanTime = 10 * 365 * 24 * time.Hour
)

// brake is fw.brake.
func (l *loader) brake(L *lua.LState) int {
	const form = `fw.brake { bans = "100/min" }`
	t := l.table(L, 1, form)
	noMore(L, 1, form)
	l.once(t.pos, "fw.brake", "brake")
	l.noItems("fw.brake", t)
	fill(l, "fw.brake", t, brakeOptions(), &l.braking)
	return 0
}

// aggregate is fw.aggregate.
func (l *loader) aggregate(L *lua.LState) int {
	const form = `fw.aggregate { ipv4 = "/24", over = 8 }`
	t := l.table(L, 1, form)
	noMore(L, 1, form)
	l.once(t.pos, "fw.aggregate", "aggregation")
	l.noItems("fw.aggregate", t)
	fill(l, "fw.aggregate", t, aggregateOptions(), &l.aggregating)
	return 0
}

// once reports a second call of what a policy has one of.
func (l *loader) once(pos ruleset.Pos, function, thing string) {
	if first, ok := l.names[function]; ok {
		l.report(pos, "%s is called twice, first at %s, and a policy has one %s", function, first, thing)
		return
	}
	l.names[function] = pos
}

func brakeOptions() []option[*Brake] {
	return []option[*Brake]{
		{Entry{Name: "bans", Takes: `"100/min", or false for no limit`, Doc: `the most new bans that handlers, detectors and traps make; as many can come at once; default "3000/min"`, Example: `fw.brake { bans = "100/min" }`},
			func(_ *loader, b *Brake, v value) (err error) {
				if b.AnyRate = v.LValue == lua.LFalse; b.AnyRate {
					return nil
				}
				b.Bans, b.Per, err = banRate(v)
				return err
			}},
		{Entry{Name: "share", Takes: `"10% of 192.0.2.0/24", "5% of /16" for each such prefix, or a list of these`, Doc: "the most of a prefix that may be banned, in hundredths of its addresses, or of its /64s for IPv6. A length up to 32 is for IPv4, a longer one for IPv6; default none", Example: `fw.brake { share = { "10% of 192.0.2.0/24", "25% of /48" } }`},
			func(_ *loader, b *Brake, v value) error {
				return each(v, func(v value) error {
					s, err := share(v)
					b.Shares = append(b.Shares, s)
					return err
				})
			}},
		{Entry{Name: "most", Takes: "whole number", Doc: fmt.Sprintf("the most bans in force: one more takes the place of the one that ends soonest, but never of a person's, or is not made if that is itself; default %d", maxBans), Example: `fw.brake { most = 100000 }`},
			func(_ *loader, b *Brake, v value) (err error) {
				b.Most, err = whole(v, 1, maxBans)
				return err
			}},
	}
}

func aggregateOptions() []option[*Aggregation] {
	return []option[*Aggregation]{
		{Entry{Name: "ipv6", Takes: `"/48", "/56" or false`, Doc: `the widest prefix that is banned for its /64s: a /56 when more than over of them are banned, a /48 when more than four times as many are; default "/48"`, Example: `fw.aggregate { ipv6 = "/56" }`},
			func(_ *loader, a *Aggregation, v value) error {
				if a.Never6 = v.LValue == lua.LFalse; a.Never6 {
					return nil
				}
				word, err := oneOf(v, "/48", "/56")
				if err == nil {
					a.Bits6, err = strconv.Atoi(word[1:])
				}
				return err
			}},
		{Entry{Name: "ipv4", Takes: `"/20" to "/30"`, Doc: "the prefix that is banned when more than over of its addresses are; default never", Example: `fw.aggregate { ipv4 = "/24", over = 8 }`},
			func(_ *loader, a *Aggregation, v value) error {
				s, _ := v.LValue.(lua.LString)
				bits, slash := strings.CutPrefix(string(s), "/")
				n, err := strconv.Atoi(bits)
				if err != nil || !slash || !digits(bits) || n < 20 || n > 30 {
					return fmt.Errorf(`%s is no prefix length: write "/20" to "/30"`, describe(v.LValue))
				}
				a.Bits4 = n
				return nil
			}},
		{Entry{Name: "over", Takes: "whole number from 1 to 64", Doc: "how many of its /64s or addresses may be banned at once without the prefix being banned; default 4", Example: `fw.aggregate { over = 2 }`},
			func(_ *loader, a *Aggregation, v value) (err error) {
				a.Over, err = whole(v, 1, 64)
				return err
			}},
	}
}

// banRate reads "100/min".
func banRate(v value) (int, time.Duration, error) {
	s, ok := v.LValue.(lua.LString)
	if !ok {
		if n, is := v.LValue.(lua.LNumber); is {
			return 0, 0, fmt.Errorf("%v has no unit of time: write \"%v/min\"", n, n)
		}
		return 0, 0, fmt.Errorf("a rate such as \"100/min\" is expected, or false for no limit, not %s", describe(v.LValue))
	}
	count, unit, _ := strings.Cut(string(s), "/")
	per := map[string]time.Duration{"second": time.Second, "minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[unitName(unit)]
	n, err := strconv.Atoi(count)
	switch {
	case digits(string(s)):
		return 0, 0, fmt.Errorf("%q has no unit of time: write \"%s/min\"", string(s), string(s))
	case !digits(count) || per == 0:
		return 0, 0, fmt.Errorf("%q is no rate of bans: write for example \"100/min\", with s, min, h or d", string(s))
	case err != nil || n < 1 || n > maxBans:
		return 0, 0, fmt.Errorf("%q: %s bans is not possible: it is 1 to %d, and bans = false is no limit", string(s), count, maxBans)
	}
	return n, per, nil
}

// share reads "10% of 192.0.2.0/24" or "5% of /16".
func share(v value) (Share, error) {
	word, err := text(v)
	if err != nil {
		return Share{}, err
	}
	f := strings.Fields(word)
	if len(f) != 3 || f[1] != "of" || !strings.HasSuffix(f[0], "%") {
		return Share{}, fmt.Errorf("%q is no share: write \"10%% of 192.0.2.0/24\", or \"5%% of /16\" for each such prefix", word)
	}
	percent := strings.TrimSuffix(f[0], "%")
	n, err := strconv.Atoi(percent)
	if err != nil || !digits(percent) || n < 1 || n > 100 {
		return Share{}, fmt.Errorf("%q: %s is no share: it is a whole number from 1%% to 100%%", word, f[0])
	}
	s := Share{Percent: n}
	if err := s.of(f[2]); err != nil {
		return Share{}, fmt.Errorf("%q: %w", word, err)
	}
	return s, nil
}

// of reads what it is a share of.
func (s *Share) of(word string) error {
	bits, each := strings.CutPrefix(word, "/")
	if each {
		n, err := strconv.Atoi(bits)
		if err != nil || !digits(bits) || n > 128 {
			return fmt.Errorf("%q is no prefix length", word)
		}
		s.Bits, s.IPv6 = n, n > 32
	} else {
		p, err := netip.ParsePrefix(word)
		if err != nil || p.Addr().Is4In6() {
			return fmt.Errorf("%q is no prefix: write 192.0.2.0/24, or /24 for each prefix of that length", word)
		}
		if p != p.Masked() {
			return fmt.Errorf("%q has bits set behind its /%d: write %q", word, p.Bits(), p.Masked())
		}
		s.Of, s.Bits, s.IPv6 = p, p.Bits(), p.Addr().Is6()
	}
	return s.check()
}

// check refuses shares of what is too wide, too narrow, or too small to ban anybody.
func (s *Share) check() error {
	widest, narrowest := 8, 31
	if s.IPv6 {
		widest, narrowest = 16, 63
	}
	if s.Bits < widest || s.Bits > narrowest {
		return fmt.Errorf("a share is one of a prefix from /%d to /%d, not of a /%d", widest, narrowest, s.Bits)
	}
	units := math.Exp2(float64(narrowest + 1 - s.Bits))
	if units*float64(s.Percent) < 100 {
		return fmt.Errorf("that is less than one address, so that nobody could be banned: write at least %d%%", int(math.Ceil(100/units)))
	}
	return nil
}

// banTimes reads how long to ban: one time or a ladder of them.
func banTimes(v value) ([]time.Duration, error) {
	out, err := durations(v)
	for _, d := range out {
		if err == nil && d > maxBanTime {
			err = errors.New("a ban lasts ten years (\"10y\") at most")
		}
	}
	return out, err
}
