package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

// maxBody bounds a request: a policy with long lists of addresses.
const maxBody = 256 << 20

// grace is how long requests that are under way may take when the daemon ends.
const grace = 2 * time.Second

// Listen makes the control socket, for the owner and the group only. A socket
// that a dead daemon left behind is replaced; one that answers is an error.
func Listen(path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if conn, err := net.Dial("unix", path); err == nil {
		conn.Close()
		return nil, fmt.Errorf("control socket %s: another daemon answers on it", path)
	}
	if err := removeSocket(path); err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	// The mode has to be right from the first instant, not a chmod later.
	old := unix.Umask(0o117)
	l, err := net.Listen("unix", path)
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	return l, nil
}

// removeSocket removes a socket that nobody listens on, and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there already and is no socket", path)
	}
	return os.Remove(path)
}

// Serve answers requests until ctx ends, then lets those under way finish.
func Serve(ctx context.Context, l net.Listener, s Service, log *slog.Logger) error {
	srv := &http.Server{
		Handler:           permitted(log, s, routes(s)),
		ConnContext:       withPeer,
		BaseContext:       func(net.Listener) context.Context { return ctx }, // which ends what streams
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	select {
	case err := <-done:
		return fmt.Errorf("control socket: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := srv.Shutdown(last); err != nil {
		srv.Close()
	}
	<-done
	return nil
}

func routes(s Service) http.Handler {
	mux := router{http.NewServeMux(), auditor(s)}
	handle(mux, "GET /v1/ping", func(context.Context, struct{}) (struct{}, error) { return struct{}{}, nil })
	handle(mux, "GET /v1/status", func(ctx context.Context, _ struct{}) (Status, error) { return s.Status(ctx) })
	handle(mux, "POST /v1/apply", func(ctx context.Context, req ApplyRequest) (Applied, error) {
		req.By = peerOf(ctx).named(req.By)
		return s.Apply(ctx, req)
	})
	handle(mux, "POST /v1/confirm", func(ctx context.Context, req ConfirmRequest) (Confirmed, error) {
		p := peerOf(ctx)
		req.By, req.PID = p.named(req.By), int(p.pid)
		return s.Confirm(ctx, req)
	})
	handle(mux, "POST /v1/extend", s.Extend)
	handle(mux, "POST /v1/console", func(ctx context.Context, req ConsoleRequest) (ConsoleResult, error) {
		req.By = peerOf(ctx).named(req.By)
		return s.Console(ctx, req)
	})
	handle(mux, "POST /v1/rollback", func(ctx context.Context, req RollbackRequest) (Status, error) {
		req.By = peerOf(ctx).named(req.By)
		return s.Rollback(ctx, req)
	})
	handle(mux, "POST /v1/reset", func(ctx context.Context, _ struct{}) (ResetResult, error) { return s.Reset(ctx) })
	handle(mux, "POST /v1/ban", s.Ban)
	handle(mux, "POST /v1/unban", s.Unban)
	mux.Handle("POST /v1/events", serveEvents(s))
	handle(mux, "POST /v1/log-level", s.LogLevel)
	handle(mux, "GET /v1/bans", func(ctx context.Context, _ struct{}) ([]Ban, error) { return s.Bans(ctx) })
	handle(mux, "GET /v1/rules", func(ctx context.Context, _ struct{}) (RuleList, error) { return s.Rules(ctx) })
	handle(mux, "GET /v1/changes", func(ctx context.Context, _ struct{}) (ChangeList, error) { return s.Changes(ctx) })
	serveBanLists(mux, s)
	serveExplain(mux, s)
	ask(mux, "POST /v1/history", s.History)
	ask(mux, "POST /v1/top", s.Top)
	ask(mux, "POST /v1/timeline", s.Timeline)
	serveTap(mux, s)
	serveFeeds(mux, s)
	serveProtection(mux, s)
	return mux
}

// router is where the calls are, and who is told of them.
type router struct {
	*http.ServeMux
	audit func(Call)
}

// ask serves one call that changes nothing, and so is not told to an Auditor.
func ask[Req, Resp any](mux router, pattern string, call func(context.Context, Req) (Resp, error)) {
	handle(router{mux.ServeMux, func(Call) {}}, pattern, call)
}

// handle serves one call: its request and its answer are JSON.
func handle[Req, Resp any](mux router, pattern string, call func(context.Context, Req) (Resp, error)) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		var req Req
		if r.Method == http.MethodPost && !request(w, r, &req) {
			return
		}
		// A client that hangs up must not leave a change half done.
		resp, err := call(context.WithoutCancel(r.Context()), req)
		if r.Method == http.MethodPost {
			mux.audit(peerOf(r.Context()).call(describe(pattern, req), err))
		}
		reply(w, resp, err)
	})
}

// request reads a request, or answers that it is none.
func request(w http.ResponseWriter, r *http.Request, req any) (ok bool) {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(req); err != nil && !errors.Is(err, io.EOF) {
		reply(w, nil, &Error{BadRequest, "the request is not what this call takes: " + err.Error()})
		return false
	}
	return true
}

func reply(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Failed, err.Error()}
		}
		w.WriteHeader(e.Code.Status())
		body = e
	}
	json.NewEncoder(w).Encode(body) // an error here means that the client has gone
}

// peer is who is at the other end of the socket, as the kernel tells it.
type peer struct {
	uid uint32
	pid int32
	err error
}

func (p peer) String() string { return fmt.Sprintf("uid %d, pid %d", p.uid, p.pid) }

// named adds the name that the caller goes by, which is only a claim.
func (p peer) named(name string) string {
	if name == "" || len(name) > 64 || strings.ContainsFunc(name, unicode.IsControl) {
		return p.String()
	}
	return fmt.Sprintf("%s (%s)", name, p)
}

type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, readPeer(c))
}

func peerOf(ctx context.Context) peer {
	p, ok := ctx.Value(peerKey{}).(peer)
	if !ok {
		p.err = errors.New("no peer")
	}
	return p
}

func readPeer(c net.Conn) peer {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return peer{err: errors.New("not a unix socket")}
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return peer{err: err}
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return peer{err: err}
	}
	if credErr != nil {
		return peer{err: credErr}
	}
	return peer{uid: cred.Uid, pid: cred.Pid}
}

// permitted lets root and the daemon's own user through.
func permitted(log *slog.Logger, s Service, next http.Handler) http.Handler {
	self := uint32(os.Geteuid())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := peerOf(r.Context())
		if p.err != nil || (p.uid != 0 && p.uid != self) {
			log.Warn("control request refused", "peer", p, "path", r.URL.Path)
			err := &Error{NotPermitted, fmt.Sprintf("only root and uid %d may control this firewall, and you are uid %d: use sudo", self, p.uid)}
			auditor(s)(p.call(describe(r.URL.Path, nil), err))
			reply(w, nil, err)
			return
		}
		if r.Method == http.MethodPost {
			log.Info("control request", "peer", p, "path", r.URL.Path)
		}
		next.ServeHTTP(w, r)
	})
}
