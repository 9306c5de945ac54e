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
	"moonlatch/engine/web"
	"moonlatch/metrics"
)

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [POLICY]",
		Short: "Run the daemon: detectors, handlers, bans and metrics",
		Long: `Run puts the confirmed generation in force where the kernel holds none, and runs the
policy of the generation in force. With POLICY, a policy that is not the one in
force is applied on trial, as "moonlatch apply" does.

SIGUSR1 has the daemon log at level debug, and SIGUSR2 at the level that it started with.
SIGHUP reads the policy of the generation in force from its file again and puts
it on trial. SIGTERM ends the daemon and leaves rules, trials and bans in force.`,
		Example: `  moonlatch run
  moonlatch run --web 127.0.0.1:9632 --notify /etc/moonlatch/notify.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.run(c.Context(), args, f)
		},
	}
	c.Flags().StringVar(&f.metrics, "metrics", metrics.DefaultAddress, "serve Prometheus metrics on `address`; \"\" serves none")
	c.Flags().StringVar(&f.web, "web", "", "serve the web page, and the metrics beside it, on `address`, such as 127.0.0.1:9632")
	c.Flags().StringVar(&f.webConfig, "web-config", "", "exporter-toolkit `file` for TLS and authentication of metrics and web page")
	f.log.add(c)
	f.outputFlags.add(c)
	return c
}

// runFlags say what is served over HTTP, and where, and how the daemon logs.
type runFlags struct {
	metrics, web, webConfig string
	log                     logFlags
	outputFlags
}

func (a *app) run(ctx context.Context, args []string, f runFlags) error {
	signal.Ignore(syscall.SIGPIPE) // the log's reader may go; its firewall stays
	log, err := f.log.log(a)
	if err != nil {
		return err
	}
	defer log.spool.Flush()
	m := metrics.New()
	d, err := engine.Start(ctx, engine.Config{State: a.state, Log: log.Logger, Level: log.level, Spool: log.spool, Observe: m}, a.socket)
	if err != nil {
		return err
	}
	tasks := []engine.Task{reloads{d, log.Logger}, levels{d, f.log.level}}
	if err := f.outputs(d, log.Logger); err != nil {
		return err
	}
	servers, err := a.servers(m, d, f, log.Logger)
	if err != nil {
		return err
	}
	tasks = append(tasks, servers...)
	if len(args) == 1 {
		tasks = append(tasks, &firstPolicy{app: a, daemon: d, path: args[0], log: log.Logger})
	}
	log.Info("daemon running", "socket", a.socket, "state", a.state)
	daemon.SdNotify(false, daemon.SdNotifyReady)
	defer daemon.SdNotify(false, daemon.SdNotifyStopping)
	return d.Run(ctx, tasks...)
}

// servers are those that answer over HTTP.
func (a *app) servers(m *metrics.Metrics, d *engine.Daemon, f runFlags, log *slog.Logger) ([]engine.Task, error) {
	var out []engine.Task
	if f.metrics != "" {
		server, err := metrics.Listen(m, d, metrics.Config{Address: f.metrics, WebConfig: f.webConfig, Log: log})
		if err != nil {
			return nil, err
		}
		out = append(out, server)
	}
	if f.web == "" {
		return out, nil
	}
	scrape, err := m.Handler(d, log)
	if err != nil {
		return nil, err
	}
	page, err := web.Listen(d, web.Config{
		Address: f.web, WebConfig: f.webConfig, State: a.state, Feed: d.Feed(), Metrics: scrape,
		Counted: m.WebRequests, Listeners: m.WebListeners(), Log: log,
	})
	if err != nil {
		return nil, err
	}
	log.Info("web page", "address", page.Addr().String())
	return append(out, page), nil
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
	_, err = f.daemon.Apply(ctx, req)
	return err
}
