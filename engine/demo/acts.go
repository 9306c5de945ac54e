package demo

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"moonlatch/engine/control"
)

// confirmIn is how long the policy that locks everybody out is on trial.
const confirmIn = 3 * time.Second

// patience is how long after the deadline the way must be open at the latest.
const patience = 10 * time.Second

// scan lets the attacker scan the server's ports and sees how far that gets.
func (p *play) scan(ctx context.Context) error {
	s, r := p.screen, &p.report.Scan
	s.title("2  somebody scans its ports, while a client goes on working")
	s.fact("the attacker scans", "ports 1 to %d of %s", scannedPorts, serverToOutside)
	before, err := banLatency(ctx)
	if err != nil {
		return err
	}
	if r.Scanner, err = p.stage.scan(ctx, p.witness); err != nil {
		return err
	}
	if r.Probes, r.Through, err = p.witness.counts(); err != nil {
		return err
	}
	after, err := banLatency(ctx)
	if err != nil {
		return err
	}
	if n := after.count - before.count; n > 0 {
		r.BanMS = 1000 * (after.sum - before.sum) / float64(n)
	}
	if r.Why, err = p.why(ctx); err != nil {
		return err
	}
	r.WebBlocked = !reaches(p.stage.attacker, serverToOutside, webPort)
	s.fact("probes that came through", "%d of %d, sent by %s", r.Through, r.Probes, r.Scanner)
	s.fact("the attacker is", "%s", yes(r.Why != "", "banned: "+r.Why, "NOT banned"))
	s.fact("from deciding packet to kernel ban", "%s", milliseconds(r.BanMS))
	s.fact("the attacker now reaches port 443", "%s", yes(r.WebBlocked, "no", "YES"))
	s.fact("the client's requests to port 443", "%d ok, %d failed", p.client.ok.Load(), p.client.failed.Load())
	return nil
}

// why tells why the attacker is banned, or "" if nobody banned them.
func (p *play) why(ctx context.Context) (string, error) {
	var list struct {
		Bans []control.Ban `json:"bans"`
	}
	if err := p.program.ask(ctx, &list, "bans"); err != nil {
		return "", err
	}
	for _, b := range list.Bans {
		if b.Target == attackerAddr {
			return fmt.Sprintf("%s, by detector %s, for %s", b.Why, b.By, time.Until(b.Until).Round(time.Minute)), nil
		}
	}
	return "", nil
}

// lockOut lets the administrator make the classic mistake, kills everything of
// Moonlatch, and waits for the kernel.
func (p *play) lockOut(ctx context.Context) error {
	s, r := p.screen, &p.report.LockOut
	s.title("3  the administrator locks everybody out, and Moonlatch is killed")
	p.client.pause()
	session, err := p.stage.openSession()
	if err != nil {
		return err
	}
	defer session.Close()
	apply := []string{"apply", "lockout.lua", "--confirm", confirmIn.String()}
	out, err := p.program.run(ctx, apply...)
	if err != nil {
		return err
	}
	applied := time.Now()
	s.command(out, apply...)
	end, err := deadline(p.witness.nft)
	if err != nil {
		return err
	}
	if err := p.lockedOut(session); err != nil {
		return err
	}
	s.fact("the kernel's deadline", "%s", end.Format("15:04:05.000"))
	resumed := make(chan time.Time, 1)
	go func() { resumed <- session.resumes(end.Add(patience)) }()
	back, err := p.waitForKernel(ctx, end)
	if err != nil {
		return err
	}
	at := <-resumed
	r.OpenCarriesData, r.OpenMS = !at.IsZero(), 1000*max(0, at.Sub(end).Seconds())
	r.Seconds = back.Open.Sub(applied).Seconds()
	r.LateMS, r.ClosedMS = 1000*back.Open.Sub(end).Seconds(), 1000*back.Closed.Sub(end).Seconds()
	s.fact("first new connection", "%s, %s after it", back.Open.Format("15:04:05.000"), milliseconds(r.LateMS))
	s.fact("the open connection", "%s", yes(r.OpenCarriesData, "carries data again, once TCP has repeated it", "STAYS DEAD"))
	return p.afterwards(ctx)
}

// waitForKernel waits for the administrator's way to open again.
func (p *play) waitForKernel(ctx context.Context, end time.Time) (opening, error) {
	ctx, cancel := context.WithDeadline(ctx, end.Add(patience))
	defer cancel()
	o, err := awaitOpening(ctx, p.stage.admin, netip.MustParseAddrPort(serverToAdmin+":"+sshPort))
	if err != nil {
		return o, fmt.Errorf("the kernel did not let the administrator in again: %w", err)
	}
	return o, nil
}

// lockedOut makes sure that nothing comes in, and kills everything of Moonlatch.
func (p *play) lockedOut(session session) error {
	s, r := p.screen, &p.report.LockOut
	r.Stalled = session.stalls()
	r.NewFailed = !reaches(p.stage.admin, serverToAdmin, sshPort)
	s.fact("a new ssh connection", "%s", yes(r.NewFailed, "times out", "WORKS"))
	s.fact("the open ssh connection", "%s", yes(r.Stalled, "stalls", "WORKS"))
	r.Killed = []int{p.program.kill()}
	var err error
	if r.Left, err = others(); err != nil {
		return err
	}
	s.fact("kill -9 of every Moonlatch process", "pid %d; others left: %d", r.Killed[0], len(r.Left))
	return nil
}

// afterwards looks at what is in force with no daemon running.
func (p *play) afterwards(ctx context.Context) error {
	p.client.start(ctx)
	p.report.Scan.StillBanned = !reaches(p.stage.attacker, serverToOutside, webPort)
	p.client.pause()
	out, err := p.program.run(ctx, "status")
	if err != nil {
		return err
	}
	p.screen.command(out, "status")
	var status control.Status
	if err := p.program.ask(ctx, &status, "status"); err != nil {
		return err
	}
	p.report.LockOut.Previous = status.State == control.Filtering && status.Confirmed.Number == p.confirmed
	return nil
}
