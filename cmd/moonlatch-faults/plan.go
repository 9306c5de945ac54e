package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// What a step of a life tries to do.
const (
	opTrial  = "trial"     // apply a policy, and end its trial in some way
	opBan    = "ban"       // ban one of the pool
	opUnban  = "unban"     // lift a ban
	opReset  = "reset"     // open the firewall
	opOpen   = "reset all" // open the machine, with what others have made of it
	opNet    = "safetynet" // a watchdog resets everything at its tick
	opGuard  = "guard"     // have a command change the rules of others, on guard
	opReboot = "reboot"    // everything of ours and of the kernel's is gone; the boot unit runs
	opDamage = "damage"    // the store is damaged, and then a reboot
	opPower  = "power cut" // confirm a policy, with a power cut at every boundary of the store
)

// How a trial ends.
const (
	endConfirm  = "confirm"
	endRollback = "rollback"
	endExpire   = "expire"
	endLate     = "confirm too late"
	endReset    = "reset"
	endExtend   = "extend"  // the trial, which expires later
	endReplace  = "replace" // by another trial, which expires

	endUndo = "undo" // of a reset of everything
)

// step is one thing to do, and the faults meanwhile. All of it is decided before
// it begins.
type step struct {
	daemon  bool // one runs, at least in the beginning
	op      string
	policy  kind
	variant state
	trial   time.Duration // or the time of a guard, or between two ticks
	does    string        // the command on guard
	end     string
	next    state // of endReplace
	member  int
	ban     time.Duration
	clock   time.Duration // how far the clocks of commands are ahead, apart from the wall clock
	damage  int           // which file of the store
	faults  []fault
	late    bool // what was broken stays broken until after the trial's deadline
	prove   bool // afterwards, another policy can be applied and confirmed
}

// fault is one thing that goes wrong, some time after the beginning of a phase.
type fault struct {
	kind    string
	phase   int // phaseFirst, …
	after   time.Duration
	lasts   time.Duration // of a stop
	instant time.Duration // in the life of an nft, when it is killed or stopped
	slack   int           // of a full disk: how many bytes are still free
	call    int           // of a kill at a system call: the how manieth
	kernel  bool          // of those that tell the kernel something, not of those that change the store
}

// The phases of a step.
const (
	phaseFirst  = iota // the command, or the apply of a trial
	phaseSecond        // what ends the trial
	phaseWait          // until the trial's deadline
)

func (f fault) String() string {
	s := fmt.Sprintf("%s %s after phase %d begins", f.kind, f.after.Round(time.Millisecond), f.phase+1)
	switch f.kind {
	case faultStopAll, faultStopDaemon:
		s += fmt.Sprintf(", for %s", f.lasts.Round(time.Millisecond))
	case faultNFT + nftKilled, faultNFT + nftStopped:
		s += fmt.Sprintf(", %s after it begins", f.instant.Round(time.Millisecond))
	case faultFull:
		s += fmt.Sprintf(", %d bytes left", f.slack)
	case faultAtCall:
		s = fmt.Sprintf("%s %d of phase %d, to the store", f.kind, f.call, f.phase+1)
		if f.kernel {
			s = fmt.Sprintf("%s %d of phase %d, to the kernel", f.kind, f.call, f.phase+1)
		}
	}
	return s
}

func (s step) String() string {
	words := []string{s.op}
	switch s.op {
	case opTrial:
		words = append(words, "of", s.policy.file(s.variant), "for", s.trial.String(), "then", s.end)
	case opBan:
		words = append(words, fmt.Sprint(poolAddrs()[s.member]), "for", s.ban.String())
	case opUnban:
		words = append(words, fmt.Sprint(poolAddrs()[s.member]))
	}
	if s.op == opGuard {
		words = append(words, "over a command that", s.does, "for", s.trial.String(), "then", s.end)
	}
	if s.op == opOpen && s.end == endUndo {
		words = append(words, "then", s.end)
	}
	if !s.daemon {
		words = append(words, "(no daemon)")
	}
	if s.clock != 0 {
		words = append(words, fmt.Sprintf("(clocks %s ahead)", s.clock))
	}
	for _, f := range s.faults {
		words = append(words, "·", f.String())
	}
	return strings.Join(words, " ")
}

// newLife decides a whole life of so many steps, all of one kind unless that is empty: the same arguments give the same life.
func newLife(seed, number uint64, n int, only string) []step {
	r := rand.New(rand.NewPCG(seed, number))
	steps := make([]step, n)
	daemon := r.IntN(2) == 0
	for i := range steps {
		if r.IntN(4) == 0 {
			daemon = !daemon
		}
		for steps[i] = newStep(r, daemon); only != "" && steps[i].op != only; {
			steps[i] = newStep(r, daemon)
		}
	}
	return steps
}

func opWeights() []weight {
	return []weight{{opTrial, 60}, {opGuard, 9}, {opBan, 13}, {opUnban, 4}, {opReset, 4}, {opOpen, 4}, {opNet, 2}, {opReboot, 5}, {opDamage, 4}, {opPower, 2}}
}

func newStep(r *rand.Rand, daemon bool) step {
	s := step{
		daemon:  daemon,
		op:      weighed(r, opWeights()),
		variant: variant1 + state(r.IntN(variants)),
		next:    variant1 + state(r.IntN(variants)),
		member:  r.IntN(len(poolAddrs())),
		ban:     []time.Duration{3 * time.Second, 10 * time.Minute}[r.IntN(2)],
		damage:  r.IntN(damages),
		late:    r.IntN(3) > 0,
		prove:   r.IntN(4) == 0,
	}
	s.policy = kind(weighed(r, []weight{{string(good), 40}, {string(lockout), 30}, {string(banning), 12}, {string(big), 10}, {string(invalid), 2}, {string(refused), 3}}))
	s.trial = time.Duration(r.IntN(2)+1) * time.Second
	switch s.policy {
	case good, big:
		s.end = weighed(r, []weight{{endConfirm, 60}, {endRollback, 10}, {endExpire, 12}, {endLate, 8}, {endExtend, 5}, {endReset, 3}, {endReplace, 12}})
	default:
		s.end = weighed(r, []weight{{endRollback, 15}, {endExpire, 55}, {endExtend, 10}, {endReset, 3}, {endReplace, 17}})
	}
	switch s.op {
	case opOpen:
		s.end = weighed(r, []weight{{endReset, 60}, {endUndo, 40}})
	case opNet:
		s.trial = tick
	case opGuard:
		s.does = weighed(r, []weight{{doesAdd, 20}, {doesBlock, 40}, {doesFlush, 20}, {doesReset, 15}, {doesFail, 10}, {doesStay, 10}})
		s.end = weighed(r, []weight{{endConfirm, 35}, {endRollback, 15}, {endExpire, 50}})
		if s.does == doesStay {
			s.end = endExpire
		}
		s.trial += time.Second
	}
	if r.IntN(6) == 0 {
		s.clock = time.Duration(r.IntN(1e6)) * time.Second
	}
	if s.op == opPower || s.op == opReboot || s.op == opDamage {
		return s
	}
	for range weighed(r, []weight{{"", 10}, {"1", 50}, {"12", 30}, {"123", 10}}) {
		f := newFault(r, s)
		s.faults = append(s.faults, f)
		if s.op == opGuard && (f.holdsUp() || s.does == doesReset && f.holdsUpReset()) {
			s.does = doesAdd // what a command does after its guard's end is its own affair, so it locks nobody out
		}
		s.daemon = s.daemon && f.kind != faultAtCall // where a daemon runs, the command makes few calls
	}
	return s
}

func newFault(r *rand.Rand, s step) fault {
	f := fault{kind: weighed(r, faultWeights()), slack: r.IntN(4) * 4096, instant: time.Duration(r.IntN(12)) * time.Millisecond}
	if s.op == opGuard {
		f.kind = weighed(r, []weight{{f.kind, 6}, {faultKillRest, 3}, {faultKillWatchdog, 4}, {faultStopParent, 2}})
	}
	if s.op == opNet {
		f.kind = weighed(r, []weight{{f.kind, 6}, {faultKillRest, 3}, {faultKillWatchdog, 4}})
	}
	phases := 1
	switch s.op {
	case opTrial, opGuard, opNet:
		phases = 3
	case opOpen:
		phases = 2
	}
	f.phase = r.IntN(phases)
	// Commands take some tens of milliseconds on an idle machine.
	most := []time.Duration{50 * time.Millisecond, 200 * time.Millisecond}[r.IntN(2)]
	if f.phase == phaseWait {
		most = s.trial + 200*time.Millisecond
	}
	f.after = time.Duration(r.Int64N(int64(most)))
	f.lasts = time.Duration(r.Int64N(int64([]time.Duration{200 * time.Millisecond, 3 * time.Second}[r.IntN(2)])))
	if strings.HasPrefix(f.kind, faultNFT) && r.IntN(2) == 0 {
		f.after = 0
	}
	if f.kernel = r.IntN(3) == 0; f.kernel {
		f.call = 1 + r.IntN(90) // it reads more than it writes, and so do these
	} else {
		f.call = 1 + r.IntN(11)
	}
	if f.kind == faultAtCall && f.phase == phaseWait {
		f.phase = phaseSecond
	}
	return f
}

// blocks reports whether something of the step may be in the way of its commands.
func (s step) blocks() bool {
	return s.op == opPower || s.does == doesStay || slices.ContainsFunc(s.faults, func(f fault) bool {
		return f.holdsUp() || f.holdsUpReset() || f.kind == faultStopParent
	})
}

// spoilsDisk reports whether the disk takes nothing in the step.
func (s step) spoilsDisk() bool {
	return slices.ContainsFunc(s.faults, func(f fault) bool { return f.kind == faultFull || f.kind == faultReadOnly })
}

// holdsUp reports whether a guarded command may be held up past its guard's end.
func (f fault) holdsUp() bool {
	return f.kind == faultStopAll || f.kind == faultNFT+nftStopped
}

// holdsUpReset reports whether a reset may have to wait, for the daemon or for an nft that has the lock.
func (f fault) holdsUpReset() bool {
	return f.kind == faultStopDaemon || strings.HasPrefix(f.kind, faultNFT)
}

// weight is how often something is chosen.
type weight struct {
	what string
	n    int
}

func weighed(r *rand.Rand, all []weight) string {
	sum := 0
	for _, w := range all {
		sum += w.n
	}
	n := r.IntN(sum)
	for _, w := range all {
		if n -= w.n; n < 0 {
			return w.what
		}
	}
	return ""
}
