package probe

import (
	"context"
	"net"
	"time"
)

// resendEvery is how long an attempt without a connection waits for an answer
// before it asks again: one lost packet proves nothing.
const resendEvery = time.Second

// dial connects over TCP, or sends a datagram over UDP that must be answered.
type dial struct {
	kind string // "tcp" or "udp"
	endpoint
}

func parseDial(kind, target string) (attempt, error) {
	e, err := parseEndpoint(target)
	return dial{kind, e}, err
}

func (d dial) String() string { return d.kind + ":" + d.endpoint.String() }

func (d dial) run(ctx context.Context) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, d.kind, d.endpoint.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if d.kind == "tcp" {
		return nil
	}
	return ask(ctx, conn, func() error {
		_, err := conn.Write([]byte("moonlatch probe\n"))
		return err
	}, func() (bool, error) {
		_, err := conn.Read(make([]byte, 1))
		return err == nil, err
	})
}

// ask sends, again every second, until answered reports an answer or an error.
// answered reads from conn, whose deadline is set for it.
func ask(ctx context.Context, conn interface{ SetReadDeadline(time.Time) error }, send func() error, answered func() (bool, error)) error {
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for {
		if err := send(); err != nil {
			return err
		}
		if err := conn.SetReadDeadline(time.Now().Add(resendEvery)); err != nil {
			return err
		}
		if ctx.Err() != nil { // after it had set its own deadline, perhaps
			return ctx.Err()
		}
		for {
			ok, err := answered()
			if ok {
				return nil
			}
			if isTimeout(err) && ctx.Err() == nil {
				break // ask again
			}
			if err != nil {
				return err
			}
		}
	}
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}
