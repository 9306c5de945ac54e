package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Client asks a daemon. It is safe for concurrent use.
type Client struct{ http http.Client }

var _ Service = (*Client)(nil)

// ErrNoDaemon means that no daemon listens on the socket.
var ErrNoDaemon = errors.New("no daemon is running")

// ErrSilent means that a daemon listens on the socket and does not answer.
var ErrSilent = errors.New("the daemon does not answer")

// Patience is how long Dial waits for a daemon to say that it is there: much longer than
// one that works takes on a busy machine.
const Patience = 5 * time.Second

// Dial returns a client of the daemon on the socket, which has answered. When none is running,
// the error is ErrNoDaemon; when one hangs or is stopped, ErrSilent; when one may not be asked, an *Error.
func Dial(ctx context.Context, path string) (*Client, error) {
	conn, err := net.Dial("unix", path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w (nothing listens on %s)", ErrNoDaemon, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, &Error{NotPermitted, fmt.Sprintf("a daemon is running, but you may not open its socket %s: use sudo", path)}
	case err != nil:
		return nil, &Error{Unreachable, fmt.Sprintf("the daemon's socket %s does not answer: %v", path, err)}
	}
	pid := readPeer(conn).pid
	conn.Close()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	c := &Client{http.Client{Transport: &http.Transport{DialContext: dial}}}
	if err := c.ping(ctx, pid); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// ping waits for any answer: whatever it says, and whoever may ask, the daemon is there.
func (c *Client) ping(ctx context.Context, pid int32) error {
	patient, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	err := c.call(patient, "GET", "ping", nil, new(struct{}))
	if patient.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("%w: pid %d hangs, or was stopped", ErrSilent, pid)
	}
	var e *Error
	if errors.As(err, &e) && e.Code != Unreachable {
		return nil
	}
	return err
}

// Close frees what the Client holds.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// Status implements Service.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.call(ctx, "GET", "status", nil, &s)
	return s, err
}

// Apply implements Service.
func (c *Client) Apply(ctx context.Context, req ApplyRequest) (a Applied, err error) {
	err = c.call(ctx, "POST", "apply", req, &a)
	return a, err
}

// Confirm implements Service.
func (c *Client) Confirm(ctx context.Context, req ConfirmRequest) (r Confirmed, err error) {
	err = c.call(ctx, "POST", "confirm", req, &r)
	return r, err
}

// Extend implements Service.
func (c *Client) Extend(ctx context.Context, req ExtendRequest) (e Extended, err error) {
	err = c.call(ctx, "POST", "extend", req, &e)
	return e, err
}

// Rollback implements Service.
func (c *Client) Rollback(ctx context.Context, req RollbackRequest) (s Status, err error) {
	err = c.call(ctx, "POST", "rollback", req, &s)
	return s, err
}

// Reset implements Service.
func (c *Client) Reset(ctx context.Context) (r ResetResult, err error) {
	err = c.call(ctx, "POST", "reset", nil, &r)
	return r, err
}

// Ban implements Service.
func (c *Client) Ban(ctx context.Context, req BanRequest) (b Ban, err error) {
	err = c.call(ctx, "POST", "ban", req, &b)
	return b, err
}

// Unban implements Service.
func (c *Client) Unban(ctx context.Context, req UnbanRequest) (r UnbanResult, err error) {
	err = c.call(ctx, "POST", "unban", req, &r)
	return r, err
}

// Bans implements Service.
func (c *Client) Bans(ctx context.Context) (b []Ban, err error) {
	err = c.call(ctx, "GET", "bans", nil, &b)
	return b, err
}

// Rules implements Service.
func (c *Client) Rules(ctx context.Context) (r RuleList, err error) {
	err = c.call(ctx, "GET", "rules", nil, &r)
	return r, err
}

// Changes implements Service.
func (c *Client) Changes(ctx context.Context) (l ChangeList, err error) {
	err = c.call(ctx, "GET", "changes", nil, &l)
	return l, err
}

// call sends one request and decodes the answer, or the *Error.
func (c *Client) call(ctx context.Context, method, name string, body, answer any) error {
	resp, err := c.ask(ctx, method, name, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil {
		return &Error{Failed, fmt.Sprintf("the daemon's answer to %s cannot be read: %v", name, err)}
	}
	return nil
}

// ask sends one request and returns the answer, whose body the caller closes, or the *Error.
func (c *Client) ask(ctx context.Context, method, name string, body any) (*http.Response, error) {
	var b bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&b).Encode(body); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://moonlatch/v1/"+name, &b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, &Error{Unreachable, fmt.Sprintf("the daemon did not answer: %v", errors.Unwrap(err))}
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	e := &Error{Code: Failed, Message: resp.Status}
	if err := json.NewDecoder(resp.Body).Decode(e); err != nil {
		e.Message = resp.Status
	}
	return nil, e
}
