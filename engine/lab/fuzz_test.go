package lab

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzStep reads trace messages of any bytes.
func FuzzStep(f *testing.F) {
	f.Add([]byte{1, 0, 0, 0})
	f.Add([]byte("\x01\x00\x00\x00\x0a\x00\x01\x00table\x00\x00\x00\x0c\x00\x05\x00\x08\x00\x01\x00\xff\xff\xff\xfd\x08\x00\x04\x00\x00\x00\x00\x03"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, _ := (&tracer{names: map[string]string{}}).parse(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_TRACE, b)
		s.header(func(uint32) string { return "" })
	})
}

// FuzzCompare reads rules of any text, and takes no comparison for certain that it makes of nothing.
func FuzzCompare(f *testing.F) {
	for _, text := range []string{"ip saddr { 10.0.0.0/8, 192.0.2.1-192.0.2.9 } tcp dport != 22 accept", "tcp flags syn / fin,syn", "meta mark & 1 == 1", "ip saddr . tcp dport @x", "iifname { \"a*\""} {
		f.Add(text)
	}
	var h header
	h.Packet.Decode(0, []byte("\x45\x00\x00\x28\x00\x01\x00\x00\x40\x06\x00\x00\xc0\x00\x02\x05\xc6\x12\x00\x01\x9c\x40\x00\x16\x00\x00\x00\x00\x00\x00\x00\x00\x50\x02\x00\x00\x00\x00\x00\x00"))
	h.known = true
	if c := compare("ip saddr 192.0.2.5 tcp dport 22", &h); len(c) != 2 || c[0].Result != Equal || c[1].Result != Equal {
		f.Fatalf("%+v", c)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, c := range compare(text, &h) {
			if c.Result != Unknown && (c.Wants == "" || c.Key == "") {
				t.Errorf("%q: %+v", text, c)
			}
		}
	})
}

// FuzzRules reads listings of any text, and keeps to the lines of chains.
func FuzzRules(f *testing.F) {
	f.Add("table inet x { # handle 1\n\tchain in { # handle 2\n\t\ttype filter hook input priority filter; policy drop;\n\t\ttcp dport 22 counter accept comment \"ssh\" # handle 3\n\t}\n}\n")
	f.Fuzz(func(t *testing.T, listing string) {
		for _, c := range parseRules(listing).chains {
			if len(c.rules) > strings.Count(listing, "\n")+1 {
				t.Errorf("%d rules of %q", len(c.rules), listing)
			}
		}
	})
}
