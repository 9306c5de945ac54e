package ban

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// aboutNow compares instants that went through the kernel's ticks.
var aboutNow = cmpopts.EquateApproxTime(2 * time.Second)

func inList(target string, since, left time.Duration) Ban {
	now := time.Now()
	return Ban{Target: prefix(target), Since: now.Add(-since), Until: now.Add(left), By: "sshd", Why: "5 failures", Origin: Manual}
}

func TestImportKeepsEverything(t *testing.T) {
	b := open(t, Config{})
	want := []Ban{
		inList("192.0.2.1", time.Hour, 3*time.Hour),
		inList("198.51.100.0/24", 2*time.Hour, time.Hour),
		{Target: prefix("203.0.113.7"), Since: time.Now(), Until: time.Now().Add(time.Hour), By: "portscan", Why: "11 ports", Origin: Local},
		inList("2001:db8::1", time.Minute, time.Hour),
		inList("2001:db8:1::/64", time.Minute, time.Hour),
	}
	ancient := inList("192.0.2.3", 0, time.Hour)
	ancient.Since = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	if got, err := b.Import(t.Context(), []Ban{ancient}, ImportOptions{}); err != nil || got.Booked != 1 {
		t.Errorf("a ban since the year 1: %+v, %v", got, err)
	}
	must(t, b.Unban(t.Context(), ancient.Target))
	done := 0
	got, err := b.Import(t.Context(), want, ImportOptions{Progress: func(n int) { done = n }})
	if err != nil || got.Booked != len(want) || done != len(want) {
		t.Fatalf("%+v, %v, %d done", got, err, done)
	}
	bans, err := b.Bans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	less := cmpopts.SortSlices(func(x, y Ban) bool { return x.Target.Compare(y.Target) < 0 })
	if diff := cmp.Diff(want, bans, aboutNow, less, cmp.Comparer(func(x, y netip.Prefix) bool { return x == y })); diff != "" {
		t.Error(diff)
	}
	again, err := b.Import(t.Context(), want, ImportOptions{})
	if err != nil || again.Booked != 0 || again.Duplicates != len(want) {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestImportAllOrNothing(t *testing.T) {
	b := open(t, Config{})
	if err := b.Protect(t.Context(), "the policy", []netip.Prefix{prefix("192.0.2.9")}); err != nil {
		t.Fatal(err)
	}
	list := []Ban{
		inList("192.0.2.1", 0, time.Hour), inList("192.0.2.0/24", 0, time.Hour), inList("0.0.0.0/0", 0, time.Hour),
		inList("198.51.100.1", 0, time.Hour), inList("198.51.100.2", 0, MaxTime+time.Hour), inList("203.0.113.4", 0, time.Hour),
	}
	opts := ImportOptions{Spare: []netip.Prefix{prefix("203.0.113.4")}}
	got, err := b.Import(t.Context(), list, opts)
	if err != nil {
		t.Fatal(err)
	}
	var at []int
	for _, r := range got.Refused {
		at = append(at, r.Index)
	}
	if diff := cmp.Diff([]int{1, 2, 4, 5}, at); diff != "" || got.Booked != 0 {
		t.Errorf("refused %v, booked %d", got.Refused, got.Booked)
	}
	for i, want := range []error{ErrProtected, ErrBadTarget, ErrBadTime, ErrProtected} {
		if !errors.Is(got.Refused[i].Err, want) {
			t.Errorf("%v is not %v", got.Refused[i].Err, want)
		}
	}
	if bans, err := b.Bans(t.Context()); err != nil || len(bans) != 0 {
		t.Errorf("half imported: %v, %v", bans, err)
	}
	opts.KeepGoing = true
	if got, err = b.Import(t.Context(), list, opts); err != nil || got.Booked != 2 || len(got.Refused) != 4 {
		t.Errorf("kept going: %+v, %v", got, err)
	}
	opts.DryRun = true
	list = []Ban{inList("192.0.2.2", 0, time.Hour)}
	if got, err = b.Import(t.Context(), list, opts); err != nil || got.Booked != 0 {
		t.Errorf("a dry run: %+v, %v", got, err)
	}
}

// A failure half-way takes back what was imported, and what it replaced is as it was.
func TestImportThatFailsIsUndone(t *testing.T) {
	b := open(t, Config{})
	if _, err := b.Ban(t.Context(), Request{Target: prefix("192.0.2.1"), Times: []time.Duration{time.Hour}, Why: "first", Origin: Manual}); err != nil {
		t.Fatal(err)
	}
	list := []Ban{inList("192.0.2.1", 0, 5*time.Hour)}
	for i := range importChunk {
		a := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
		list = append(list, inList(a.String(), 0, time.Hour))
	}
	ctx, cancel := context.WithCancel(t.Context())
	half := 0
	_, err := b.Import(ctx, list, ImportOptions{Progress: func(n int) {
		half = len(bansOf(t, b))
		cancel()
	}})
	if !errors.Is(err, context.Canceled) || half != importChunk {
		t.Fatalf("%v, with %d bans half-way", err, half)
	}
	bans := bansOf(t, b)
	if len(bans) != 1 || bans[0].Why != "first" || time.Until(bans[0].Until) > time.Hour {
		t.Errorf("%d bans are left, the first %v", len(bans), bans[0])
	}
}

func bansOf(t testing.TB, b *Book) []Ban {
	t.Helper()
	bans, err := b.Bans(context.Background())
	must(t, err)
	return bans
}
