// Package web serves the page that shows a daemon and settles its trials: the
// page's files, which are embedded, and what the page asks. It works for the
// daemon, but nothing that comes over HTTP can hold up the daemon's own work.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"golang.org/x/net/netutil"
	"golang.org/x/time/rate"

	"moonlatch/engine/control"
	"moonlatch/engine/feed"
	"moonlatch/engine/httpserver"
)

// What everybody together may use of the server. One page makes some twenty
// requests when it is opened, and one or two a second from then on.
const (
	maxConns    = 256 // above, connections wait to be accepted
	maxRequests = 100 // a second
	maxBurst    = 300
	maxBody     = 64 << 10
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
	*httpserver.Server
	cfg      Config
	service  control.Service
	handler  http.Handler
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
		cfg: cfg, service: s,
		loopback: addr.IP.IsLoopback(), limit: rate.NewLimiter(maxRequests, maxBurst), streams: newStreams(cfg.Feed),
		explaining: make(chan struct{}, 1),
	}
	out.handler = out.guarded(out.routes())
	if cfg.Counted != nil {
		out.handler = cfg.Counted(out.handler)
	}
	out.streams.listeners = cfg.Listeners
	out.Server = httpserver.New(netutil.LimitListener(l, maxConns), out.handler, cfg.WebConfig, cfg.Log)
	return out, nil
}

func (s *Server) String() string { return "web page" }

// Run serves until ctx ends. It is called once.
func (s *Server) Run(ctx context.Context) error {
	var passing sync.WaitGroup
	defer passing.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	passing.Go(func() { s.streams.broadcast.run(ctx) })
	return s.Server.Run(ctx)
}
