// Package web serves the page that shows a daemon and settles its trials: the
// page's files, which are embedded, and what the page asks. It works for the
// daemon, but nothing that comes over HTTP can hold up the daemon's own work.
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"
	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
)

// What everybody together may use of the server. One page makes some twenty
// requests when it is opened, and one or two a second from then on.
const (
	maxConns    = 256 // above, connections wait to be accepted
	maxRequests = 100 // a second
	maxBurst    = 300
	maxHeader   = 16 << 10
	maxBody     = 64 << 10
	// shutdownGrace is how long an answer under way may take when the daemon stops.
	shutdownGrace = time.Second
)

// Config says how the page is served.
type Config struct {
	Address string // host and port; anything but loopback takes a WebConfig
	// WebConfig names a file that asks for TLS and a password or a client's
	// certificate, in the format of the Prometheus exporter-toolkit. Empty means neither.
	WebConfig string
	State     string       // the state directory, which holds the token
	Feed      *feed.Hub    // what happens
	Metrics   http.Handler // of /metrics
	// Counted wraps the handler of everything, and Listeners follows how many clients
	// listen to live events. Both may be nil.
	Counted   func(http.Handler) http.Handler
	Listeners Gauge
	Log       *slog.Logger
}

// Gauge goes up and down.
type Gauge interface {
	Inc()
	Dec()
}

// Server serves the page.
type Server struct {
	cfg      Config
	service  control.Service
	listener net.Listener
	http     *http.Server
	loopback bool
	limit    *rate.Limiter
	streams  *streams

	explaining chan struct{} // holds a token while somebody asks about an address
}

// Listen opens the address and returns a Server that answers once it runs. Its
// errors name what to change.
func Listen(s control.Service, cfg Config) (*Server, error) {
	addr, err := resolve(cfg.Address, cfg.WebConfig)
	if err != nil {
		return nil, err
	}
	l, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("the web page cannot be served on %s: %w; give another address with --web", cfg.Address, err)
	}
	out := &Server{
		cfg: cfg, service: s, listener: netutil.LimitListener(l, maxConns),
		loopback: addr.IP.IsLoopback(), limit: rate.NewLimiter(maxRequests, maxBurst), streams: newStreams(cfg.Feed),
		explaining: make(chan struct{}, 1),
	}
	handler := out.guarded(out.routes())
	if cfg.Counted != nil {
		handler = cfg.Counted(handler)
	}
	out.streams.listeners = cfg.Listeners
	out.http = &http.Server{
		Handler:           handler,
		ErrorLog:          slog.NewLogLogger(cfg.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
	}
	return out, nil
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

func (s *Server) String() string { return "web page" }

// Run serves until ctx ends. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.listener.Close()
	var passing sync.WaitGroup
	defer passing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	passing.Go(func() { s.streams.broadcast.run(ctx) })
	s.http.BaseContext = func(net.Listener) context.Context { return ctx } // ends the streams
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			s.http.Close()
		}
	})
	err := toolkit.Serve(s.listener, s.http, &toolkit.FlagConfig{WebConfigFile: &s.cfg.WebConfig}, s.cfg.Log)
	if stop() {
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
