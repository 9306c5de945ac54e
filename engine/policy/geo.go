package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/netip"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"go4.org/netipx"

	"moonlatch/engine/geo"
)

// places are the databases that a policy names, opened when the first of them is needed.
type places struct {
	open  func(geo.Files) (*geo.DB, error)
	files geo.Files
	db    *geo.DB
	err   error
}

// get opens the databases.
func (g *places) get() (*geo.DB, error) {
	if g.db == nil && g.err == nil && g.files != (geo.Files{}) {
		if g.open == nil {
			return nil, errors.New("databases cannot be read here")
		}
		g.db, g.err = g.open(g.files)
	}
	return g.db, g.err
}

// Place tells what the policy's databases know of an address: nothing where it has none, or they cannot be read.
func (p *Policy) Place(a netip.Addr) geo.Place {
	return p.geo.db.Lookup(a)
}

// useGeo is fw.geo.
func (l *loader) useGeo(L *lua.LState) int {
	const form = `fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb" }`
	t := l.table(L, 1, form)
	noMore(L, 1, form)
	if l.geo.files != (geo.Files{}) {
		l.report(t.pos, "fw.geo is called twice, and a policy names its databases once")
		return 0
	}
	l.noItems("fw.geo", t)
	fill(l, "fw.geo", t, geoOptions(), &l.geo.files)
	// What is not there matters only where it is asked for; what is there has to be right.
	switch _, err := l.geo.get(); {
	case err == nil || l.geo.open == nil:
	case errors.Is(err, fs.ErrNotExist):
		l.env.Log.Warn("fw.geo: what it tells is not known", "policy", t.pos.String(), "error", err)
	default:
		l.report(t.pos, "fw.geo: %v", err)
	}
	return 0
}

func geoOptions() []option[*geo.Files] {
	file := func(name, doc, example string, to func(*geo.Files) *string) option[*geo.Files] {
		return option[*geo.Files]{
			Entry{Name: name, Takes: "path of a .mmdb file", Doc: doc, Example: `fw.geo { ` + name + ` = "` + example + `" }`},
			func(_ *loader, f *geo.Files, v value) error {
				path, err := text(v)
				if err == nil && !strings.HasPrefix(path, "/") {
					err = fmt.Errorf("%q is no whole path: write it as %q", path, example)
				}
				*to(f) = path
				return err
			},
		}
	}
	return []option[*geo.Files]{
		file("country", "what tells countries: GeoLite2-Country, GeoLite2-City, DBIP-Country-Lite", "/var/lib/GeoIP/GeoLite2-Country.mmdb", func(f *geo.Files) *string { return &f.Country }),
		file("asn", "what tells networks (autonomous systems): GeoLite2-ASN, DBIP-ASN-Lite", "/var/lib/GeoIP/GeoLite2-ASN.mmdb", func(f *geo.Files) *string { return &f.ASN }),
	}
}

// geoSetOptions fill a set from the databases.
func geoSetOptions() []option[*setContent] {
	return []option[*setContent]{
		{Entry{Name: "country", Takes: `country code such as "CN", or a list`, Doc: "takes in all addresses of these countries, from the database of fw.geo as it is when the policy is read", Example: `fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb" }; fw.set "far" { country = { "CN", "RU" } }`},
			func(_ *loader, c *setContent, v value) error {
				return each(v, func(v value) error {
					code, err := text(v)
					if err == nil && (len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "") {
						err = fmt.Errorf("%q is no country code: two capital letters are, such as \"CN\"", code)
					}
					if err == nil {
						c.countries = append(c.countries, code)
					}
					return err
				})
			}},
		{Entry{Name: "asn", Takes: "number of an autonomous system, or a list", Doc: "takes in all addresses of these networks, from the database of fw.geo as it is when the policy is read", Example: `fw.geo { asn = "/var/lib/GeoIP/GeoLite2-ASN.mmdb" }; fw.set "hosters" { asn = { 64500, 64501 } }`},
			func(_ *loader, c *setContent, v value) error {
				return each(v, func(v value) error {
					n, err := whole(v, 1, 1<<32-1)
					if err == nil {
						c.networks = append(c.networks, uint32(n))
					}
					return err
				})
			}},
	}
}

// placed reports whether the databases are to fill a set.
func (c setContent) placed() bool { return len(c.countries)+len(c.networks) > 0 }

// addPlaces adds the addresses of countries and networks.
func (l *loader) addPlaces(c setContent, add func(netipx.IPRange)) error {
	if !c.placed() {
		return nil
	}
	if l.geo.files == (geo.Files{}) {
		return errors.New(`no database tells that: name it before, as in fw.geo { country = "/var/lib/GeoIP/GeoLite2-Country.mmdb" }`)
	}
	db, err := l.geo.get()
	if len(c.countries) > 0 && !db.HasCountry() && err != nil || len(c.networks) > 0 && !db.HasASN() && err != nil {
		return err
	}
	for _, code := range c.countries {
		if err := addPrefixes(db.Countries(code), "country "+code, add); err != nil {
			return err
		}
	}
	for _, n := range c.networks {
		if err := addPrefixes(db.Networks(n), fmt.Sprintf("network AS%d", n), add); err != nil {
			return err
		}
	}
	return nil
}

func addPrefixes(all iter.Seq2[netip.Prefix, error], what string, add func(netipx.IPRange)) error {
	n := 0
	for p, err := range all {
		if errors.Is(err, geo.ErrNoDatabase) {
			return fmt.Errorf("%w: name it in fw.geo", err)
		}
		if err != nil {
			return err
		}
		add(netipx.RangeOfPrefix(p))
		n++
	}
	if n == 0 {
		return fmt.Errorf("the database has no addresses of the %s", what)
	}
	return nil
}

// placeFields are the fields of an event that the databases tell.
func placeFields() []eventField {
	field := func(name, takes, doc string, has func(*geo.DB) bool, get func(s *events, p geo.Place) lua.LValue) eventField {
		return eventField{
			Entry{Name: name, Takes: takes, Doc: doc, Example: `fw.on(closed, function(ev) fw.log.info(tostring(ev.` + name + `)) end)`},
			func(s *events) lua.LValue { return get(s, s.places.db.Lookup(s.pkt.Src)) },
			func(g *places) error { return g.needs(name, has) },
		}
	}
	return []eventField{
		field("country", "text", `the source's country, such as "DE", from the database of fw.geo`, (*geo.DB).HasCountry,
			func(s *events, p geo.Place) lua.LValue { return s.wordIf(p.Country != "", p.Country) }),
		field("asn", "number", "the source's network (autonomous system), from the database of fw.geo", (*geo.DB).HasASN,
			func(s *events, p geo.Place) lua.LValue { return s.numberIf(p.ASN != 0, p.ASN) }),
	}
}

// needs says what is missing for a field of an event.
func (g *places) needs(what string, has func(*geo.DB) bool) error {
	switch db, err := g.get(); {
	case has(db):
		return nil
	case err != nil:
		return fmt.Errorf("ev.%s cannot be told: %w", what, err)
	}
	return fmt.Errorf(`ev.%s needs a database: fw.geo { %s = "/path/of/it.mmdb" }`, what, what)
}
