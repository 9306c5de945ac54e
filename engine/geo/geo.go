// Package geo tells which country and which network (autonomous system) an
// address belongs to, from MaxMind DB files such as GeoLite2-Country.mmdb.
package geo

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/oschwald/maxminddb-golang/v2"
)

// ErrNoDatabase means that no database was named that could tell.
var ErrNoDatabase = errors.New("no database is named that tells")

// Files names the databases. Either may be empty.
type Files struct {
	Country string // of type Country, City or Enterprise
	ASN     string // of type ASN or ISP
}

// Place is what is known of an address; what is not is zero.
type Place struct {
	Country string `json:"country,omitempty"` // ISO 3166-1 alpha-2, such as "DE"
	ASN     uint32 `json:"asn,omitempty"`
	Network string `json:"network,omitempty"` // who runs it
}

// A DB answers from the databases. It is safe for concurrent use. The zero DB knows nothing.
type DB struct {
	country, asn *database

	mu         sync.Mutex
	young, old map[netip.Addr]Place // what was looked up lately
}

// database is one file, in memory: who replaces it on disk does not disturb.
type database struct {
	path   string
	reader *maxminddb.Reader
}

// maxDatabase bounds a file, in bytes.
const maxDatabase = 1 << 30

// Open reads the databases. Its errors name the file: one that is missing, no database, cut off or of another type.
func Open(f Files) (*DB, error) {
	db := &DB{}
	var errs [2]error
	db.country, errs[0] = open(f.Country, "country", "Country", "City", "Enterprise")
	db.asn, errs[1] = open(f.ASN, "asn", "ASN", "ISP")
	return db, errors.Join(errs[:]...)
}

func open(path, what string, types ...string) (*database, error) {
	if path == "" {
		return nil, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%s database: %w", what, err)
	}
	if info.Size() > maxDatabase {
		return nil, fmt.Errorf("%s database %s has more than %d bytes", what, path, maxDatabase)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%s database: %w", what, err)
	}
	r, err := parse(content)
	if err != nil {
		return nil, fmt.Errorf("%s database %s: it is no MaxMind database, or it is cut off: %w", what, path, err)
	}
	if typ := r.Metadata.DatabaseType; !slices.ContainsFunc(types, func(t string) bool { return strings.Contains(typ, t) }) {
		return nil, fmt.Errorf("%s database %s: it is of type %q, and one of %s is needed", what, path, typ, strings.Join(types, ", "))
	}
	return &database{path, r}, nil
}

// parse reads a database and tries whether its tree leads to data.
func parse(content []byte) (*maxminddb.Reader, error) {
	r, err := maxminddb.OpenBytes(content)
	if err != nil {
		return nil, err
	}
	for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{1, 1, 1, 1}), netip.AddrFrom4([4]byte{223, 255, 255, 254})} {
		if err := r.Lookup(a).Err(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// maxCached is how many addresses are remembered at least.
const maxCached = 4096

// Lookup tells what is known of an address.
func (db *DB) Lookup(a netip.Addr) Place {
	if db == nil || !a.IsValid() {
		return Place{}
	}
	a = a.Unmap().WithZone("")
	db.mu.Lock()
	defer db.mu.Unlock()
	if p, ok := db.young[a]; ok {
		return p
	}
	p, ok := db.old[a]
	if !ok {
		p = db.lookup(a)
	}
	if db.young == nil || len(db.young) >= maxCached {
		db.young, db.old = make(map[netip.Addr]Place, maxCached), db.young
	}
	db.young[a] = p
	return p
}

func (db *DB) lookup(a netip.Addr) Place {
	var p Place
	if db.country != nil {
		_ = db.country.reader.Lookup(a).DecodePath(&p.Country, "country", "iso_code") // a damaged place is an unknown one
	}
	if db.asn != nil {
		r := db.asn.reader.Lookup(a)
		_ = r.DecodePath(&p.ASN, "autonomous_system_number")
		_ = r.DecodePath(&p.Network, "autonomous_system_organization")
	}
	return p
}

// HasCountry and HasASN tell what there is a database for.
func (db *DB) HasCountry() bool { return db != nil && db.country != nil }

// HasASN is HasCountry for networks.
func (db *DB) HasASN() bool { return db != nil && db.asn != nil }

// Countries yields the prefixes of a country, an ISO code. An error ends it.
func (db *DB) Countries(codes ...string) iter.Seq2[netip.Prefix, error] {
	if !db.HasCountry() {
		return failed(fmt.Errorf("%w countries", ErrNoDatabase))
	}
	return within(db.country, codes, "country", "iso_code")
}

// Networks yields the prefixes of autonomous systems. An error ends it.
func (db *DB) Networks(numbers ...uint32) iter.Seq2[netip.Prefix, error] {
	if !db.HasASN() {
		return failed(fmt.Errorf("%w networks", ErrNoDatabase))
	}
	return within(db.asn, numbers, "autonomous_system_number")
}

func failed(err error) iter.Seq2[netip.Prefix, error] {
	return func(yield func(netip.Prefix, error) bool) { yield(netip.Prefix{}, err) }
}

// within yields the prefixes whose record has one of the values at a path. Many share a record, which is decoded once.
func within[T comparable](d *database, values []T, path ...any) iter.Seq2[netip.Prefix, error] {
	return func(yield func(netip.Prefix, error) bool) {
		wanted := map[uintptr]bool{}
		for r := range d.reader.Networks() {
			if err := r.Err(); err != nil {
				yield(netip.Prefix{}, fmt.Errorf("%s is damaged: %w", d.path, err))
				return
			}
			want, known := wanted[r.Offset()]
			if !known {
				var v T
				if err := r.DecodePath(&v, path...); err != nil {
					yield(netip.Prefix{}, fmt.Errorf("%s is damaged: %w", d.path, err))
					return
				}
				want = slices.Contains(values, v)
				wanted[r.Offset()] = want
			}
			if want && !yield(r.Prefix(), nil) {
				return
			}
		}
	}
}
