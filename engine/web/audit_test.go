package web

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// TestAudited: what the page changes, or fails to, is on record like what commands do; what is not permitted changes nothing.
func TestAudited(t *testing.T) {
	p := serve(t)
	p.request(t, "POST", "/api/protect", `{"target":"203.0.113.9"}`, tokenHeader, p.token)
	p.service.err = errors.New("no such ban")
	p.request(t, "POST", "/api/unban", `{"target":"203.0.113.8"}`, tokenHeader, p.token)
	p.request(t, "POST", "/api/unban", `{"target":"203.0.113.7"}`, tokenHeader, "wrong")
	got := p.service.audited
	if len(got) != 2 || got[0].Command != "web page (127.0.0.1): protect 203.0.113.9" || got[0].Err != nil || got[0].PID != os.Getpid() {
		t.Fatalf("on record: %+v", got)
	}
	if got[1].Err == nil || !strings.HasSuffix(got[1].Command, "unban 203.0.113.8") {
		t.Errorf("on record: %+v", got[1])
	}
}
