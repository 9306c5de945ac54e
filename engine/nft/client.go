package nft

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// A Config says how to reach nf_tables. The zero value is ready for use.
type Config struct {
	// Binary is the nft command: a name that is looked up in PATH, /usr/sbin and /sbin, or a path. "" means "nft".
	Binary string
}

// A Client talks to nf_tables of the network namespace that it was opened in. All its methods are safe for
// concurrent use. Those that read share one socket, and so does every [Tx.Commit] another one: a listing makes
// other readers wait, but never a transaction.
//
// A process needs one Client, because only that Client's own transactions are kept from its monitors.
type Client struct {
	binary string
	home   namespace
	read   *conn
	write  *conn
	mine   mine

	buffers sync.Pool // of *loadBuffers
}

// Open connects to nf_tables of the calling thread's network namespace. It returns ErrUnsupported where the kernel
// has none and ErrPermission where the caller may not use it. The nft command is looked for only when it is needed.
func Open(cfg Config) (*Client, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c := &Client{binary: cfg.Binary}
	if c.binary == "" {
		c.binary = "nft"
	}
	var err error
	if c.home, err = currentNamespace(); err != nil {
		return nil, err
	}
	if c.read, err = dial(); err != nil {
		return nil, fmt.Errorf("open nf_tables: %w", err)
	}
	if c.write, err = dial(); err != nil {
		c.Close()
		return nil, fmt.Errorf("open nf_tables: %w", err)
	}
	if _, err := c.GenID(); err != nil {
		c.Close()
		if errors.Is(err, unix.EINVAL) { // nfnetlink knows no such subsystem
			err = ErrUnsupported
		}
		return nil, fmt.Errorf("open nf_tables: %w", err)
	}
	return c, nil
}

// Close closes the sockets. What waits on them returns an error.
func (c *Client) Close() error {
	var errs []error
	for _, conn := range []*conn{c.read, c.write} {
		if conn != nil {
			errs = append(errs, conn.sock.Close())
		}
	}
	return errors.Join(errs...)
}

// GenID returns the number of the kernel's ruleset generation. Every transaction, by anyone, changes it; elements
// that expire do not.
func (c *Client) GenID() (uint32, error) {
	var id uint32
	err := c.read.query(unix.NFT_MSG_GETGEN, 0, unix.NFPROTO_UNSPEC, nil, func(a answer) error {
		r := reader{b: a.attrs}
		for r.next() {
			if r.typ == unix.NFTA_GEN_ID {
				id = r.uint32()
			}
		}
		return r.err
	})
	if err != nil {
		return 0, fmt.Errorf("read the ruleset's generation id: %w", err)
	}
	return id, nil
}

// A namespace identifies a network namespace.
type namespace struct{ dev, ino uint64 }

// currentNamespace returns the network namespace of the calling thread.
func currentNamespace() (namespace, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return namespace{}, fmt.Errorf("stat the current network namespace (is /proc mounted?): %w", err)
	}
	return namespace{dev: uint64(st.Dev), ino: st.Ino}, nil
}

// atHome calls fn on a thread that is in the Client's network namespace, which the caller must be in: sockets and
// processes get the namespace of the thread that makes them, so anything else would change somebody else's rules.
func (c *Client) atHome(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := currentNamespace()
	if err != nil {
		return err
	}
	if here != c.home {
		return errors.New("called from another network namespace than the one that the nft client was opened in")
	}
	return fn()
}
