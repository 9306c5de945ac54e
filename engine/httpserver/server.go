// Package httpserver answers HTTP requests until it is told to stop, with TLS and
// authentication as the Prometheus exporter-toolkit has them. Slow and silent
// clients hold nothing up.
package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

const (
	maxHeader = 16 << 10
	// shutdownGrace is how long an answer under way may take when the server stops.
	shutdownGrace = time.Second
)

// Server answers on a listener.
type Server struct {
	listener  net.Listener
	http      *http.Server
	webConfig string
	log       *slog.Logger
}

// New returns a server that answers once it runs. webConfig names a file of the
// exporter-toolkit, or none.
func New(l net.Listener, h http.Handler, webConfig string, log *slog.Logger) *Server {
	return &Server{l, &http.Server{
		Handler:           h,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      time.Minute,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
	}, webConfig, log}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, which ends the requests' contexts too. It is called once.
func (s *Server) Run(ctx context.Context) error {
	defer s.listener.Close()
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		grace, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		if s.http.Shutdown(grace) != nil {
			s.http.Close()
		}
	})
	err := web.Serve(s.listener, s.http, &web.FlagConfig{WebConfigFile: &s.webConfig}, s.log)
	if stop() {
		return fmt.Errorf("serve %s: %w", s.Addr(), err)
	}
	<-stopped
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
