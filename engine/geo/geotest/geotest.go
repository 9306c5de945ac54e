// Package geotest makes small MaxMind databases for tests.
package geotest

import (
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
)

// Country writes a database of countries, ISO codes by prefix.
func Country(path string, of map[string]string) error {
	records := map[string]mmdbtype.DataType{}
	for prefix, code := range of {
		records[prefix] = mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(code)}}
	}
	return write(path, "GeoLite2-Country", records)
}

// ASN writes a database of autonomous systems, numbers by prefix.
func ASN(path string, of map[string]uint32) error {
	records := map[string]mmdbtype.DataType{}
	for prefix, number := range of {
		records[prefix] = mmdbtype.Map{
			"autonomous_system_number":       mmdbtype.Uint32(number),
			"autonomous_system_organization": mmdbtype.String(fmt.Sprintf("Network %d", number)),
		}
	}
	return write(path, "GeoLite2-ASN", records)
}

func write(path, typ string, records map[string]mmdbtype.DataType) error {
	w, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: typ, RecordSize: 24, IncludeReservedNetworks: true})
	if err != nil {
		return err
	}
	for prefix, record := range records {
		_, network, err := net.ParseCIDR(prefix)
		if err != nil {
			return err
		}
		if err := w.Insert(network, record); err != nil {
			return err
		}
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = w.WriteTo(f)
	return errors.Join(err, f.Close())
}
