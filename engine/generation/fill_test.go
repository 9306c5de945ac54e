package generation

import (
	"bytes"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"go4.org/netipx"

	"moonlatch/engine/nft"
	"moonlatch/engine/ruleset"
)

// blocking is a ruleset that drops what comes from a large set, the client in it.
func blocking(t *testing.T) *ruleset.Ruleset { return blockingAmong(t, 10_000) }

func blockingAmong(t *testing.T, n int) *ruleset.Ruleset {
	var b ruleset.AddressesBuilder
	client := netip.MustParseAddr("192.0.2.2")
	b.Add(netipx.IPRangeFrom(client, client))
	for i := range n {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		b.Add(netipx.IPRangeFrom(a, a))
		b.Add(netipx.RangeOfPrefix(netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 8), byte(i)}), 64)))
	}
	set := &ruleset.Set{Name: "feed", Addrs: b.Addresses()}
	return &ruleset.Ruleset{
		Policy: "web.lua", Sets: []*ruleset.Set{set},
		Chains: []*ruleset.Chain{{
			Name: "input", Hook: "input", Type: "filter", Priority: "filter", Policy: "accept",
			Rules: []*ruleset.Rule{{
				Name: "feed", Fields: []ruleset.Field{ruleset.Addr{Sets: []*ruleset.Set{set}}},
				Items: []ruleset.Item{ruleset.Verdict{Kind: "drop"}},
			}},
		}},
	}
}

func (s *server) applyRuleset(r *ruleset.Ruleset) (err error) {
	s.in(func() error {
		_, err = s.m.Apply(s.t.Context(), Request{
			Ruleset: r, Confirm: long, Fallback: FallbackPrevious, Files: map[string][]byte{"web.lua": []byte("-- policy")},
		})
		return nil
	})
	return err
}

// TestLargeSets applies, confirms and restores a set that does not stand in the text.
func TestLargeSets(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	must(t, s.applyRuleset(blocking(t)))
	s.expect("on trial", false, false)
	s.mustConfirm()
	s.expect("confirmed", false, false)
	table := nft.Table{Family: nft.Inet, Name: ruleset.Table(2)}
	count := func(when string) {
		t.Helper()
		for set, want := range map[string]int{"feed4": 10_001, "feed6": 10_000} {
			s.in(func() error {
				e, err := s.nft.Elements(table, set)
				if err != nil || len(e) != want {
					t.Errorf("%s: set %s has %d elements, %v; want %d", when, set, len(e), err, want)
				}
				return nil
			})
		}
	}
	count("confirmed")
	s.reboot()
	s.expect("rebooted", true, true)
	_, err := s.restore()
	must(t, err)
	s.expect("restored", false, false)
	count("restored")
	if l := s.list(); strings.Contains(l, "lease") || strings.Contains(l, "yield") {
		t.Error("the restored generation still has a gate")
	}
}

// TestSetsTogether has sets of which none is large, and all together more than the kernel takes of
// a user namespace in one message.
func TestSetsTogether(t *testing.T) {
	s := newServer(t)
	must(t, s.applyRuleset(blockingAmong(t, 3900)))
	s.expect("on trial", false, false)
	s.mustConfirm()
	s.reboot()
	_, err := s.restore()
	must(t, err)
	s.expect("restored", false, false)
}

// TestLargeSetsNotSaved: what cannot be stored is not in force, and nothing of it is left.
func TestLargeSetsNotSaved(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.in(func() error {
		_, err := s.m.Apply(t.Context(), Request{
			Ruleset: blocking(t), Files: map[string][]byte{"../web.lua": nil}, Confirm: long, Fallback: FallbackPrevious,
		})
		if err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("got %v, want an error that says that nothing was changed", err)
		}
		return nil
	})
	s.expect("not applied", true, false)
	if l := s.list(); strings.Contains(l, "feed") {
		t.Errorf("it is left behind:\n%s", l)
	}
	if numbers, err := s.m.store.numbers(); err != nil || len(numbers) != 1 {
		t.Errorf("stored are %v, %v; want only the first", numbers, err)
	}
}

// TestHalfLoaded is a process that died between loading a generation and arming it:
// that must disturb neither a trial nor what comes after it.
func TestHalfLoaded(t *testing.T) {
	s := newServer(t)
	s.mustApply(long, FallbackPrevious, 22)
	s.mustConfirm()
	s.mustApply(long, FallbackPrevious, 80)
	half := blocking(t).Render(ruleset.Options{Generation: 3, Trial: true}).String()
	load := func() { s.in(func() error { return s.nft.Run(t.Context(), []byte(half)) }) }
	load()
	s.expect("half loaded", false, true)
	if st := s.state(); st.Trial == nil || st.Trial.Number != 2 || st.Expired {
		t.Errorf("state: %+v; want generation 2 on trial", st)
	}
	must(t, s.rollback())
	s.expect("rolled back", true, false)
	load()
	s.mustApply(long, FallbackPrevious, 80)
	s.mustConfirm()
	s.expect("confirmed", false, true)
	if l := s.list(); strings.Contains(l, "feed") {
		t.Errorf("the half loaded generation is left behind:\n%s", l)
	}
}

func FuzzReadFill(f *testing.F) {
	f.Add([]byte("192.0.2.0/24\n2001:db8::/32\n"))
	f.Add([]byte("192.0.2.0\n\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		fill, err := readFill("sets/inet/feed4", content)
		if err != nil {
			return
		}
		var written bytes.Buffer
		must(t, writeFill(&written, fill))
		again, err := readFill("sets/inet/feed4", written.Bytes())
		if err != nil || !reflect.DeepEqual(again, fill) {
			t.Errorf("read %v, wrote and read %v: %v", fill, again, err)
		}
	})
}
