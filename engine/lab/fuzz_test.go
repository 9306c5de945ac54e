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
		parseStep(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_TRACE, b)
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
