// Package probe finds out whether something answers: one attempt over TCP, UDP,
// DNS, HTTP or ICMP, bounded in time. Every attempt is a new connection, which
// is what rules may have shut out where those that were open before still pass.
package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// How long one attempt may take.
const (
	DefaultTimeout = 3 * time.Second
	MinTimeout     = 10 * time.Millisecond
	MaxTimeout     = 30 * time.Second
)

// ErrNoAnswer is what Run returns when its time was up.
var ErrNoAnswer = errors.New("no answer")

// maxText bounds what Parse reads, in bytes.
const maxText = 2048

// Forms is how the text of each kind of probe looks, for help and errors.
const Forms = "tcp:HOST:PORT, udp:HOST:PORT, dns:NAME, dns:NAME@SERVER, http://HOST/PATH, https://HOST/PATH or ping:HOST"

// Probe is something to be reached. Only Parse and New make one that can be: the
// zero value always fails. Safe for concurrent use.
type Probe struct {
	text    string
	attempt attempt
	timeout time.Duration
}

// attempt is one way to reach something. It returns when ctx ends.
type attempt interface {
	run(ctx context.Context) error
	String() string // for Parse
}

// Parse reads a probe, one of Forms. IPv6 addresses stand in brackets. A URL may
// end in #STATUS, the status that must be answered; without it, any below 500 will do.
func Parse(text string) (Probe, error) {
	kind, target, ok := strings.Cut(text, ":")
	switch {
	case !ok:
		return Probe{}, fmt.Errorf("%q is no probe: write %s", short(text), Forms)
	case kind == "http" || kind == "https":
		return New("http", text)
	case strings.HasPrefix(target, "//"):
		return Probe{}, fmt.Errorf("%q is no probe: only http and https have // behind the colon", short(text))
	}
	return New(kind, target)
}

// New makes a probe of a kind: "tcp", "udp", "dns", "ping" with a target as it
// stands behind the colon for Parse, or "http" with a URL.
func New(kind, target string) (Probe, error) {
	if len(target) > maxText {
		return Probe{}, fmt.Errorf("%q is too long: %d bytes at most", short(target), maxText)
	}
	var a attempt
	var err error
	switch kind {
	case "tcp", "udp":
		a, err = parseDial(kind, target)
	case "dns":
		a, err = parseDNS(target)
	case "http":
		a, err = parseHTTP(target)
	case "ping":
		a, err = parsePing(target)
	default:
		return Probe{}, fmt.Errorf("there is no probe of the kind %q: write %s", short(kind), Forms)
	}
	if err != nil {
		return Probe{}, fmt.Errorf("probe %s %q: %w", kind, short(target), err)
	}
	return Probe{text: a.String(), attempt: a, timeout: DefaultTimeout}, nil
}

func short(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// Within returns the probe with another time-out than DefaultTimeout.
func (p Probe) Within(d time.Duration) (Probe, error) {
	if d < MinTimeout || d > MaxTimeout {
		return Probe{}, fmt.Errorf("a time-out of %s is not possible: between %s and %s", d, MinTimeout, MaxTimeout)
	}
	p.timeout = d
	return p, nil
}

// Timeout is how long Run takes at most.
func (p Probe) Timeout() time.Duration { return p.timeout }

// String is the probe's text, which Parse reads.
func (p Probe) String() string { return p.text }

// Run makes one attempt. The error says what was tried and what happened, such
// as "tcp 192.0.2.1:443: connection refused after 2ms".
func (p Probe) Run(ctx context.Context) error {
	if p.attempt == nil {
		return errors.New("nothing to probe")
	}
	start := time.Now()
	within, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := p.attempt.run(within)
	took := time.Since(start)
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("%s: given up after %s: %w", p.label(), round(took), context.Cause(ctx))
	case timedOut(within, err):
		return fmt.Errorf("%s: %w within %s", p.label(), ErrNoAnswer, round(min(took, p.timeout)))
	}
	return fmt.Errorf("%s: %w after %s", p.label(), p.plain(err), round(took))
}

// label is the probe's text as it stands in a sentence.
func (p Probe) label() string {
	if kind, target, _ := strings.Cut(p.text, ":"); !strings.HasPrefix(target, "//") {
		return kind + " " + target
	}
	return p.text
}

// timedOut tells a time-out of ours from one that somebody else reported.
func timedOut(ctx context.Context, err error) bool {
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return false // says which server did not answer
	}
	return ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// plain leaves out what only repeats the target.
func (p Probe) plain(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return dns
	}
	op, ok := err.(*net.OpError)
	var errno syscall.Errno
	switch {
	case !ok || !errors.As(op, &errno):
		return err
	case op.Addr == nil || strings.Contains(p.text, addressOf(op.Addr)):
		return errno
	}
	return fmt.Errorf("%s: %w", op.Addr, errno) // which address of a name
}

func addressOf(a net.Addr) string {
	if host, _, err := net.SplitHostPort(a.String()); err == nil {
		return host
	}
	return a.String()
}

func round(d time.Duration) time.Duration {
	if d < time.Millisecond {
		return d.Round(time.Microsecond)
	}
	return d.Round(time.Millisecond)
}
