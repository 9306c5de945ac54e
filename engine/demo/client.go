package demo

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"moonlatch/engine/netns"
)

const (
	requestEvery   = 10 * time.Millisecond
	requestTimeout = 2 * time.Second // more than TCP's first repeat of a lost packet
)

// client is somebody with no bad intentions, who makes one request after
// another, each over a new connection.
type client struct {
	host   *netns.Namespace
	addr   string
	ok     atomic.Int64
	failed atomic.Int64
	first  error // why the first request failed; read it while stopped

	stop    context.CancelFunc
	running sync.WaitGroup
}

// start lets the client make requests until pause or the end of ctx.
func (c *client) start(ctx context.Context) {
	ctx, c.stop = context.WithCancel(ctx)
	c.running.Go(func() {
		err := c.host.Do(func() error {
			for ctx.Err() == nil {
				c.request()
				sleep(ctx, requestEvery)
			}
			return nil
		})
		c.count(err, 0)
	})
}

// pause ends the requests after the one that is under way.
func (c *client) pause() {
	if c.stop != nil {
		c.stop()
	}
	c.running.Wait()
}

func (c *client) request() { c.count(echo(c.addr, requestTimeout), 1) }

func (c *client) count(err error, ok int64) {
	if err == nil {
		c.ok.Add(ok)
		return
	}
	if c.failed.Add(1) == 1 {
		c.first = err
	}
}

// echo makes a connection from the calling thread's namespace, sends a line over
// it and waits for the line to come back.
func echo(addr string, timeout time.Duration) error {
	conn, err := net.DialTimeout("tcp4", addr, timeout)
	if err != nil {
		return err
	}
	defer conn.Close()
	return echoOver(conn, timeout)
}

// echoOver sends a line over a connection and waits for it to come back.
func echoOver(conn net.Conn, timeout time.Duration) error {
	if err := conn.SetDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
	if _, err := io.WriteString(conn, line); err != nil {
		return err
	}
	_, err := io.ReadFull(conn, make([]byte, len(line)))
	return err
}

// line is what goes back and forth.
const line = "hello\n"

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
