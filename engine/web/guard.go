package web

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"moonlatch/engine/control"
)

// tokenHeader is where a page shows its token. No form and no link of another
// site can send it.
const tokenHeader = "X-Moonlatch-Token"

// contentPolicy lets the page load only what this server serves, and run no code
// that stands in a document or a string.
const contentPolicy = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guarded sets the headers of every answer, and refuses what is too much or
// comes by a way that no page of ours takes.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !s.limit.Allow():
			h.Set("Retry-After", "1")
			h.Set("Connection", "close") // who asks so much has to connect anew
			refuse(w, http.StatusTooManyRequests, control.Busy, "too many requests: try again in a second")
		case s.loopback && !localHost(r.Host):
			refuse(w, http.StatusForbidden, control.NotPermitted, fmt.Sprintf(
				"this page is served to this host only, and not as %q: open it as localhost or 127.0.0.1", r.Host))
		case strings.HasPrefix(r.URL.Path, apiPath) && foreign(r):
			refuse(w, http.StatusForbidden, control.NotPermitted, "this request comes from the page of another site")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// localHost reports whether a Host header is one by which only this host is
// known. A name of the wider world that points here is somebody's who wants to
// read the page with a page of his own.
func localHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// foreign reports whether a browser says that another site's page asks. What is
// no browser says nothing, and needs the token like everybody else to change anything.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	_, host, found := strings.Cut(origin, "://")
	return !found || host != r.Host
}

// permitted reports why a request may not change anything, nil if it may. The
// file is read each time: a new token holds from its first instant.
func (s *Server) permitted(r *http.Request) *control.Error {
	token, err := ReadToken(s.cfg.State)
	switch {
	case errors.Is(err, ErrNoToken):
		return &control.Error{Code: control.NotPermitted, Message: "no token was made yet: run sudo moonlatch web token"}
	case err != nil:
		return &control.Error{Code: control.Failed, Message: err.Error()}
	case r.Header.Get(tokenHeader) == "":
		return &control.Error{Code: control.NotPermitted, Message: "to change anything, show the token that sudo moonlatch web token prints"}
	case !matches(r.Header.Get(tokenHeader), token):
		s.cfg.Log.Warn("web page: wrong token", "client", r.RemoteAddr, "path", r.URL.Path)
		return &control.Error{Code: control.NotPermitted, Message: "this is not the token: sudo moonlatch web token prints it"}
	}
	return nil
}
