package demo

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"moonlatch/engine/control"
)

// Inside is Run's other half, in the private namespace: it plays the demo in the
// folder, shows it on out, which may be nil, and leaves the report in the folder.
// Policies holds web.lua.
func Inside(ctx context.Context, folder string, policies fs.FS, out io.Writer) error {
	// The kernel ends the daemon when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := &play{screen: newScreen(out), program: &program{folder: folder}}
	p.report.APIVersion = control.Version
	if err := p.run(ctx, policies); err != nil {
		p.report.Failure = err.Error()
		if log := p.program.log(); log != "" {
			p.report.Failure += "\nthe daemon's log ends with:\n" + log
		}
	}
	return p.report.write(filepath.Join(folder, reportFile))
}

// play is the demo while it runs.
type play struct {
	screen  *screen
	stage   *stage
	program *program
	witness *witness
	client  *client
	report  Report

	confirmed uint64 // number of the confirmed generation
}

func (p *play) run(ctx context.Context, policies fs.FS) error {
	if err := p.lay(policies); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var err error
	if p.stage, err = build(ctx); err != nil {
		return err
	}
	defer p.stage.close()
	defer cancel() // what is connected to the services must end before they do
	if p.witness, err = newWitness(ctx); err != nil {
		return err
	}
	defer p.witness.close()
	p.client = &client{host: p.stage.admin, addr: net.JoinHostPort(serverToAdmin, webPort)}
	defer p.client.pause()
	p.intro(ctx)
	if err := p.program.start(ctx); err != nil {
		return err
	}
	defer p.program.kill()
	for _, act := range []func(context.Context) error{p.policy, p.scan, p.lockOut} {
		if err := act(ctx); err != nil {
			return err
		}
		p.screen.pause(ctx, time.Second)
	}
	p.judge()
	return nil
}

// lay puts the policies into the folder.
func (p *play) lay(policies fs.FS) error {
	web, err := fs.ReadFile(policies, "web.lua")
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{"web.lua": web, "lockout.lua": lockoutPolicy} {
		if err := os.WriteFile(filepath.Join(p.program.folder, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) intro(ctx context.Context) {
	s := p.screen
	s.line("%s", s.paint(bold, "Moonlatch, shown on three hosts in private network namespaces."))
	s.line("Nothing of this machine is touched: everything is gone when the demo ends.\n")
	s.line("   attacker  %-14s ──┐", attackerAddr)
	s.line("                            ├── server: ssh, web server, Moonlatch")
	s.line("   admin     %-14s ──┘   (and an honest client)", adminAddr)
	s.pause(ctx, 2*time.Second)
}

// policy puts the policy for a web server in force.
func (p *play) policy(ctx context.Context) error {
	p.screen.title("1  a policy for a web server, checked, tried and confirmed")
	for _, arg := range [][]string{{"check", "web.lua"}, {"apply", "web.lua", "--confirm", "60s"}, {"confirm"}} {
		out, err := p.program.run(ctx, arg...)
		if err != nil {
			return err
		}
		p.screen.command(out, arg...)
		p.screen.pause(ctx, 700*time.Millisecond)
	}
	var status control.Status
	if err := p.program.ask(ctx, &status, "status"); err != nil {
		return err
	}
	if status.State != control.Filtering {
		return fmt.Errorf("the policy is confirmed, but what is in force is %q", status.State)
	}
	p.confirmed = status.Confirmed.Number
	p.client.start(ctx)
	return nil
}

// judge says whether each promise held.
func (p *play) judge() {
	p.report.Client = Client{OK: p.client.ok.Load(), Failed: p.client.failed.Load()}
	if p.client.first != nil {
		p.report.Client.Error = p.client.first.Error()
	}
	p.report.judge()
	p.screen.title("4  what was promised, and what was measured")
	p.screen.promises(p.report.Promises)
	p.screen.line("")
}
