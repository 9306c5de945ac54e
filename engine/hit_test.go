package engine

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"moonlatch/engine/ban"
	"moonlatch/engine/detect"
	"moonlatch/engine/packet"
	"moonlatch/engine/policy"
)

// flooded shows a detector, over 1, two packets of a source, lets a reader act
// on the hit, and returns what that logs.
func flooded(t *testing.T, b *ban.Book, spec detect.Spec, shadow bool, from string) (log *bytes.Buffer) {
	t.Helper()
	spec.Name, spec.Over, spec.Within = "flood", 1, time.Minute
	state, err := detect.New(spec)
	if err != nil {
		t.Fatal(err)
	}
	log = new(bytes.Buffer)
	r := &reader{bans: b, queue: newQueue(), teller: teller{log: slog.New(slog.NewTextHandler(log, nil))}}
	d := &detector{&policy.Detector{Name: spec.Name, Spec: spec, Ban: []time.Duration{time.Hour}, Shadow: shadow}, state}
	p := packet.Packet{Src: netip.MustParseAddr(from), Dst: netip.MustParseAddr("192.0.2.1"), Dport: 22, HasPorts: true, Time: time.Now()}
	state.Observe(&p)
	hit := state.Observe(&p)
	if hit == nil {
		t.Fatal("no hit")
	}
	r.hit(nil, d, hit, p.Time)
	return log
}

// What is banned is what the detector counts per, unless that holds a protected address.
func TestHitBansWhatWasCountedTogether(t *testing.T) {
	for _, tt := range []struct {
		name, from, want, why string
		spec                  detect.Spec
	}{
		{"source", "203.0.113.9", "203.0.113.9/32", "2 packets in 0s", detect.Spec{Count: detect.Events}},
		{"IPv6 source", "2001:db8:2::9", "2001:db8:2::/64", "2 packets in 0s", detect.Spec{Count: detect.Events}},
		{"IPv6 source beside a protected address", "2001:db8:1::9", "2001:db8:1::9/128", "2 packets in 0s", detect.Spec{Count: detect.Events}},
		{"prefix", "203.0.113.9", "203.0.113.0/24", "2 packets in 0s", detect.Spec{Count: detect.Events, Bits4: 24}},
		{"prefix with a protected address", "198.51.100.9", "198.51.100.9/32", "2 packets in 0s", detect.Spec{Count: detect.Events, Bits4: 24}},
		{"IPv6 prefix", "2001:db8:2:1::9", "2001:db8:2::/48", "2 packets in 0s", detect.Spec{Count: detect.Events, Bits6: 48}},
		{"source and port", "203.0.113.9", "203.0.113.9/32", "2 packets to port 22 in 0s", detect.Spec{Count: detect.Events, Per: detect.SrcDport}},
		{"source and destination", "203.0.113.9", "203.0.113.9/32", "2 packets to 192.0.2.1 in 0s", detect.Spec{Count: detect.Events, Per: detect.SrcDst}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := openBook(t)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- b.Run(ctx) }()
			flooded(t, b, tt.spec, false, tt.from)
			for deadline := time.Now().Add(20 * time.Second); len(bannedBy(t, b)) == 0 && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			all, err := b.Bans(t.Context())
			cancel()
			if runErr := <-ended; err != nil || runErr != nil {
				t.Fatal(err, runErr)
			}
			if len(all) != 1 || all[0].Target.String() != tt.want || all[0].Why != tt.why {
				t.Errorf("bans: %+v, want %s: %s", all, tt.want, tt.why)
			}
		})
	}
}

// A detector in the shadow says whom it would have banned, and bans nobody.
func TestShadowedHit(t *testing.T) {
	b := openBook(t)
	log := flooded(t, b, detect.Spec{Count: detect.Events, Bits4: 24}, true, "203.0.113.9")
	if want := `msg="would ban" kind=would_ban target=203.0.113.0/24 by=flood why="2 packets in 0s"`; !strings.Contains(log.String(), want) {
		t.Errorf("log: %s, want %s", log, want)
	}
	if diff := cmp.Diff([]string(nil), bannedBy(t, b)); diff != "" {
		t.Error(diff)
	}
}
