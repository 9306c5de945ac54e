package metrics

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"moonlatch/engine"
	"moonlatch/engine/httpserver"
)

// DefaultAddress is where metrics are served unless told otherwise: on loopback
// only, for they tell what the firewall lets through. Prometheus' list of
// exporter ports (9100 to 9999) is full and goes on from 10000, one by one; this
// port is far from its end and below the range of outgoing connections.
const DefaultAddress = "127.0.0.1:10773"

// maxScrapes is how many there are at a time: one costs the kernel a listing of its rules.
const maxScrapes = 4

// Config says how metrics are served.
type Config struct {
	Address string // empty means DefaultAddress
	// WebConfig names a file that asks for TLS or a password, in the format of
	// the Prometheus exporter-toolkit; empty means neither.
	WebConfig string
	Log       *slog.Logger
}

// Server serves metrics over HTTP.
type Server struct{ *httpserver.Server }

var _ engine.Task = (*Server)(nil)

// Listen opens the address and returns a Server that answers once it runs. Its
// errors name what to change.
func Listen(m *Metrics, source Source, cfg Config) (*Server, error) {
	if cfg.Address == "" {
		cfg.Address = DefaultAddress
	}
	if err := web.Validate(cfg.WebConfig); err != nil {
		return nil, fmt.Errorf("metrics: --web-config %s: %w", cfg.WebConfig, err)
	}
	scrape, err := m.Handler(source, cfg.Log)
	if err != nil {
		return nil, err
	}
	handler, err := newHandler(scrape)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	l, err := net.Listen("tcp", cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("metrics cannot be served on %s: %w; give another address with --metrics, or none with --metrics \"\"", cfg.Address, err)
	}
	return &Server{httpserver.New(l, handler, cfg.WebConfig, cfg.Log)}, nil
}

// Handler answers scrapes. Its error is a mistake in a metric.
func (m *Metrics) Handler(source Source, log *slog.Logger) (http.Handler, error) {
	r, err := m.Registry(source)
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return scrapes(r, log), nil
}

func scrapes(r *prometheus.Registry, log *slog.Logger) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		Registry:            r,
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		ErrorHandling:       promhttp.ContinueOnError, // one bad metric must not hide the others
		MaxRequestsInFlight: maxScrapes,
		EnableOpenMetrics:   true,
	})
}

// newHandler serves the metrics and a page that leads to them.
func newHandler(scrape http.Handler) (http.Handler, error) {
	page, err := web.NewLandingPage(web.LandingConfig{
		Name:        "Moonlatch",
		Description: "A host firewall scripted in Lua that cannot lock its owner out",
		Version:     version.Info(),
		Links:       []web.LandingLinks{{Address: "/metrics", Text: "Metrics", Description: "for Prometheus"}},
		Profiling:   "false",
	})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", page)
	mux.Handle("GET /metrics", scrape)
	return mux, nil
}

func (s *Server) String() string { return "metrics server" }
