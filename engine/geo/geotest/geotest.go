// Package geotest makes small MaxMind databases for tests.
package geotest

import (
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Country writes a database of countries, ISO codes by prefix.
func Country(t testing.TB, path string, of map[string]string) {
	t.Helper()
	w := tree(t, "GeoLite2-Country")
	for prefix, code := range of {
		insert(t, w, prefix, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}})
	}
	write(t, w, path)
}

// ASN writes a database of autonomous systems, numbers by prefix.
func ASN(t testing.TB, path string, of map[string]uint32) {
	t.Helper()
	w := tree(t, "GeoLite2-ASN")
	for prefix, number := range of {
		insert(t, w, prefix, mmdbtype.Map{
			"autonomous_system_number":       mmdbtype.Uint32(number),
			"autonomous_system_organization": mmdbtype.String(fmt.Sprintf("Network %d", number)),
		})
	}
	write(t, w, path)
}

func tree(t testing.TB, typ string) *mmdbwriter.Tree {
	t.Helper()
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: typ, RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func insert(t testing.TB, w *mmdbwriter.Tree, prefix string, value mmdbtype.DataType) {
	t.Helper()
	_, network, err := net.ParseCIDR(prefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Insert(network, value); err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, w *mmdbwriter.Tree, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := w.WriteTo(f); err != nil {
		t.Fatal(err)
	}
}
