package geo

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/geo/geotest"
)

func files(t testing.TB) Files {
	t.Helper()
	dir := t.TempDir()
	f := Files{Country: filepath.Join(dir, "country.mmdb"), ASN: filepath.Join(dir, "asn.mmdb")}
	err := errors.Join(
		geotest.Country(f.Country, map[string]string{"203.0.113.0/24": "CN", "198.51.100.0/25": "RU", "2001:db8:1::/48": "CN"}),
		geotest.ASN(f.ASN, map[string]uint32{"203.0.113.0/24": 64500, "2001:db8:2::/48": 64500, "192.0.2.0/24": 64501}))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestLookup(t *testing.T) {
	db, err := Open(files(t))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Place{
		"203.0.113.9":        {"CN", 64500, "Network 64500"},
		"::ffff:203.0.113.9": {"CN", 64500, "Network 64500"},
		"198.51.100.1":       {Country: "RU"},
		"198.51.100.200":     {},
		"2001:db8:1::5":      {Country: "CN"},
		"2001:db8:2::5":      {ASN: 64500, Network: "Network 64500"},
	} {
		for range 2 { // the second time from memory
			if got := db.Lookup(netip.MustParseAddr(text)); got != want {
				t.Errorf("%s: %+v, want %+v", text, got, want)
			}
		}
	}
	if got := (*DB)(nil).Lookup(netip.MustParseAddr("203.0.113.9")); got != (Place{}) {
		t.Errorf("no database knows %+v", got)
	}
	for i := range 3 * maxCached {
		db.Lookup(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if n := len(db.young) + len(db.old); n > 2*maxCached {
		t.Errorf("%d addresses are remembered", n)
	}
}

func TestPrefixes(t *testing.T) {
	db, err := Open(files(t))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for p, err := range db.Countries("CN") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.String())
	}
	if diff := cmp.Diff([]string{"203.0.113.0/24", "2001:db8:1::/48"}, got); diff != "" {
		t.Error(diff)
	}
	got = nil
	for p, err := range db.Networks(64501, 64500) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p.String())
	}
	if diff := cmp.Diff([]string{"192.0.2.0/24", "203.0.113.0/24", "2001:db8:2::/48"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestOpenRefuses(t *testing.T) {
	f := files(t)
	whole, err := os.ReadFile(f.Country)
	if err != nil {
		t.Fatal(err)
	}
	cut, page := filepath.Join(t.TempDir(), "cut.mmdb"), filepath.Join(t.TempDir(), "page.mmdb")
	for path, content := range map[string][]byte{cut: whole[:len(whole)-60], page: []byte("<html>")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		f.ASN: "is of type \"GeoLite2-ASN\"", cut: "cut off", page: "no MaxMind database", "/nothere.mmdb": "no such file",
	} {
		if _, err := Open(Files{Country: path}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	db, err := Open(Files{})
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range db.Countries("CN") {
		if err == nil {
			t.Error("a country without a database")
		}
	}
}

// Whatever stands in a file, it is refused or read.
func FuzzParse(f *testing.F) {
	paths := files(f)
	for _, p := range []string{paths.Country, paths.ASN} {
		b, err := os.ReadFile(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(bytes.Repeat(b[len(b)/2:], 2))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		r, err := parse(content)
		if err != nil {
			return
		}
		db := &DB{country: &database{"x", r}, asn: &database{"x", r}}
		db.Lookup(netip.MustParseAddr("203.0.113.9"))
		db.Lookup(netip.MustParseAddr("2001:db8::1"))
		n := 0
		for range db.Countries("CN") {
			if n++; n > 1000 {
				break
			}
		}
	})
}
