package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"moonlatch/engine"
	"moonlatch/engine/control"
	"moonlatch/metrics"
)

func (a *app) runCommand() *cobra.Command {
	var listen, webConfig string
	c := &cobra.Command{
		Use:   "run [POLICY]",
		Short: "Run the daemon: detectors, handlers, bans and metrics",
		Long: `Run puts the confirmed generation in force where the kernel holds none, and runs the
policy of the generation in force. With POLICY, a policy that is not the one in
force is applied on trial, as "moonlatch apply" does.

SIGHUP reads the policy of the generation in force from its file again and puts
it on trial. SIGTERM ends the daemon and leaves rules, trials and bans in force.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c.Context(), args, listen, webConfig)
		},
	}
	c.Flags().StringVar(&listen, "metrics", metrics.DefaultAddress, "serve Prometheus metrics on `address`; \"\" serves none")
	c.Flags().StringVar(&webConfig, "web-config", "", "exporter-toolkit `file` for TLS and authentication of the metrics")
	return c
}

func (a *app) run(ctx context.Context, args []string, listen, webConfig string) error {
	log := a.log()
	m := metrics.New()
	d, err := engine.Start(ctx, engine.Config{State: a.state, Log: log, Observe: m}, a.socket)
	if err != nil {
		return err
	}
	tasks := []engine.Task{reloads{d, log}}
	if listen != "" {
		server, err := metrics.Listen(m, d, metrics.Config{Address: listen, WebConfig: webConfig, Log: log})
		if err != nil {
			return err
		}
		tasks = append(tasks, server)
	}
	if len(args) == 1 {
		tasks = append(tasks, &firstPolicy{app: a, daemon: d, path: args[0], log: log})
	}
	log.Info("daemon running", "socket", a.socket, "state", a.state)
	daemon.SdNotify(false, daemon.SdNotifyReady)
	defer daemon.SdNotify(false, daemon.SdNotifyStopping)
	return d.Run(ctx, tasks...)
}

// reloads applies the policy's file again at every SIGHUP.
type reloads struct {
	daemon *engine.Daemon
	log    *slog.Logger
}

func (reloads) String() string { return "reload" }

func (r reloads) Run(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			if err := r.daemon.Reload(ctx); err != nil {
				r.log.Error("reload failed: the running policy stays", "error", err)
			}
		}
	}
}

// firstPolicy applies the policy that the daemon was started with, unless it is
// the one in force. A policy that is refused ends the daemon only where nothing
// is in force: otherwise the firewall that runs is worth more.
type firstPolicy struct {
	app    *app
	daemon *engine.Daemon
	path   string
	log    *slog.Logger
}

func (*firstPolicy) String() string { return "first policy" }

func (f *firstPolicy) Run(ctx context.Context) error {
	err := f.apply(ctx)
	if err == nil {
		return nil
	}
	s, statusErr := f.daemon.Status(ctx)
	if statusErr != nil || s.State == control.Opened && !s.LeaseOver {
		return errors.Join(err, statusErr)
	}
	f.log.Error("the given policy is not applied: what is in force stays", "error", err)
	return nil
}

func (f *firstPolicy) apply(ctx context.Context) error {
	p, req, err := engine.Load(f.path, f.log)
	if err != nil {
		return err
	}
	digest := p.Ruleset().Digest()
	p.Close()
	s, err := f.daemon.Status(ctx)
	if err != nil {
		return err
	}
	if s.State == control.Filtering || s.LeaseOver && s.Trial == nil {
		if s.Confirmed.Digest == digest {
			return nil
		}
	}
	req.By = caller()
	applied, err := f.daemon.Apply(ctx, req)
	if err != nil {
		return err
	}
	f.log.Warn("the policy is in force on trial: confirm it with moonlatch confirm", "generation", applied.Generation.Number, "seconds", applied.Left)
	return nil
}
