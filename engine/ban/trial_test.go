package ban

import (
	"errors"
	"testing"
	"time"
)

// leftOf returns how long the kernel will hold a ban of a host, 0 if there is none.
func leftOf(t testing.TB, b *Book, target string) time.Duration {
	t.Helper()
	at := targetOf(prefix(target))
	e, ok, err := b.nft.Element(core(), string(at.set()), prefix(target))
	must(t, err)
	if !ok {
		return 0
	}
	return e.Expires
}

func wantLeft(t testing.TB, b *Book, target string, want time.Duration) {
	t.Helper()
	got := leftOf(t, b, target)
	if got > want || got < want-time.Minute || want == 0 && got != 0 {
		t.Errorf("the kernel holds %s for %s, want %s", target, got, want)
	}
}

const trialTime = 5 * time.Minute

// TestTrial walks through bans of all kinds, and both ends of a trial.
func TestTrial(t *testing.T) {
	for _, tt := range []struct {
		name                 string
		before               []Request // made before the trial
		during               []Request
		target               string
		left                 time.Duration // in the kernel during the trial
		confirmed, abandoned time.Duration // afterwards
	}{
		{"a new ban", nil, []Request{ask("192.0.2.1", time.Hour)}, "192.0.2.1", trialTime, time.Hour, 0},
		{"a new ban of a prefix", nil, []Request{ask("198.51.100.0/24", time.Hour)}, "198.51.100.0/24", trialTime, time.Hour, 0},
		{"a short ban", nil, []Request{ask("192.0.2.1", 2*time.Minute)}, "192.0.2.1", 2 * time.Minute, 2 * time.Minute, 0},
		{"a person's ban", nil, []Request{manual("192.0.2.1", time.Hour)}, "192.0.2.1", time.Hour, time.Hour, time.Hour},
		{"banned before, for longer than the trial", []Request{ask("192.0.2.1", 30*time.Minute)},
			[]Request{ask("192.0.2.1", time.Hour)}, "192.0.2.1", 30 * time.Minute, time.Hour, 30 * time.Minute},
		{"banned before, for less than the trial", []Request{ask("192.0.2.1", 2*time.Minute)},
			[]Request{ask("192.0.2.1", time.Hour)}, "192.0.2.1", trialTime, time.Hour, 2 * time.Minute},
		{"a prefix banned before", []Request{ask("198.51.100.0/24", 2*time.Minute)},
			[]Request{ask("198.51.100.0/24", time.Hour)}, "198.51.100.0/24", trialTime, time.Hour, 2 * time.Minute},
		{"twice on trial, the second time longer", nil,
			[]Request{ask("192.0.2.1", time.Hour), ask("192.0.2.1", 2*time.Hour)}, "192.0.2.1", trialTime, 2 * time.Hour, 0},
		{"on trial, then by a person", nil,
			[]Request{ask("192.0.2.1", time.Hour), manual("192.0.2.1", 30*time.Minute)}, "192.0.2.1", 30 * time.Minute, time.Hour, 30 * time.Minute},
		{"on trial, then by a person for longer", nil,
			[]Request{ask("192.0.2.1", time.Hour), manual("192.0.2.1", 2*time.Hour)}, "192.0.2.1", 2 * time.Hour, 2 * time.Hour, 2 * time.Hour},
	} {
		for _, confirmed := range []bool{true, false} {
			name, after := tt.name+", confirmed", tt.confirmed
			if !confirmed {
				name, after = tt.name+", abandoned", tt.abandoned
			}
			t.Run(name, func(t *testing.T) {
				b := open(t, Config{})
				for _, r := range tt.before {
					mustBan(t, b, r)
				}
				b.BeginTrial(time.Now().Add(trialTime))
				for _, r := range tt.during {
					mustBan(t, b, r)
				}
				wantLeft(t, b, tt.target, tt.left)
				must(t, b.EndTrial(t.Context(), confirmed))
				wantLeft(t, b, tt.target, after)
				mustBan(t, b, ask("203.0.113.1", time.Hour)) // the trial is over
				wantLeft(t, b, "203.0.113.1", time.Hour)
			})
		}
	}
}

// TestTrialPutsReasonBack: rolling back puts the reason back, too.
func TestTrialPutsReasonBack(t *testing.T) {
	b := open(t, Config{})
	mustBan(t, b, manual("192.0.2.1", 2*time.Minute))
	b.BeginTrial(time.Now().Add(trialTime))
	mustBan(t, b, ask("192.0.2.1", time.Hour))
	must(t, b.EndTrial(t.Context(), false))
	wantBans(t, b, listed{"192.0.2.1", 2 * time.Minute, "manual", "enough", Manual})
}

// TestTrialEndsByItself: the kernel ends the bans with every process dead.
func TestTrialEndsByItself(t *testing.T) {
	b := open(t, Config{})
	ban := func() (err error) {
		for _, target := range []string{"192.0.2.1", "2001:db8:0:1::/64", "198.51.100.0/24"} {
			if err == nil {
				_, err = b.Ban(t.Context(), ask(target, time.Hour))
			}
		}
		return err
	}
	trial := 500 * time.Millisecond
	b.BeginTrial(time.Now().Add(trial))
	err := ban()
	for ; errors.Is(err, ErrTrialOver) && trial < time.Minute; err = ban() { // the machine is busy
		trial *= 4
		must(t, b.EndTrial(t.Context(), false))
		b.BeginTrial(time.Now().Add(trial))
	}
	must(t, err)
	eventually(t, func() bool { return len(listBans(t, b)) == 0 })
	eventually(t, func() bool {
		_, err := b.Ban(t.Context(), ask("192.0.2.1", time.Hour))
		return errors.Is(err, ErrTrialOver)
	})
	mustBan(t, b, manual("192.0.2.2", time.Hour))
	must(t, b.EndTrial(t.Context(), false))
	wantBans(t, b, listed{"192.0.2.2", time.Hour, "manual", "enough", Manual})
}

// TestTrialForgets what has been lifted or protected since.
func TestTrialForgets(t *testing.T) {
	b := open(t, Config{})
	b.BeginTrial(time.Now().Add(trialTime))
	for _, target := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.0/24"} {
		mustBan(t, b, ask(target, time.Hour))
	}
	if _, err := b.Ban(t.Context(), ask("192.0.2.3", time.Hour)); !errors.Is(err, ErrDuplicate) {
		t.Errorf("the same ban again: %v, want a duplicate", err)
	}
	must(t, b.Unban(t.Context(), prefix("192.0.2.1")))
	mustProtect(t, b, "session", "192.0.2.2", "198.51.100.7")
	must(t, b.EndTrial(t.Context(), true))
	wantBans(t, b, local("192.0.2.3", time.Hour))
	b.BeginTrial(time.Now().Add(trialTime))
	mustBan(t, b, ask("192.0.2.4", time.Hour))
	_, err := b.UnbanAll(t.Context())
	must(t, err)
	must(t, b.EndTrial(t.Context(), true))
	wantBans(t, b)
}

// TestTrialOffences: those of a policy that was rolled back do not count for the ladder.
func TestTrialOffences(t *testing.T) {
	for _, confirmed := range []bool{true, false} {
		b := open(t, Config{})
		r := ask("192.0.2.1", time.Hour, 2*time.Hour)
		b.BeginTrial(time.Now().Add(trialTime))
		mustBan(t, b, r)
		must(t, b.EndTrial(t.Context(), confirmed))
		_, err := b.UnbanAll(t.Context())
		must(t, err)
		want := time.Hour
		if confirmed {
			want = 2 * time.Hour
		}
		if ban := mustBan(t, b, r); ban.Until.Sub(ban.Since).Round(time.Minute) != want {
			t.Errorf("confirmed %t: banned until %s, want for %s", confirmed, ban.Until, want)
		}
		_, err = b.UnbanAll(t.Context())
		must(t, err)
	}
}

// TestMoveTrial extends a trial and walks through what that means for bans of all kinds.
func TestMoveTrial(t *testing.T) {
	const extended = 40 * time.Minute
	for _, tt := range []struct {
		name            string
		before, during  []Request
		target          string
		left, abandoned time.Duration // in the kernel after the extension, and after its end unconfirmed
	}{
		{"a new ban", nil, []Request{ask("192.0.2.1", time.Hour)}, "192.0.2.1", extended, 0},
		{"a new ban of a prefix", nil, []Request{ask("198.51.100.0/24", time.Hour)}, "198.51.100.0/24", extended, 0},
		{"a ban as short as the extension", nil, []Request{ask("192.0.2.1", 20*time.Minute)}, "192.0.2.1", 20 * time.Minute, 0},
		{"banned before, for less than the trial", []Request{ask("192.0.2.1", 2*time.Minute)},
			[]Request{ask("192.0.2.1", time.Hour)}, "192.0.2.1", extended, 2 * time.Minute},
		{"banned before, for less than the extension", []Request{ask("192.0.2.1", 30*time.Minute)},
			[]Request{ask("192.0.2.1", time.Hour)}, "192.0.2.1", extended, 30 * time.Minute},
		{"banned before, for longer than the extension", []Request{ask("192.0.2.1", 50*time.Minute)},
			[]Request{ask("192.0.2.1", 2*time.Hour)}, "192.0.2.1", 50 * time.Minute, 50 * time.Minute},
		{"on trial, then by a person", nil,
			[]Request{ask("192.0.2.1", time.Hour), manual("192.0.2.1", 30*time.Minute)}, "192.0.2.1", extended, 30 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := open(t, Config{})
			must(t, b.MoveTrial(t.Context(), time.Now().Add(time.Hour))) // nothing is on trial
			for _, r := range tt.before {
				mustBan(t, b, r)
			}
			b.BeginTrial(time.Now().Add(trialTime))
			for _, r := range tt.during {
				mustBan(t, b, r)
			}
			must(t, b.MoveTrial(t.Context(), time.Now().Add(extended)))
			wantLeft(t, b, tt.target, tt.left)
			mustBan(t, b, ask("203.0.113.1", time.Hour))
			wantLeft(t, b, "203.0.113.1", extended)
			must(t, b.EndTrial(t.Context(), false))
			wantLeft(t, b, tt.target, tt.abandoned)
		})
	}
}
