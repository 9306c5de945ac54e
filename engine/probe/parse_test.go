package probe_test

import (
	"strings"
	"testing"
	"time"

	"moonlatch/engine/probe"
)

func TestParse(t *testing.T) {
	tests := []struct{ text, want string }{
		{"tcp:192.0.2.1:443", ""},
		{"tcp:[2001:db8::1]:443", ""},
		{"tcp:[fe80::1%eth0]:22", ""},
		{"tcp:[::ffff:192.0.2.1]:443", "tcp:192.0.2.1:443"},
		{"tcp:example.org:0443", "tcp:example.org:443"},
		{"udp:localhost:53", ""},
		{"dns:www.example.org", ""},
		{"dns:www.example.org.", ""},
		{"dns:www.example.org@192.0.2.53", ""},
		{"dns:www.example.org@192.0.2.53:53", "dns:www.example.org@192.0.2.53"},
		{"dns:www.example.org@192.0.2.53:5353", ""},
		{"dns:www.example.org@[2001:db8::53]", ""},
		{"dns:_dmarc.example.org@ns1.example.org", ""},
		{"http://192.0.2.1", ""},
		{"http://[2001:db8::1]:8080/health?full=1", ""},
		{"https://example.org/health#204", ""},
		{"http://[fe80::1%25eth0]/", ""},
		{"ping:192.0.2.1", ""},
		{"ping:2001:db8::1", "ping:[2001:db8::1]"},
		{"ping:example.org", ""},
	}
	for _, tt := range tests {
		p, err := probe.Parse(tt.text)
		if tt.want == "" {
			tt.want = tt.text
		}
		if err != nil || p.String() != tt.want || p.Timeout() != probe.DefaultTimeout {
			t.Errorf("Parse(%q) = %q, %v, want %q", tt.text, p, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "is no probe: write tcp:HOST:PORT"},
		{"192.0.2.1", "is no probe: write tcp:HOST:PORT"},
		{"icmp:192.0.2.1", `no probe of the kind "icmp": write tcp:HOST:PORT`},
		{"tcp://192.0.2.1:80", "only http and https have //"},
		{"tcp:192.0.2.1", "HOST:PORT is expected, as in 192.0.2.1:443"},
		{"tcp:2001:db8::1:443", "an IPv6 address stands in brackets"},
		{"tcp::443", "the host is missing"},
		{"tcp:192.0.2.1:", `"" is no port`},
		{"tcp:192.0.2.1:0", `"0" is no port`},
		{"tcp:192.0.2.1:65536", "a number from 1 to 65535"},
		{"tcp:192.0.2.1:+80", "is no port"},
		{"tcp:192.0.2.1:https", "is no port"},
		{"tcp:192.0.2.300:443", "is no IP address"},
		{"tcp:192.0.2:443", "is no IP address"},
		{"tcp:0.0.0.0:443", "no host's address"},
		{"tcp:-x.example:443", "no name that the DNS could know"},
		{"tcp:exa mple:443", "no name that the DNS could know"},
		{"tcp:" + strings.Repeat("a", 64) + ":443", "no name that the DNS could know"},
		{"tcp:" + strings.Repeat("a.", 200) + "b:443", "longer than 253"},
		{"tcp:" + strings.Repeat("a", 3000) + ":443", "too long"},
		{"dns:", "the host is missing"},
		{"dns:192.0.2.1", "is an address, and a name is expected"},
		{"dns:example.org@", "HOST:PORT"},
		{"dns:example.org@[::]", "HOST:PORT"},
		{"http:192.0.2.1", "no URL"},
		{"http://", "the host is missing"},
		{"http://user:secret@192.0.2.1/", "cannot hold a user"},
		{"http://192.0.2.1/#ok", "#ok is no status"},
		{"http://192.0.2.1/#600", "#600 is no status"},
		{"http://192.0.2.1:0/", "is no port"},
		{"http://192.0.2.1/\x00", "invalid control character"},
		{"ping:", "the host is missing"},
		{"ping:224.0.0.1", "no host's address"},
		{"ping:192.0.2.1:80", "no IP address"},
	}
	for _, tt := range tests {
		if p, err := probe.Parse(tt.text); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %q, %v, want an error with %q", tt.text, p, err, tt.want)
		}
	}
}

func TestTimeoutsAreBounded(t *testing.T) {
	p, err := probe.Parse("ping:192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []time.Duration{-time.Second, 0, time.Millisecond, time.Hour} {
		if _, err := p.Within(d); err == nil {
			t.Errorf("a time-out of %s is accepted", d)
		}
	}
	if q, err := p.Within(time.Second); err != nil || q.Timeout() != time.Second {
		t.Errorf("got %s, %v", q.Timeout(), err)
	}
}

func TestZeroProbeFails(t *testing.T) {
	if err := (probe.Probe{}).Run(t.Context()); err == nil {
		t.Error("the zero Probe reaches something")
	}
}

// FuzzParse holds every probe to its own text: it can be written down and read
// again, on one line, and says the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"tcp:192.0.2.1:443", "udp:[2001:db8::1]:53", "dns:example.org@[2001:db8::53]:5353", "dns:a_b.example.@ns",
		"https://example.org:8443/a%20b?q=1#204", "http://[fe80::1%25eth0]/", "ping:fe80::1%eth0", "tcp:[::ffff:1.2.3.4]:1",
		"http://ex%61mple/%zz", "dns:x@y@z", "http://a\x7f/", "tcp:[[::1]]:1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := probe.Parse(text)
		if err != nil {
			return
		}
		again, err := probe.Parse(p.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q became %q, which became %q, %v", text, p, again, err)
		}
		if strings.ContainsFunc(p.String(), func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Fatalf("%q holds control characters", p)
		}
	})
}
