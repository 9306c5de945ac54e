package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"moonlatch/engine/control"
)

// apiPath is where everything is that the page asks.
const apiPath = "/api/"

// How old an answer may be. However many ask, the kernel is asked no more often.
const (
	statusFresh = 500 * time.Millisecond
	listFresh   = time.Second
)

// How much of a list a page is told. What is beyond is counted only.
const (
	maxBans  = 2000
	maxRules = 2000
	// maxFaults is how many of the policy's errors of before are told.
	maxFaults = 30
	// maxPast is how much of what is on record about an address is told.
	maxPast = 30
	// maxListed is how many bans the kernel is asked to list: a million take it a minute.
	maxListed = 20_000
)

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	files(mux)
	mux.Handle("GET /metrics", s.cfg.Metrics)
	mux.Handle("GET "+apiPath+"events", s.streams)
	mux.HandleFunc("GET "+apiPath+"explain", s.explain)
	status := s.read(mux, "status", statusFresh, func(ctx context.Context) (any, error) { return s.service.Status(ctx) })
	bans := s.read(mux, "bans", listFresh, s.bans)
	s.read(mux, "rules", listFresh, s.rules)
	changes := s.read(mux, "changes", listFresh, func(ctx context.Context) (any, error) { return s.service.Changes(ctx) })
	s.read(mux, "faults", listFresh, s.faults)
	for name, span := range spans {
		s.read(mux, "traffic/"+name, trafficFresh, func(ctx context.Context) (any, error) { return s.traffic(ctx, span) })
	}
	changed := []*answer{status, bans, changes}
	write(s, mux, "confirm", changed, func(ctx context.Context, by string, req control.ConfirmRequest) (control.Confirmed, error) {
		req.By, req.PID = by, control.NoProcess
		return s.service.Confirm(ctx, req)
	})
	write(s, mux, "rollback", changed, func(ctx context.Context, by string, req control.RollbackRequest) (control.Status, error) {
		req.By = by
		return s.service.Rollback(ctx, req)
	})
	write(s, mux, "extend", changed, func(ctx context.Context, _ string, req control.ExtendRequest) (control.Extended, error) {
		return s.service.Extend(ctx, req)
	})
	write(s, mux, "ban", changed, func(ctx context.Context, _ string, req control.BanRequest) (control.Ban, error) {
		return s.service.Ban(ctx, req)
	})
	write(s, mux, "unban", changed, func(ctx context.Context, _ string, req control.UnbanRequest) (control.UnbanResult, error) {
		return s.service.Unban(ctx, req)
	})
	write(s, mux, "protect", changed, func(ctx context.Context, _ string, req control.ProtectRequest) (control.ProtectResult, error) {
		return s.service.Protect(ctx, req)
	})
	return mux
}

// banList is the bans as the page gets them.
type banList struct {
	Bans  []control.Ban `json:"bans"`
	Total int           `json:"total"`
}

func (s *Server) bans(ctx context.Context) (any, error) {
	status, err := s.service.Status(ctx)
	if err != nil {
		return nil, err
	}
	if status.Daemon != nil && status.Daemon.Bans > maxListed {
		return banList{[]control.Ban{}, status.Daemon.Bans}, nil
	}
	all, err := s.service.Bans(ctx)
	if err != nil {
		return nil, err
	}
	out := banList{all, len(all)}
	if len(all) > maxBans {
		out.Bans = all[:maxBans]
	}
	if out.Bans == nil {
		out.Bans = []control.Ban{}
	}
	return out, nil
}

// ruleList is the rules as the page gets them.
type ruleList struct {
	control.RuleList
	Total int `json:"total"`
}

func (s *Server) rules(ctx context.Context) (any, error) {
	l, err := s.service.Rules(ctx)
	out := ruleList{l, len(l.Rules)}
	if out.Total > maxRules {
		out.Rules = l.Rules[:maxRules]
	}
	return out, err
}

// faults are the last errors of callbacks that are on record, the newest first: also those of daemons before this one.
func (s *Server) faults(ctx context.Context) (any, error) {
	all, err := s.service.History(ctx, control.HistoryRequest{Kinds: []string{"fault"}, Limit: maxFaults})
	if all == nil {
		all = []control.Entry{}
	}
	return struct {
		Faults []control.Entry `json:"faults"`
	}{all}, err
}

// explanation is what is known of an address, and what is on record about it, the newest first.
type explanation struct {
	control.Explanation
	Past      []control.Entry `json:"past,omitempty"`
	PastError string          `json:"past_error,omitempty"`
}

// explain tells all that is known of one address. Nobody else asks the same, so
// that one asks at a time.
func (s *Server) explain(w http.ResponseWriter, r *http.Request) {
	select {
	case s.explaining <- struct{}{}:
		defer func() { <-s.explaining }()
	case <-r.Context().Done():
		return
	}
	var out explanation
	var err error
	target := r.URL.Query().Get("target")
	if out.Explanation, err = s.service.Explain(r.Context(), control.ExplainRequest{Target: target}); err != nil {
		fail(w, err)
		return
	}
	if out.Past, err = s.service.History(r.Context(), control.HistoryRequest{Target: target, Limit: maxPast}); err != nil {
		out.PastError = err.Error() // what is so now matters more
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(out)
}

// read serves an answer to everybody who may look.
func (s *Server) read(mux *http.ServeMux, name string, fresh time.Duration, ask func(context.Context) (any, error)) *answer {
	a := newAnswer(fresh, ask)
	mux.HandleFunc("GET "+apiPath+name, func(w http.ResponseWriter, r *http.Request) {
		body, err := a.get(r.Context())
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(body) // an error here means that the client has gone
	})
	return a
}

// write serves a change to whoever shows the token. by is who asks, for the record.
func write[Req, Resp any](s *Server, mux *http.ServeMux, name string, changes []*answer, call func(ctx context.Context, by string, req Req) (Resp, error)) {
	mux.HandleFunc("POST "+apiPath+name, func(w http.ResponseWriter, r *http.Request) {
		if err := s.permitted(r); err != nil {
			fail(w, err)
			return
		}
		var req Req
		if err := decode(w, r, &req); err != nil {
			fail(w, err)
			return
		}
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		s.cfg.Log.Info("web page request", "client", host, "path", r.URL.Path)
		// A client that hangs up must not leave a change half done.
		by := "web page (" + host + ")"
		resp, err := call(context.WithoutCancel(r.Context()), by, req)
		control.Audit(s.service, control.Call{UID: os.Geteuid(), PID: os.Getpid(), Command: by + ": " + control.Describe(name, req), Err: err})
		for _, a := range changes {
			a.forget()
		}
		if err != nil {
			fail(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(resp)
	})
}

func decode(w http.ResponseWriter, r *http.Request, req any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	err := d.Decode(req)
	var large *http.MaxBytesError
	switch {
	case err == nil || errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &large):
		return &control.Error{Code: control.BadRequest, Message: fmt.Sprintf("the request is longer than the %d bytes that this takes", large.Limit)}
	}
	return &control.Error{Code: control.BadRequest, Message: "the request is not what this call takes: " + err.Error()}
}

// fail answers with an error, in the words of the control API.
func fail(w http.ResponseWriter, err error) {
	var e *control.Error
	if !errors.As(err, &e) {
		e = &control.Error{Code: control.Failed, Message: err.Error()}
	}
	refuse(w, e.Code.Status(), e.Code, e.Message)
}

func refuse(w http.ResponseWriter, status int, code control.Code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(control.Error{Code: code, Message: message})
}
